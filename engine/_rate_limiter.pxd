# GCRA limits in a fixed-size table shared by processes: one 16-byte record a key, changed as one word.

from libc.stdint cimport int64_t, uint64_t

from engine._table cimport Record, Table, TableView, callsieve_prefetch, table_bucket

# Where the key stands, if it does.
cdef inline Record* limiter_prefetch(const TableView* view, uint64_t key) noexcept nogil:
    cdef Record* bucket = table_bucket(view, key if key else 1)
    callsieve_prefetch(bucket)
    return bucket

# True if one more event of `key` conforms (ITU-T I.371, virtual scheduling). increment_us = period / calls,
# tolerance_us = increment_us * (burst - 1). Counts it if it conforms and `count` is set.
# Times are below 2^61, increment and tolerance below 2^59; key 0 shares the record of key 1. kept: of a limit that many
# callers share; where room is short, its record goes after those of other limits.
cdef bint limiter_conforms_at(
    Table table,
    Record* bucket,
    uint64_t key,
    int64_t now_us,
    int64_t increment_us,
    int64_t tolerance_us,
    bint count,
    bint kept,
) noexcept nogil

cdef inline bint limiter_conforms(
    Table table, uint64_t key, int64_t now_us, int64_t increment_us, int64_t tolerance_us, bint count, bint kept
) noexcept nogil:
    cdef Record* bucket = table_bucket(&table.view, key if key else 1)
    return limiter_conforms_at(table, bucket, key, now_us, increment_us, tolerance_us, count, kept)

cdef class RateLimiter:
    cdef readonly Table table
