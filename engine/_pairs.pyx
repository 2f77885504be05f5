"""Pair memory: a callee who has refused a caller is spared the neighbours of that caller for a while.

A pair is a callee and a block of callers. What is known of it decays as a number's reputation does, and is a record of
the same form, in a file of its own and with a half-life of its own.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine._decision cimport CATEGORY_NONE, number_t
from engine._reputation cimport ReputationEntry, half_life_of, reputation_add, reputation_read
from engine._table cimport TABLE_PAIRS, Table


cdef uint32_t pair_read(Table table, uint64_t key, int64_t now_us) noexcept nogil:
    cdef ReputationEntry entry
    return entry.points if reputation_read(table, key, now_us, &entry) else 0


cdef void pair_add(Table table, uint64_t key, int64_t now_us, uint32_t points) noexcept nogil:
    reputation_add(table, key, now_us, points, False, CATEGORY_NONE)


@cython.final
cdef class PairMemory:
    def __init__(self, path, capacity, half_life_days=7.0):
        self.table = Table(path, TABLE_PAIRS, capacity, (half_life_of(half_life_days),))

    @classmethod
    def attach(cls, path):
        cdef PairMemory pairs = PairMemory.__new__(PairMemory)
        pairs.table = Table.attach(path, TABLE_PAIRS)
        return pairs

    def read(self, number_t callee, number_t block, int64_t now_us):
        return pair_read(self.table, pair_key(&self.table.view, callee, block), now_us)

    def add(self, number_t callee, number_t block, int64_t now_us, uint32_t points):
        check_pair(callee, block)
        pair_add(self.table, pair_key(&self.table.view, callee, block), now_us, points)


cdef int check_pair(number_t callee, number_t block) except -1:
    if not callee or not block:
        raise ValueError(f"callee {callee}, block {block}: no number")
    return 0
