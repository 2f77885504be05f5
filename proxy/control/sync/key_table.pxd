# Open addressing from 64-bit keys to records of one size, each of which begins with its key. It grows by about a
# fifth, so it is never far from full; what stands behind a hole moves up, so that no tombstone is ever left. Keys come
# from the wire: their places are keyed hashes.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    PARTS = 64               # tables that share the keys of one owner, so that growing is done in small steps

cdef extern from *:
    """
    #define CALLSIEVE_GOLDEN 0x9E3779B97F4A7C15ULL /* 2^64 over the golden ratio: Knuth, section 6.4 */
    """
    const uint64_t GOLDEN "CALLSIEVE_GOLDEN"

# Which of the parts a key belongs to.
cdef inline int part_number(uint64_t key) noexcept nogil:
    return <int>(key * GOLDEN >> 58)

cdef struct KeyTable:
    uint8_t* records         # NULL until the first key; a record of key 0 is free
    uint64_t capacity
    uint64_t count
    uint32_t record_bytes    # a multiple of 8
    uint64_t secret0
    uint64_t secret1

# secrets: 16 random bytes.
cdef void open_key_table(KeyTable* table, uint32_t record_bytes, const uint8_t* secrets) noexcept nogil
cdef void close_key_table(KeyTable* table) noexcept nogil
# The record of a key, NULL if there is none. It moves with the next `put_key` or `remove_record`.
cdef void* find_key(const KeyTable* table, uint64_t key) noexcept nogil
# Has the record of a key on its way from memory.
cdef void prefetch_key(const KeyTable* table, uint64_t key) noexcept nogil
# The record of a key (not 0), zeroed but for the key if it is new. NULL: no memory, nothing has changed.
cdef void* put_key(KeyTable* table, uint64_t key) noexcept nogil
cdef void remove_record(KeyTable* table, void* record) noexcept nogil
# The next record from place `at` on, which is moved behind it; NULL at the end. The table must not change meanwhile.
cdef void* next_record(const KeyTable* table, uint64_t* at) noexcept nogil
# Where a walk stands, in 2^32 parts of a table: it stays about there when the table grows between two pieces of it.
cdef inline uint64_t place_of_part(const KeyTable* table, uint64_t part) noexcept nogil:
    return part * table.capacity >> 32

cdef inline uint64_t part_of_place(const KeyTable* table, uint64_t at) noexcept nogil:
    return <uint64_t>1 << 32 if at >= table.capacity else ((at << 32) + table.capacity - 1) // table.capacity

# Whether nothing stands at a place, as behind the last one. Removing moves no record from behind a free place before
# it.
cdef inline bint is_free(const KeyTable* table, uint64_t at) noexcept nogil:
    return at >= table.capacity or (<uint64_t*>(table.records + at * table.record_bytes))[0] == 0

# Bytes of memory.
cdef uint64_t bytes_of_table(const KeyTable* table) noexcept nogil
# Ascending.
cdef void sort_keys(uint64_t* keys, uint64_t count) noexcept nogil
