"""Keys to pool entries: linear probing; what stands behind a hole moves up, so that no tombstone is ever left."""

from engine._table cimport callsieve_prefetch
from proxy.memory cimport allocate_array, free_array


cdef bint create_index(KeyIndex* index, uint64_t capacity) noexcept nogil:
    cdef uint64_t slots = 256
    while slots < capacity * 2:
        slots *= 2
    index.mask = slots - 1
    index.slots = <KeySlot*>allocate_array(slots, sizeof(KeySlot))
    return index.slots != NULL


cdef void free_index(KeyIndex* index) noexcept nogil:
    free_array(index.slots, index.mask + 1, sizeof(KeySlot))
    index.slots = NULL


cdef void prefetch_key(const KeyIndex* index, uint64_t key) noexcept nogil:
    callsieve_prefetch(&index.slots[key & index.mask])


cdef uint32_t find_key(const KeyIndex* index, uint64_t key) noexcept nogil:
    cdef uint64_t at = key & index.mask
    while index.slots[at].key:
        if index.slots[at].key == key:
            return index.slots[at].entry
        at = (at + 1) & index.mask
    return 0


cdef void add_key(KeyIndex* index, uint64_t key, uint32_t entry) noexcept nogil:
    cdef uint64_t at = key & index.mask
    while index.slots[at].key:
        at = (at + 1) & index.mask
    index.slots[at].key = key
    index.slots[at].entry = entry


cdef void remove_key(KeyIndex* index, uint64_t key) noexcept nogil:
    cdef uint64_t hole = key & index.mask
    cdef uint64_t at, home
    while index.slots[hole].key != key:
        if index.slots[hole].key == 0:
            return
        hole = (hole + 1) & index.mask
    at = hole
    while True:
        at = (at + 1) & index.mask
        if index.slots[at].key == 0:
            break
        home = index.slots[at].key & index.mask
        if ((at - home) & index.mask) >= ((at - hole) & index.mask):
            index.slots[hole] = index.slots[at]
            hole = at
    index.slots[hole].key = 0
