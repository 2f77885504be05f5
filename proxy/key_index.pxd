# Open addressing from 64-bit keys to entries of a pool: fixed size, no tombstones. The keys are keyed hashes already.

from libc.stdint cimport uint32_t, uint64_t

cdef struct KeySlot:
    uint64_t key             # 0 = free
    uint32_t entry

cdef struct KeyIndex:
    KeySlot* slots
    uint64_t mask

# Room for `capacity` keys at half load. False: no memory.
cdef bint create_index(KeyIndex* index, uint64_t capacity) noexcept nogil
cdef void free_index(KeyIndex* index) noexcept nogil
cdef void prefetch_key(const KeyIndex* index, uint64_t key) noexcept nogil
# 0 = unknown.
cdef uint32_t find_key(const KeyIndex* index, uint64_t key) noexcept nogil
# The key must be neither 0 nor in the index.
cdef void add_key(KeyIndex* index, uint64_t key, uint32_t entry) noexcept nogil
cdef void remove_key(KeyIndex* index, uint64_t key) noexcept nogil
