# GCRA limits in a fixed-size table shared by processes: one 16-byte record a key, changed as one word.

from libc.stdint cimport int64_t, uint64_t

from engine._table cimport Table, TableView, table_prefetch

cdef inline void limiter_prefetch(const TableView* view, uint64_t key) noexcept nogil:
    table_prefetch(view, key if key else 1)

# True if one more event of `key` conforms (ITU-T I.371, virtual scheduling). increment_us = period / calls,
# tolerance_us = increment_us * (burst - 1). Counts it if it conforms and `count` is set.
# Times are below 2^61, increment and tolerance below 2^60; key 0 shares the record of key 1.
cdef bint limiter_conforms(
    Table table, uint64_t key, int64_t now_us, int64_t increment_us, int64_t tolerance_us, bint count
) noexcept nogil

cdef class RateLimiter:
    cdef readonly Table table
