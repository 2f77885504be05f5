"""Shares of limits that hold for a whole fleet.

A record's value: until 32 (s since 2026-01-01, 0 = no end) | parts 32.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine._cuckoo cimport nest_put, nest_remove
from engine._table cimport TABLE_SHARES

cdef extern from *:
    """
    #define CALLSIEVE_SHARE_EPOCH_US 1767225600000000LL
    """
    const int64_t EPOCH_US "CALLSIEVE_SHARE_EPOCH_US"

WHOLE = WHOLE_SHARE


cdef bint read_share(
    const TableView* view, uint64_t word, uint64_t role, int64_t now_us, uint32_t* parts
) noexcept nogil:
    cdef uint64_t key = paired_key(view, word, role), value
    cdef Nest nest = nest_of(view, key)
    if not nest_find(view, &nest, key, &value):
        return False
    if value >> 32 and now_us - EPOCH_US >= <int64_t>(value >> 32) * 1_000_000:
        return False
    parts[0] = <uint32_t>value
    return True


@cython.final
cdef class ShareTable:
    def __init__(self, path, capacity):
        self.table = Table(path, TABLE_SHARES, capacity)

    @classmethod
    def attach(cls, path):
        cdef ShareTable shares = ShareTable.__new__(ShareTable)
        shares.table = Table.attach(path, TABLE_SHARES)
        return shares

    def lend(self, uint64_t subject, parts, until_s):
        return bool(put(self, subject, SHARE_LENT, parts, max(until_s - EPOCH_US // 1_000_000, 1)))

    def take_back(self, uint64_t subject):
        nest_remove(&self.table.view, paired_key(&self.table.view, subject, SHARE_LENT))

    def leave(self, uint64_t limit, parts):
        return bool(put(self, limit, SHARE_UNLENT, parts, 0))

    def read(self, uint64_t subject, uint64_t limit, int64_t now_us):
        cdef Share share = share_of(&self.table.view, subject, limit, now_us)
        return share.parts, bool(share.lent)

    def clear(self):
        """Takes every record away."""
        cdef uint64_t i
        for i in range(self.table.capacity):
            if self.table.view.records[i].key:
                nest_remove(&self.table.view, self.table.view.records[i].key)


cdef bint put(ShareTable shares, uint64_t word, uint64_t role, object parts, object until) except -1:
    cdef uint64_t value
    if not 0 < parts <= WHOLE_SHARE or not 0 <= until < 1 << 32:
        raise ValueError(f"parts {parts}, until {until}: expected 1 to {WHOLE_SHARE}, and a time before 2162")
    value = <uint64_t>until << 32 | <uint64_t>parts
    return nest_put(&shares.table.view, paired_key(&shares.table.view, word, role), value)


def scaled(int64_t increment_us, int64_t tolerance_us, uint32_t parts, bint lent):
    cdef Share share
    share.parts = parts
    share.lent = lent
    scale_times(&share, &increment_us, &tolerance_us)
    return increment_us, tolerance_us
