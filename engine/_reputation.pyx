"""Reputation: a score that halves every half-life without anything being swept, in one word a number.

Forward decay (Cormode, Shkapenyuk, Srivastava, Xu, ICDE 2009). An event of w points at time t adds
w * 2^((t - landmark) / half-life) to a sum that only grows; reading divides by the same power of the present time. The
sum is kept as its logarithm, q = 1024 * log2(sum), so that it fits 30 bits for a century and two scores of different
age compare as integers: the bucket's smallest q is the record worth least, whatever the time.

    value   q 30 | flags 2 (pinned) | label 8 | complaints 8 | hours since the landmark 16

q is an integer everywhere, by tables made of integers, so that it does not depend on a C library. Sums are rounded to
the nearest step (0.07 %) and not down, since many additions would drift. A score to which nothing was added has q = 0.
"""

from array import array
from dataclasses import dataclass
from math import isqrt

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._decision cimport NO_LABEL, number_t
from engine._table cimport (
    BUCKET_RECORDS,
    TABLE_REPUTATION,
    TABLE_TRIES,
    Bucket,
    Record,
    Table,
    callsieve_count,
    table_bucket,
    table_look,
    table_prefetch,
    table_replace,
)

cdef extern from *:
    """
    #define callsieve_top_bit(word) (63 - __builtin_clzll(word))
    #define CALLSIEVE_LANDMARK_US 1767225600000000LL
    #define CALLSIEVE_HOUR_US 3600000000LL
    """
    int callsieve_top_bit(uint64_t word) noexcept nogil
    const int64_t LANDMARK_US "CALLSIEVE_LANDMARK_US"    # 2026-01-01T00:00Z
    const int64_t HOUR_US "CALLSIEVE_HOUR_US"

cdef enum:
    STEPS = 1024                       # of q in a doubling
    MAX_Q = (1 << 30) - 1
    MAX_TIME_STEPS = MAX_Q - 32 * STEPS    # leaves room for the largest score
    VANISHING = 12 * STEPS             # what lies so far below adds less than half a step
    MAX_POINTS = 1_000_000
    MAX_HOURS = 0xFFFF
    MAX_COMPLAINTS = 0xFF
    FLAG_PINNED = 1
    PREFETCHED = 16                    # numbers of a batch whose buckets are on their way at a time

cdef uint64_t MAX_AGE_US = 1ULL << 52  # 142 years: its steps fit 62 bits

cdef struct Score:                     # a record's value, unpacked
    uint32_t q
    uint8_t flags
    uint8_t label
    uint8_t complaints
    uint16_t hours

cdef struct Change:
    uint32_t points
    uint8_t complaint
    uint8_t label                      # NO_LABEL leaves the one that is there
    uint8_t set_flags
    uint8_t clear_flags
    uint8_t create                     # if nothing is known of the number yet


# --- Logarithms -----------------------------------------------------------------------------------------------------

# 2^(31 + f / 1024), and a half step as a factor of 2^31.
cdef uint32_t[STEPS] POWERS
cdef uint64_t HALF_STEP


def _fill_powers(precision=128):
    cdef uint64_t power
    root = 2 << precision
    for _ in range(10):                # the 1024th root of two
        root = isqrt(root << precision)
    exact = 1 << precision
    for f in range(STEPS):
        power = exact >> (precision - 31)
        POWERS[f] = <uint32_t>power
        exact = exact * root >> precision
    return isqrt(root << precision) >> (precision - 31)


HALF_STEP = _fill_powers()


# 1024 * log2(word / 2^31) to the nearest integer, for words from 2^31 to 2^63 - 1: the inverse of POWERS.
cdef inline int nearest_steps(uint64_t word) noexcept nogil:
    cdef int doublings = callsieve_top_bit(word) - 31
    cdef uint64_t mantissa = (word >> doublings) * HALF_STEP >> 31
    cdef int low = 0, high = STEPS, middle
    if mantissa >> 32:
        return (doublings + 1) * STEPS
    while high - low > 1:
        middle = (low + high) >> 1
        if POWERS[middle] <= mantissa:
            low = middle
        else:
            high = middle
    return doublings * STEPS + low


# 2^31 * 2^(-steps / 1024), for steps from 0 to VANISHING.
cdef inline uint64_t fraction(uint32_t steps) noexcept nogil:
    cdef uint32_t whole = (steps + STEPS - 1) // STEPS
    return <uint64_t>POWERS[whole * STEPS - steps] >> whole


# The logarithm of the sum of two scores.
cdef inline uint32_t sum_of(uint32_t a, uint32_t b) noexcept nogil:
    cdef uint32_t high = max(a, b), low = min(a, b)
    if not low or high - low > VANISHING:
        return high
    return min(high + <uint32_t>nearest_steps((1ULL << 31) + fraction(high - low)), <uint32_t>MAX_Q)


# --- Time and points --------------------------------------------------------------------------------------------------

# Time before the landmark counts as the landmark; so does time beyond a century with the century's end.
cdef inline uint64_t age_us(int64_t now_us) noexcept nogil:
    return 0 if now_us < LANDMARK_US else min(<uint64_t>(now_us - LANDMARK_US), MAX_AGE_US)


cdef inline uint32_t time_steps(Table table, int64_t now_us) noexcept nogil:
    return <uint32_t>min(age_us(now_us) * STEPS // table.view.parameters[0], <uint64_t>MAX_TIME_STEPS)


cdef inline uint32_t points_to_q(uint32_t points, uint32_t now_steps) noexcept nogil:
    if not points:
        return 0
    return max(now_steps + nearest_steps(<uint64_t>min(points, <uint32_t>MAX_POINTS) << 31), <uint32_t>1)


cdef inline uint32_t q_to_points(uint32_t q, uint32_t now_steps) noexcept nogil:
    cdef int steps = <int>q - <int>now_steps
    cdef int doublings = steps >> 10
    if not q or doublings < -1:        # less than half a point
        return 0
    if doublings > 19:
        return MAX_POINTS
    return min((<uint64_t>POWERS[steps & STEPS - 1] + (1ULL << 30 - doublings)) >> 31 - doublings, <uint64_t>MAX_POINTS)


# --- Records ----------------------------------------------------------------------------------------------------------

cdef inline Score unpack(uint64_t value) noexcept nogil:
    return Score(
        q=<uint32_t>(value >> 34),
        flags=<uint8_t>(value >> 32 & 3),
        label=<uint8_t>(value >> 24),
        complaints=<uint8_t>(value >> 16),
        hours=<uint16_t>value,
    )


cdef inline uint64_t pack(Score score) noexcept nogil:
    return (
        <uint64_t>score.q << 34
        | <uint64_t>score.flags << 32
        | <uint64_t>score.label << 24
        | <uint64_t>score.complaints << 16
        | score.hours
    )


cdef uint64_t changed(uint64_t value, const Change* change, uint32_t now_steps, int64_t now_us) noexcept nogil:
    cdef Score score = unpack(value)
    cdef uint64_t hours = age_us(now_us) // <uint64_t>HOUR_US
    score.q = sum_of(score.q, points_to_q(change.points, now_steps))
    score.flags = (score.flags | change.set_flags) & ~change.clear_flags
    score.complaints = <uint8_t>min(score.complaints + change.complaint, <int>MAX_COMPLAINTS)
    if change.label != NO_LABEL:
        score.label = change.label
    score.hours = <uint16_t>max(<uint64_t>score.hours, min(hours, <uint64_t>MAX_HOURS))
    return pack(score)


# Two records of one number as one: the sum of both, the label of the later.
cdef uint64_t joined(uint64_t value, uint64_t other) noexcept nogil:
    cdef Score a = unpack(value), b = unpack(other)
    cdef bint other_label = b.label != NO_LABEL and (a.label == NO_LABEL or b.hours > a.hours)
    return pack(Score(
        q=sum_of(a.q, b.q),
        flags=a.flags | b.flags,
        label=b.label if other_label else a.label,
        complaints=<uint8_t>min(<int>a.complaints + b.complaints, <int>MAX_COMPLAINTS),
        hours=max(a.hours, b.hours),
    ))


# A free record, else the unpinned one that is worth least; -1 if all are pinned.
cdef inline int least(const Bucket* seen) noexcept nogil:
    cdef int i, victim = -1
    for i in range(BUCKET_RECORDS):
        if not seen.records[i].key:
            return i
        if seen.records[i].value >> 32 & FLAG_PINNED:
            continue
        if victim < 0 or seen.records[i].value < seen.records[victim].value:
            victim = i
    return victim


cdef void join_twin(Record* bucket, uint64_t key, const Bucket* seen) noexcept nogil:
    cdef Bucket left
    cdef int _
    if not table_replace(bucket, seen, seen.twin, 0, 0):
        return
    for _ in range(TABLE_TRIES):
        table_look(bucket, key, &left)
        if left.found < 0 or table_replace(
            bucket, &left, left.found, key, joined(left.records[left.found].value, seen.records[seen.twin].value)
        ):
            return


# False if nothing was known and nothing was made.
cdef bint change_record(Table table, uint64_t key, int64_t now_us, const Change* change) noexcept nogil:
    cdef Record* bucket = table_bucket(&table.view, key)
    cdef uint32_t now_steps = time_steps(table, now_us)
    cdef Bucket seen
    cdef int _
    for _ in range(TABLE_TRIES):
        table_look(bucket, key, &seen)
        if seen.twin >= 0:
            join_twin(bucket, key, &seen)
        elif seen.found >= 0:
            if table_replace(
                bucket, &seen, seen.found, key, changed(seen.records[seen.found].value, change, now_steps, now_us)
            ):
                return True
        elif not change.create:
            return False
        elif least(&seen) < 0:
            break
        elif insert(table, bucket, key, &seen, changed(<uint64_t>NO_LABEL << 24, change, now_steps, now_us), now_steps):
            return True
    callsieve_count(table.view.lost)
    return False


cdef bint insert(
    Table table, Record* bucket, uint64_t key, const Bucket* seen, uint64_t value, uint32_t now_steps
) noexcept nogil:
    cdef Bucket after
    cdef int victim = least(seen)
    if not table_replace(bucket, seen, victim, key, value):
        return False
    if seen.records[victim].key and q_to_points(<uint32_t>(seen.records[victim].value >> 34), now_steps):
        callsieve_count(table.view.evictions)
    table_look(bucket, key, &after)
    if after.twin >= 0:
        join_twin(bucket, key, &after)
    return True


cdef bint reputation_read(Table table, number_t key, int64_t now_us, ReputationEntry* entry) noexcept nogil:
    cdef Bucket seen
    cdef Score score
    table_look(table_bucket(&table.view, key), key, &seen)
    if seen.found < 0 or not key:
        return False
    score = unpack(seen.records[seen.found].value)
    entry.points = q_to_points(score.q, time_steps(table, now_us))
    entry.label = score.label
    entry.complaints = score.complaints
    entry.pinned = score.flags & FLAG_PINNED
    entry.updated_us = LANDMARK_US + score.hours * HOUR_US
    return True


cdef void reputation_add(
    Table table, number_t key, int64_t now_us, uint32_t points, bint complaint, uint8_t label
) noexcept nogil:
    cdef Change change = Change(
        points=points, complaint=complaint, label=label, set_flags=0, clear_flags=0, create=True
    )
    if key:
        change_record(table, key, now_us, &change)


# --- Python -----------------------------------------------------------------------------------------------------------

@dataclass(frozen=True, slots=True)
class Standing:
    points: int
    label: int | None
    complaints: int
    pinned: bool
    updated_us: int


@cython.final
cdef class ReputationCache:
    def __init__(self, path, capacity, half_life_days=14.0):
        half_life_us = round(half_life_days * 24 * HOUR_US)
        if not HOUR_US <= half_life_us < 1 << 52:
            raise ValueError(f"half_life_days {half_life_days}: expected one hour to a century")
        self.table = Table(path, TABLE_REPUTATION, capacity, (half_life_us,))

    @classmethod
    def attach(cls, path):
        cdef ReputationCache cache = ReputationCache.__new__(ReputationCache)
        cache.table = Table.attach(path, TABLE_REPUTATION)
        return cache

    @property
    def half_life_us(self):
        return self.table.view.parameters[0]

    def read(self, number_t number, int64_t now_us):
        cdef ReputationEntry entry
        if not reputation_read(self.table, number, now_us, &entry):
            return None
        label = None if entry.label == NO_LABEL else entry.label
        return Standing(entry.points, label, entry.complaints, bool(entry.pinned), entry.updated_us)

    def read_many(self, const uint64_t[::1] numbers, int64_t now_us):
        found = array("I", bytes(4 * numbers.shape[0]))
        cdef uint32_t[::1] points = found
        cdef ReputationEntry entry
        cdef Py_ssize_t i
        with nogil:
            for i in range(numbers.shape[0]):
                if i % PREFETCHED == 0:
                    prefetch(self.table, numbers, i)
                points[i] = entry.points if reputation_read(self.table, numbers[i], now_us, &entry) else 0
        return found

    def add(self, number_t number, int64_t now_us, uint32_t points=0, bint complaint=False, label=None):
        check_number(number)
        reputation_add(self.table, number, now_us, points, complaint, NO_LABEL if label is None else label)

    def add_many(self, const uint64_t[::1] numbers, int64_t now_us, uint32_t points):
        cdef Py_ssize_t i
        with nogil:
            for i in range(numbers.shape[0]):
                if i % PREFETCHED == 0:
                    prefetch(self.table, numbers, i)
                reputation_add(self.table, numbers[i], now_us, points, False, NO_LABEL)

    def pin(self, number_t number, int64_t now_us):
        return self.set_flags(number, now_us, FLAG_PINNED, 0)

    def unpin(self, number_t number, int64_t now_us):
        return self.set_flags(number, now_us, 0, FLAG_PINNED)

    cdef bint set_flags(self, number_t number, int64_t now_us, uint8_t wanted, uint8_t unwanted) except -1:
        cdef Change change = Change(
            points=0, complaint=0, label=NO_LABEL, set_flags=wanted, clear_flags=unwanted, create=wanted != 0
        )
        check_number(number)
        return change_record(self.table, number, now_us, &change)

    def forget(self, number_t number):
        check_number(number)
        return bool(forget_record(self.table, number))


cdef int check_number(number_t number) except -1:
    if not number:
        raise ValueError("number 0: no number")
    return 0


cdef void prefetch(Table table, const uint64_t[::1] numbers, Py_ssize_t start) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(start, min(start + PREFETCHED, numbers.shape[0])):
        table_prefetch(&table.view, numbers[i])


cdef bint forget_record(Table table, uint64_t key) noexcept nogil:
    cdef Record* bucket = table_bucket(&table.view, key)
    cdef Bucket seen
    cdef bint known = False
    cdef int _
    for _ in range(TABLE_TRIES):
        table_look(bucket, key, &seen)
        if seen.found < 0:
            return known
        known |= table_replace(bucket, &seen, seen.found, 0, 0)
    callsieve_count(table.view.lost)
    return known
