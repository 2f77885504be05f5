# Pair memory: which block of callers a callee has refused, forward-decayed, evicted by least worth.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine._cuckoo cimport Nest, nest_of, nest_prefetch, paired_key
from engine._decision cimport number_t
from engine._reputation cimport ReputationEntry, reputation_at
from engine._table cimport Table, TableView

cdef inline uint64_t pair_key(const TableView* view, number_t callee, number_t block) noexcept nogil:
    return paired_key(view, callee, block)

cdef inline Nest pair_prefetch(const TableView* view, uint64_t key) noexcept nogil:
    return nest_prefetch(view, key)

# Points that the callee's refusals of the block are still worth, at most 1,000,000. nest: where they may stand.
cdef inline uint32_t pair_at(Table table, const Nest* nest, uint64_t key, int64_t now_us) noexcept nogil:
    cdef ReputationEntry entry
    return entry.points if reputation_at(table, nest, key, now_us, &entry) else 0

cdef inline uint32_t pair_read(Table table, uint64_t key, int64_t now_us) noexcept nogil:
    cdef Nest nest = nest_of(&table.view, key)
    return pair_at(table, &nest, key, now_us)

cdef void pair_add(Table table, uint64_t key, int64_t now_us, uint32_t points) noexcept nogil

cdef class PairMemory:
    cdef readonly Table table
