"""Reputation: what is known of a number or a block of numbers, in one word.

    value   q 30 | flags 2 (pinned) | category 8 | complaints 8 | day of the last change 16

q is the forward-decayed score (`_decay`), so that the record worth least has the smallest value, whatever the time.
Days count from 1970 and end in 2149. The category is one of a fixed list and means the same after a reload and on every
node.
"""

from array import array
from dataclasses import dataclass

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._cuckoo cimport (
    KEY_MOVING,
    NEST_RECORDS,
    Nest,
    NestSeen,
    nest_free,
    nest_look,
    nest_make_room,
    nest_of,
    nest_remove,
    nest_replace,
)
from engine._decay cimport q_to_points, points_to_q, sum_of, time_steps
from engine._decision cimport CATEGORY_COUNT, CATEGORY_NONE, number_t
from engine._table cimport TABLE_REPUTATION, TABLE_TRIES, Table, callsieve_count

from engine.decision import Category

cdef extern from *:
    """
    #define CALLSIEVE_HOUR_US 3600000000LL
    """
    const int64_t HOUR_US "CALLSIEVE_HOUR_US"

cdef enum:
    MAX_DAY = 0xFFFF
    MAX_COMPLAINTS = 0xFF
    DISPLACED = 1                      # records moved one after the other before something is evicted
    PREFETCHED = 64                    # numbers of a batch whose buckets are on their way at a time

cdef struct Change:
    uint32_t points
    uint8_t complaint
    uint8_t category                   # CATEGORY_NONE leaves the one that is there
    uint8_t set_flags
    uint8_t clear_flags
    uint8_t create                     # if nothing is known of the number yet


# --- Records ----------------------------------------------------------------------------------------------------------

cdef inline uint64_t pack(Score score) noexcept nogil:
    return (
        <uint64_t>score.q << 34
        | <uint64_t>score.flags << 32
        | <uint64_t>score.category << 24
        | <uint64_t>score.complaints << 16
        | score.day
    )


cdef inline uint16_t day_of(int64_t now_us) noexcept nogil:
    return <uint16_t>min(max(now_us, 0) // DAY_US, <int64_t>MAX_DAY)


cdef uint64_t changed(uint64_t value, const Change* change, uint32_t now_steps, int64_t now_us) noexcept nogil:
    cdef Score score = unpack(value)
    score.q = sum_of(score.q, points_to_q(change.points, now_steps))
    score.flags = (score.flags | change.set_flags) & ~change.clear_flags
    score.complaints = <uint8_t>min(score.complaints + change.complaint, <int>MAX_COMPLAINTS)
    if change.category != CATEGORY_NONE:
        score.category = change.category
    score.day = max(score.day, day_of(now_us))
    return pack(score)


# Two records of one number as one: the sum of both, the category of the later.
cdef uint64_t joined(uint64_t value, uint64_t other) noexcept nogil:
    cdef Score a = unpack(value), b = unpack(other)
    cdef bint others = b.category != CATEGORY_NONE and (a.category == CATEGORY_NONE or b.day > a.day)
    return pack(Score(
        q=sum_of(a.q, b.q),
        flags=a.flags | b.flags,
        category=b.category if others else a.category,
        complaints=<uint8_t>min(<int>a.complaints + b.complaints, <int>MAX_COMPLAINTS),
        day=max(a.day, b.day),
    ))


# The record that is worth least, -1 if all are pinned or on their way to another bucket.
cdef inline int least(const NestSeen* seen) noexcept nogil:
    cdef int i, victim = -1
    for i in range(NEST_RECORDS):
        if seen.records[i].value >> 32 & FLAG_PINNED or seen.records[i].key & KEY_MOVING:
            continue
        if victim < 0 or seen.records[i].value < seen.records[victim].value:
            victim = i
    return victim


cdef void join_twin(Table table, const Nest* nest, uint64_t key, const NestSeen* seen) noexcept nogil:
    cdef NestSeen left
    cdef int _
    if not nest_replace(nest, seen, seen.twin, 0, 0):
        return
    for _ in range(TABLE_TRIES):
        nest_look(&table.view, nest, key, &left)
        if left.found < 0 or nest_replace(
            nest, &left, left.found, key, joined(left.records[left.found].value, seen.records[seen.twin].value)
        ):
            return


# False if nothing was known and nothing was made.
cdef bint change_record(Table table, uint64_t key, int64_t now_us, const Change* change) noexcept nogil:
    cdef Nest nest = nest_of(&table.view, key)
    cdef uint32_t now_steps = time_steps(table.view.parameters[0], now_us)
    cdef NestSeen seen
    cdef int place, _
    for _ in range(TABLE_TRIES):
        nest_look(&table.view, &nest, key, &seen)
        if seen.twin >= 0:
            join_twin(table, &nest, key, &seen)
            continue
        place = seen.found
        if place >= 0:
            if nest_replace(&nest, &seen, place, key, changed(seen.records[place].value, change, now_steps, now_us)):
                return True
            continue
        if not change.create:
            return False
        place = nest_free(&seen)
        if place < 0 and nest_make_room(&table.view, &nest, DISPLACED):
            continue
        if place < 0:
            place = least(&seen)
        if place < 0:
            break
        if insert(table, &nest, key, &seen, place, changed(0, change, now_steps, now_us)):
            if seen.records[place].key and q_to_points(<uint32_t>(seen.records[place].value >> 34), now_steps):
                callsieve_count(table.view.evictions)
            return True
    callsieve_count(table.view.lost)
    return False


cdef bint insert(
    Table table, const Nest* nest, uint64_t key, const NestSeen* seen, int place, uint64_t value
) noexcept nogil:
    cdef NestSeen after
    if not nest_replace(nest, seen, place, key, value):
        return False
    nest_look(&table.view, nest, key, &after)
    if after.twin >= 0:
        join_twin(table, nest, key, &after)
    return True


cdef void reputation_add(
    Table table, number_t key, int64_t now_us, uint32_t points, bint complaint, uint8_t category
) noexcept nogil:
    cdef Change change = Change(
        points=points, complaint=complaint, category=category, set_flags=0, clear_flags=0, create=True
    )
    if key:
        change_record(table, key, now_us, &change)


cdef uint64_t half_life_of(object days) except 0:
    half_life_us = round(days * 24 * HOUR_US)
    if not HOUR_US <= half_life_us < 1 << 52:
        raise ValueError(f"half_life_days {days}: expected one hour to a century")
    return half_life_us


# --- Python -----------------------------------------------------------------------------------------------------------

@dataclass(frozen=True, slots=True)
class Standing:
    points: int
    category: Category
    complaints: int
    pinned: bool
    updated_us: int


@cython.final
cdef class ReputationCache:
    def __init__(self, path, capacity, half_life_days=14.0):
        self.table = Table(path, TABLE_REPUTATION, capacity, (half_life_of(half_life_days),))

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
        return Standing(
            entry.points, Category(entry.category), entry.complaints, bool(entry.pinned), entry.updated_us
        )

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

    def add(self, number_t number, int64_t now_us, uint32_t points=0, bint complaint=False, uint8_t category=0):
        check_number(number)
        if category >= CATEGORY_COUNT:
            raise ValueError(f"category {category}: expected 0 to {CATEGORY_COUNT - 1}")
        reputation_add(self.table, number, now_us, points, complaint, category)

    def add_many(self, const uint64_t[::1] numbers, int64_t now_us, uint32_t points):
        cdef Py_ssize_t i
        with nogil:
            for i in range(numbers.shape[0]):
                if i % PREFETCHED == 0:
                    prefetch(self.table, numbers, i)
                reputation_add(self.table, numbers[i], now_us, points, False, CATEGORY_NONE)

    def pin(self, number_t number, int64_t now_us):
        return self.set_flags(number, now_us, FLAG_PINNED, 0)

    def unpin(self, number_t number, int64_t now_us):
        return self.set_flags(number, now_us, 0, FLAG_PINNED)

    cdef bint set_flags(self, number_t number, int64_t now_us, uint8_t wanted, uint8_t unwanted) except -1:
        cdef Change change = Change(
            points=0, complaint=0, category=CATEGORY_NONE, set_flags=wanted, clear_flags=unwanted, create=wanted != 0
        )
        check_number(number)
        return change_record(self.table, number, now_us, &change)

    def forget(self, number_t number):
        check_number(number)
        return bool(nest_remove(&self.table.view, number))


cdef int check_number(number_t number) except -1:
    if not number or number & KEY_MOVING:
        raise ValueError(f"number {number}: no number")
    return 0


cdef void prefetch(Table table, const uint64_t[::1] numbers, Py_ssize_t start) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(start, min(start + PREFETCHED, numbers.shape[0])):
        reputation_prefetch(&table.view, numbers[i])
