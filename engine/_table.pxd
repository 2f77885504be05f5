# A fixed-size table in a memory-mapped file: 64-byte buckets of four 16-byte records (key, value), exact 64-bit keys
# under a keyed hash, no locks. What a record means belongs to the module that uses the table.

from libc.stdint cimport int64_t, uint64_t

cdef struct Record:          # 16-byte aligned; changed only by a 16-byte compare-and-swap
    uint64_t key             # 0 = free
    uint64_t value

cdef struct TableView:
    Record* records
    uint64_t bucket_mask
    uint64_t secret0
    uint64_t secret1
    uint64_t* evictions      # shared counters in the file's header
    uint64_t* lost           # records that lost a race too often to be written

cdef Record* table_bucket(const TableView* view, uint64_t key) noexcept nogil
cdef void table_prefetch(const TableView* view, uint64_t key) noexcept nogil

cdef class Table:
    cdef TableView view
    cdef object mapping
    cdef readonly str path
    cdef readonly uint64_t capacity
