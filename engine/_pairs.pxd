# Pair memory: which block of callers a callee has refused, forward-decayed, evicted by least worth.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine._cuckoo cimport nest_prefetch, paired_key
from engine._decision cimport number_t
from engine._table cimport Table, TableView

cdef inline uint64_t pair_key(const TableView* view, number_t callee, number_t block) noexcept nogil:
    return paired_key(view, callee, block)

cdef inline void pair_prefetch(const TableView* view, uint64_t key) noexcept nogil:
    nest_prefetch(view, key)

# Points that the callee's refusals of the block are still worth, at most 1,000,000.
cdef uint32_t pair_read(Table table, uint64_t key, int64_t now_us) noexcept nogil
cdef void pair_add(Table table, uint64_t key, int64_t now_us, uint32_t points) noexcept nogil

cdef class PairMemory:
    cdef readonly Table table
