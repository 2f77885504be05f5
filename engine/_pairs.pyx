"""Pair memory: a callee who has refused a caller is spared the neighbours of that caller for a while.

A pair is a callee and a block of callers. What is known of it decays as a number's reputation does, and is a record of
the same form, in a file of its own and with a half-life of its own.
"""

from array import array

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine._decision cimport CATEGORY_NONE, number_t
from engine._reputation cimport half_life_of, reputation_add
from engine._table cimport TABLE_PAIRS, Table, TableView

cdef enum:
    PREFETCHED = 64          # pairs of a batch whose buckets are on their way at a time


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

    def read_many(self, const uint64_t[::1] callees, const uint64_t[::1] blocks, int64_t now_us):
        found = array("I", bytes(4 * callees.shape[0]))
        cdef uint32_t[::1] points = found
        cdef uint64_t[PREFETCHED] keys
        cdef Py_ssize_t i
        check_pairs(callees, blocks)
        with nogil:
            for i in range(callees.shape[0]):
                if i % PREFETCHED == 0:
                    prefetch(&self.table.view, callees, blocks, i, keys)
                points[i] = pair_read(self.table, keys[i % PREFETCHED], now_us)
        return found

    def add_many(self, const uint64_t[::1] callees, const uint64_t[::1] blocks, int64_t now_us, uint32_t points):
        cdef uint64_t[PREFETCHED] keys
        cdef Py_ssize_t i
        check_pairs(callees, blocks)
        with nogil:
            for i in range(callees.shape[0]):
                if i % PREFETCHED == 0:
                    prefetch(&self.table.view, callees, blocks, i, keys)
                pair_add(self.table, keys[i % PREFETCHED], now_us, points)


cdef int check_pair(number_t callee, number_t block) except -1:
    if not callee or not block:
        raise ValueError(f"callee {callee}, block {block}: no number")
    return 0


cdef int check_pairs(const uint64_t[::1] callees, const uint64_t[::1] blocks) except -1:
    cdef Py_ssize_t i
    if callees.shape[0] != blocks.shape[0]:
        raise ValueError(f"{callees.shape[0]} callees, {blocks.shape[0]} blocks")
    for i in range(callees.shape[0]):
        check_pair(callees[i], blocks[i])
    return 0


cdef void prefetch(
    const TableView* view, const uint64_t[::1] callees, const uint64_t[::1] blocks, Py_ssize_t start, uint64_t* keys
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(min(<Py_ssize_t>PREFETCHED, callees.shape[0] - start)):
        keys[i] = pair_key(view, callees[start + i], blocks[start + i])
        pair_prefetch(view, keys[i])
