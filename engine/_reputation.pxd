# What is known of a number or a block of numbers: 16-byte records, forward-decayed score, evicted by least worth.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._cuckoo cimport Nest, nest_find, nest_of, nest_prefetch
from engine._decay cimport q_to_points, time_steps
from engine._decision cimport number_t
from engine._table cimport Table, TableView

cdef extern from *:
    """
    #define CALLSIEVE_DAY_US 86400000000LL
    """
    const int64_t DAY_US "CALLSIEVE_DAY_US"

cdef enum:
    FLAG_PINNED = 1

cdef struct Score:           # a record's value, unpacked
    uint32_t q
    uint8_t flags
    uint8_t category
    uint8_t complaints
    uint16_t day

cdef inline Score unpack(uint64_t value) noexcept nogil:
    return Score(
        q=<uint32_t>(value >> 34),
        flags=<uint8_t>(value >> 32 & 3),
        category=<uint8_t>(value >> 24),
        complaints=<uint8_t>(value >> 16),
        day=<uint16_t>value,
    )

cdef struct ReputationEntry:
    uint32_t points          # decayed to `now`, saturating at 1_000_000
    uint8_t category         # Category
    uint8_t complaints       # saturating
    uint8_t pinned
    int64_t updated_us       # coarse: whole days

cdef inline Nest reputation_prefetch(const TableView* view, number_t key) noexcept nogil:
    return nest_prefetch(view, key)

# A record's value, as it is now.
cdef inline void read_value(Table table, uint64_t value, int64_t now_us, ReputationEntry* entry) noexcept nogil:
    cdef Score score = unpack(value)
    entry.points = q_to_points(score.q, time_steps(table.view.parameters[0], now_us))
    entry.category = score.category
    entry.complaints = score.complaints
    entry.pinned = score.flags & FLAG_PINNED
    entry.updated_us = score.day * DAY_US

# False if nothing is known of `key`. nest: where it may stand.
cdef inline bint reputation_at(
    Table table, const Nest* nest, number_t key, int64_t now_us, ReputationEntry* entry
) noexcept nogil:
    cdef uint64_t value
    if not key or not nest_find(&table.view, nest, key, &value):
        return False
    read_value(table, value, now_us, entry)
    return True

cdef inline bint reputation_read(Table table, number_t key, int64_t now_us, ReputationEntry* entry) noexcept nogil:
    cdef Nest nest = nest_of(&table.view, key)
    return reputation_at(table, &nest, key, now_us, entry)

# Adds points (>= 0) and, when set, one complaint and a category (CATEGORY_NONE leaves the one that is there). Key 0 is
# ignored.
cdef void reputation_add(
    Table table, number_t key, int64_t now_us, uint32_t points, bint complaint, uint8_t category
) noexcept nogil
# The microseconds in so many days; ValueError unless one hour to a century.
cdef uint64_t half_life_of(object days) except 0

# A record that several steps of a decision ask for, looked up once.
cdef struct Known:
    Nest nest
    number_t key             # 0 = none
    bint asked
    bint found
    ReputationEntry entry

cdef inline void known_prefetch(const TableView* view, number_t key, Known* known) noexcept nogil:
    known.key = key
    known.asked = known.found = False
    known.nest = nest_prefetch(view, key)

cdef inline bint is_known(Table table, Known* known, int64_t now_us) noexcept nogil:
    if not known.asked:
        known.asked = True
        known.found = reputation_at(table, &known.nest, known.key, now_us, &known.entry)
    return known.found

cdef class ReputationCache:
    cdef readonly Table table
    cdef bint set_flags(self, number_t number, int64_t now_us, uint8_t wanted, uint8_t unwanted) except -1
