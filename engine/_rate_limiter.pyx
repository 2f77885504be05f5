"""Exact limits: the generic cell rate algorithm of ITU-T I.371 in its virtual-scheduling form.

A key's record holds one number, the theoretical arrival time (TAT) of its next event. An event conforms if it comes no
earlier than TAT - tolerance, and then moves TAT to max(now, TAT) + increment. A TAT that has passed says nothing that
an absent record would not say.

Exactness. Events of one key are ordered by the compare-and-swap of its record, whichever process they come from, so the
number admitted is the algorithm's own. Only an eviction breaks that: a key pushed out of its full bucket is forgotten
and starts again with its whole burst. The record with the earliest TAT goes, so what is forgotten is the key that is
closest to having its whole burst anyway; replacing a TAT that has passed loses nothing and is not counted. While
`table.evictions` stands still, every answer was exact.
"""

cimport cython
from libc.stdint cimport INT64_MIN, int64_t, uint64_t

from engine._table cimport (
    BUCKET_RECORDS,
    TABLE_RATE_LIMITER,
    TABLE_TRIES,
    Bucket,
    Record,
    Table,
    callsieve_count,
    table_bucket,
    table_look,
    table_replace,
)

# How far the clocks of two processes, or a batch's time and the present, may lie apart.
cdef int64_t CLOCK_SLACK_US = 1_000_000
cdef int64_t MAX_NOW_US = 1LL << 61
cdef int64_t MAX_INTERVAL_US = 1LL << 60

cdef enum:
    PREFETCHED = 64          # keys of a batch whose buckets are on their way at a time


cdef bint limiter_conforms_at(
    Table table, Record* bucket, uint64_t key, int64_t now_us, int64_t increment_us, int64_t tolerance_us, bint count
) noexcept nogil:
    cdef Bucket seen
    cdef int64_t tat
    cdef int _
    key = key if key else 1
    for _ in range(TABLE_TRIES):
        table_look(bucket, key, &seen)
        if seen.twin >= 0:
            join_twin(bucket, key, &seen, now_us)
            continue
        tat = arrival_time(&seen, now_us, increment_us, tolerance_us)
        if tat - now_us > tolerance_us:
            return False
        if not count:
            return True
        if put(table, bucket, key, &seen, tat + increment_us, now_us):
            return True
    callsieve_count(table.view.lost)
    return True              # a race of our own must not cost a caller the call


# The key's TAT, not before now. One that lies further ahead than any conforming event leaves it was written under
# another clock or a wider limit; it counts as the latest at which an event still conforms.
cdef inline int64_t arrival_time(
    const Bucket* seen, int64_t now_us, int64_t increment_us, int64_t tolerance_us
) noexcept nogil:
    cdef int64_t tat = now_us if seen.found < 0 else <int64_t>seen.records[seen.found].value
    if tat > now_us + tolerance_us + increment_us + CLOCK_SLACK_US:
        return now_us + tolerance_us
    return max(tat, now_us)


cdef inline bint put(
    Table table, Record* bucket, uint64_t key, const Bucket* seen, int64_t tat, int64_t now_us
) noexcept nogil:
    if seen.found >= 0:
        return table_replace(bucket, seen, seen.found, key, <uint64_t>tat)
    return insert(table, bucket, key, seen, tat, now_us)


cdef bint insert(
    Table table, Record* bucket, uint64_t key, const Bucket* seen, int64_t tat, int64_t now_us
) noexcept nogil:
    cdef Bucket after
    cdef int victim = earliest(seen)
    if not table_replace(bucket, seen, victim, key, <uint64_t>tat):
        return False
    if seen.records[victim].key and <int64_t>seen.records[victim].value > now_us:
        callsieve_count(table.view.evictions)
    table_look(bucket, key, &after)
    if after.twin < 0:
        return True
    # Another process brought the key in at the same time: take the record back and count on that one, unless
    # somebody has already counted on this one.
    after.records[victim].key = key
    after.records[victim].value = <uint64_t>tat
    return not table_replace(bucket, &after, victim, 0, 0)


# A free record, else the one with the earliest TAT.
cdef inline int earliest(const Bucket* seen) noexcept nogil:
    cdef int i, victim = 0
    cdef int64_t tat, least = 0
    for i in range(BUCKET_RECORDS):
        tat = <int64_t>seen.records[i].value if seen.records[i].key else INT64_MIN
        if i == 0 or tat < least:
            victim = i
            least = tat
    return victim


# What the twin still owes goes to the first record.
cdef void join_twin(Record* bucket, uint64_t key, const Bucket* seen, int64_t now_us) noexcept nogil:
    cdef int64_t tat, owed = <int64_t>seen.records[seen.twin].value - now_us
    cdef Bucket left
    cdef int _
    if not table_replace(bucket, seen, seen.twin, 0, 0) or owed <= 0:
        return
    for _ in range(TABLE_TRIES):
        table_look(bucket, key, &left)
        if left.found < 0:
            return
        tat = max(<int64_t>left.records[left.found].value, now_us) + owed
        if table_replace(bucket, &left, left.found, key, <uint64_t>tat):
            return


@cython.final
cdef class RateLimiter:
    def __init__(self, path, capacity):
        self.table = Table(path, TABLE_RATE_LIMITER, capacity)

    @classmethod
    def attach(cls, path):
        cdef RateLimiter limiter = RateLimiter.__new__(RateLimiter)
        limiter.table = Table.attach(path, TABLE_RATE_LIMITER)
        return limiter

    def conforms(self, uint64_t key, int64_t now_us, int64_t increment_us, int64_t tolerance_us, bint count=True):
        check_times(now_us, increment_us, tolerance_us)
        return bool(limiter_conforms(self.table, key, now_us, increment_us, tolerance_us, count))

    def conforms_many(self, const uint64_t[::1] keys, int64_t now_us, int64_t increment_us, int64_t tolerance_us):
        check_times(now_us, increment_us, tolerance_us)
        cdef bytearray answers = bytearray(keys.shape[0])
        cdef unsigned char* answer = answers
        cdef Py_ssize_t i, j
        with nogil:
            for i in range(keys.shape[0]):
                if i % PREFETCHED == 0:
                    for j in range(i, min(i + PREFETCHED, keys.shape[0])):
                        limiter_prefetch(&self.table.view, keys[j])
                answer[i] = limiter_conforms(self.table, keys[i], now_us, increment_us, tolerance_us, True)
        return bytes(answers)


cdef int check_times(int64_t now_us, int64_t increment_us, int64_t tolerance_us) except -1:
    if not 0 <= now_us < MAX_NOW_US:
        raise ValueError(f"now_us {now_us}: expected 0 to 2^61")
    if not 0 < increment_us < MAX_INTERVAL_US or not 0 <= tolerance_us < MAX_INTERVAL_US:
        raise ValueError(f"increment_us {increment_us}, tolerance_us {tolerance_us}: expected up to 2^60")
    return 0
