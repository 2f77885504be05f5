"""Exact limits: the generic cell rate algorithm of ITU-T I.371 in its virtual-scheduling form.

A key's record holds one number, the theoretical arrival time (TAT) of its next event. An event conforms if it comes no
earlier than TAT - tolerance, and then moves TAT to max(now, TAT) + increment. A TAT that has passed says nothing that
an absent record would not say.

Exactness. Events of one key are ordered by the compare-and-swap of its record, whichever process they come from, so the
number admitted is the algorithm's own. Only an eviction breaks that: a key pushed out of its full bucket is forgotten
and starts again with its whole burst. The record with the earliest TAT goes, so what is forgotten is the key that is
closest to having its whole burst anyway; replacing a TAT that has passed loses nothing and is not counted. While
`table.evictions` stands still, every answer was exact. A limit that many callers share has a mark in its value (KEPT)
and goes after all others: else whoever brings enough callers with long limits could push a trunk's short one out.

One record a key. Two processes that bring the same new key in may choose different records of its bucket. So a new
record is a claim at first, on which nobody counts. Who makes one looks at the bucket again: if the key has a record he
withdraws; he withdraws every other claim to the key; then he turns his own into the record, if nobody has withdrawn it.
Of two that both got that far, the one whose claim was made first was seen by the other one, and withdrawn.
"""

cimport cython
from libc.stdint cimport INT64_MIN, int64_t, uint32_t, uint64_t

from engine._table cimport (
    BUCKET_RECORDS,
    TABLE_RATE_LIMITER,
    TABLE_TRIES,
    Record,
    Table,
    callsieve_count,
    callsieve_load,
    callsieve_lowest_place,
    callsieve_places_in,
    callsieve_swap,
)

# How far the clocks of two processes, or a batch's time and the present, may lie apart.
cdef int64_t CLOCK_SLACK_US = 1_000_000
cdef int64_t MAX_NOW_US = 1LL << 61
cdef int64_t MAX_INTERVAL_US = 1LL << 59

cdef enum:
    PREFETCHED = 64          # keys of a batch whose buckets are on their way at a time


cdef extern from *:
    """
    #define CALLSIEVE_KEPT (1LL << 62)    /* above every TAT: now < 2^61, interval and tolerance < 2^59 */
    """
    const int64_t KEPT "CALLSIEVE_KEPT"

cdef struct Bucket:          # a bucket as it was read
    Record records[BUCKET_RECORDS]
    int found                # index of the key's record, -1 = none


cdef extern from *:
    """
    #include <time.h>
    #if defined(__x86_64__)
    #include <x86intrin.h>
    #endif

    /* A claim's value: negative as a TAT, and no other claim has it that stood at the same place at about the time. */
    static inline int64_t callsieve_claim(const void *on_stack)
    {
        uint64_t ticks;
    #if defined(__x86_64__)
        ticks = __rdtsc();
    #else
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        ticks = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    #endif
        return (int64_t)(1ULL << 63 | (ticks << 24 ^ (uint64_t)(uintptr_t)on_stack >> 4));
    }
    """
    int64_t callsieve_claim(const void* on_stack) noexcept nogil


cdef bint limiter_conforms_at(
    Table table,
    Record* bucket,
    uint64_t key,
    int64_t now_us,
    int64_t increment_us,
    int64_t tolerance_us,
    bint count,
    bint kept,
) noexcept nogil:
    cdef Record seen
    cdef Record* record
    cdef int64_t tat, value
    cdef int _
    key = key if key else 1
    for _ in range(TABLE_TRIES):
        record = standing(bucket, key, &seen)
        tat = now_us
        if record is not NULL:
            tat = arrival_time(time_in(<int64_t>seen.value), now_us, increment_us, tolerance_us)
        if tat - now_us > tolerance_us:
            return False
        if not count:
            return True
        value = tat + increment_us | KEPT * kept
        if record is NULL:
            if insert(table, bucket, key, value, now_us):
                return True
        elif callsieve_swap(record, key, seen.value, key, <uint64_t>value):
            return True
    callsieve_count(table.view.lost)
    return True              # a race of our own must not cost a caller the call


# The key's record, as it was read; NULL if there is none.
cdef inline Record* standing(Record* bucket, uint64_t key, Record* seen) noexcept nogil:
    cdef uint32_t places = callsieve_places_in(bucket, key)
    cdef Record* record
    while places:
        record = &bucket[callsieve_lowest_place(places)]
        callsieve_load(record, &seen.key, &seen.value)
        if seen.key == key and not is_claim(seen):
            return record
        places &= places - 1
    return NULL


cdef inline void look(const Record* bucket, uint64_t key, Bucket* seen) noexcept nogil:
    cdef int i
    seen.found = -1
    for i in range(BUCKET_RECORDS):
        callsieve_load(&bucket[i], &seen.records[i].key, &seen.records[i].value)
        seen.found = i if (seen.records[i].key == key) & (not is_claim(&seen.records[i])) else seen.found


cdef inline int64_t time_in(int64_t value) noexcept nogil:
    return value & ~KEPT


cdef inline bint is_claim(const Record* record) noexcept nogil:
    return <int64_t>record.value < 0


# Puts (key, value) where `seen` had another record at `index`; false if that record has changed since.
cdef inline bint replace(Record* bucket, const Bucket* seen, int index, uint64_t key, int64_t value) noexcept nogil:
    return callsieve_swap(&bucket[index], seen.records[index].key, seen.records[index].value, key, <uint64_t>value)


# The key's TAT, not before now. One that lies further ahead than any conforming event leaves it was written under
# another clock or a wider limit; it counts as the latest at which an event still conforms.
cdef inline int64_t arrival_time(
    int64_t tat, int64_t now_us, int64_t increment_us, int64_t tolerance_us
) noexcept nogil:
    if tat > now_us + tolerance_us + increment_us + CLOCK_SLACK_US:
        return now_us + tolerance_us
    return max(tat, now_us)


# False if somebody else changed the bucket meanwhile: then nothing was counted, and the caller looks again.
cdef bint insert(Table table, Record* bucket, uint64_t key, int64_t value, int64_t now_us) noexcept nogil:
    cdef Bucket seen
    cdef int place
    cdef uint64_t claim = <uint64_t>callsieve_claim(&place)
    look(bucket, key, &seen)
    if seen.found >= 0:
        return False
    place = earliest(&seen, now_us)
    if not replace(bucket, &seen, place, key, <int64_t>claim):
        return False
    if seen.records[place].key and time_in(<int64_t>seen.records[place].value) > now_us:
        callsieve_count(table.view.evictions)
    if not withdraw_others(bucket, key, place):
        callsieve_swap(&bucket[place], key, claim, 0, 0)
        return False
    return callsieve_swap(&bucket[place], key, claim, key, <uint64_t>value)


# Withdraws the claims to the key that stand elsewhere than at `own`; false if it has a record, or one became it.
cdef inline bint withdraw_others(Record* bucket, uint64_t key, int own) noexcept nogil:
    cdef Bucket seen
    cdef int i
    look(bucket, key, &seen)
    if seen.found >= 0:
        return False
    for i in range(BUCKET_RECORDS):
        if i != own and seen.records[i].key == key and not replace(bucket, &seen, i, 0, 0):
            return False
    return True


# A free record, else the one with the earliest TAT; those that are kept after all others, unless theirs has passed.
cdef inline int earliest(const Bucket* seen, int64_t now_us) noexcept nogil:
    cdef int i, victim = 0
    cdef int64_t worth, least = 0
    for i in range(BUCKET_RECORDS):
        worth = <int64_t>seen.records[i].value if seen.records[i].key else INT64_MIN
        worth = time_in(worth) if time_in(worth) <= now_us else worth
        if i == 0 or worth < least:
            victim = i
            least = worth
    return victim


@cython.final
cdef class RateLimiter:
    def __init__(self, path, capacity):
        self.table = Table(path, TABLE_RATE_LIMITER, capacity)

    @classmethod
    def attach(cls, path):
        cdef RateLimiter limiter = RateLimiter.__new__(RateLimiter)
        limiter.table = Table.attach(path, TABLE_RATE_LIMITER)
        return limiter

    def conforms(
        self,
        uint64_t key,
        int64_t now_us,
        int64_t increment_us,
        int64_t tolerance_us,
        bint count=True,
        *,
        bint kept=False,
    ):
        check_times(now_us, increment_us, tolerance_us)
        return bool(limiter_conforms(self.table, key, now_us, increment_us, tolerance_us, count, kept))

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
                answer[i] = limiter_conforms(self.table, keys[i], now_us, increment_us, tolerance_us, True, False)
        return bytes(answers)


cdef int check_times(int64_t now_us, int64_t increment_us, int64_t tolerance_us) except -1:
    if not 0 <= now_us < MAX_NOW_US:
        raise ValueError(f"now_us {now_us}: expected 0 to 2^61")
    if not 0 < increment_us < MAX_INTERVAL_US or not 0 <= tolerance_us < MAX_INTERVAL_US:
        raise ValueError(f"increment_us {increment_us}, tolerance_us {tolerance_us}: expected up to 2^60")
    return 0
