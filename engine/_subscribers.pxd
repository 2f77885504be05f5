# What subscribers want refused: 16-byte records, callee -> one word of preferences. Nothing is evicted.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from engine._cuckoo cimport Nest, nest_find, nest_of, nest_prefetch
from engine._decision cimport number_t
from engine._table cimport Table, TableView

# Segments of callers that a subscriber may refuse.
cdef enum Segment:
    SEGMENT_CALL_CENTRE = 1      # CN 950, 951, 952, 954, 957 and what else is a call centre's access number
    SEGMENT_SERVICE = 2          # CN 400 and 800, other countries' shared-cost numbers
    SEGMENT_INTERNATIONAL = 4
    SEGMENT_RESALE = 8           # numbers of mobile resellers
    SEGMENT_ANONYMOUS = 16
    SEGMENT_UNKNOWN = 32         # numbers that no plan or no block in use has

# Where things stand in the word of preferences, counted from the lowest bit.
cdef enum Preference:
    CATEGORIES_AT = 0            # 16 bits: bit n = category n is refused
    SEGMENTS_AT = 16             # 16 bits of Segment
    DO_NOT_CALL_AT = 32
    HIGH_FREQUENCY_AT = 33       # protection against bursts of callers
    THRESHOLD_AT = 34            # 2 bits: how soon, 0..3
    OWN_LISTS_AT = 36            # has entries in the subscriber lists
    QUIET_AT = 37                # has quiet hours
    QUIET_FROM_AT = 38           # 6 bits: half hours since midnight, 0..47
    QUIET_TO_AT = 44             # 6 bits, not included
    PREFIXES_AT = 50             # 14 bits: bit n - 1 = own lists have caller prefixes of n digits

cdef inline bint refuses_category(uint64_t word, uint8_t category) noexcept nogil:
    return word >> CATEGORIES_AT + category & 1

# Whether it matters what is complained of the caller.
cdef inline bint asks_category(uint64_t word) noexcept nogil:
    return word & (0xFFFFULL << CATEGORIES_AT | 1ULL << DO_NOT_CALL_AT | 1ULL << OWN_LISTS_AT) != 0

cdef inline uint32_t refused_segments(uint64_t word) noexcept nogil:
    return <uint32_t>(word >> SEGMENTS_AT & 0xFFFF)

cdef inline bint wants_no_sales(uint64_t word) noexcept nogil:
    return word >> DO_NOT_CALL_AT & 1

# 0 = off, else 1 + the threshold's class.
cdef inline int high_frequency_class(uint64_t word) noexcept nogil:
    return <int>(1 + (word >> THRESHOLD_AT & 3)) if word >> HIGH_FREQUENCY_AT & 1 else 0

cdef inline bint has_quiet_hours(uint64_t word) noexcept nogil:
    return word >> QUIET_AT & 1

# The half hour counted in the subscriber's own time. Hours may pass midnight; from = to is the whole day.
cdef inline bint is_quiet(uint64_t word, uint8_t half_hour) noexcept nogil:
    cdef uint8_t start = word >> QUIET_FROM_AT & 63, end = word >> QUIET_TO_AT & 63
    if not has_quiet_hours(word):
        return False
    if start < end:
        return start <= half_hour < end
    return half_hour >= start or half_hour < end

cdef inline bint has_own_lists(uint64_t word) noexcept nogil:
    return word >> OWN_LISTS_AT & 1

# Lengths of the caller prefixes in own lists: bit n = n digits.
cdef inline uint32_t own_prefix_lengths(uint64_t word) noexcept nogil:
    return <uint32_t>(word >> PREFIXES_AT) << 1

cdef inline Nest subscriber_prefetch(const TableView* view, number_t callee) noexcept nogil:
    return nest_prefetch(view, callee)

# The subscriber's preferences, 0 if there are none. nest: where they may stand.
cdef inline uint64_t subscriber_at(const TableView* view, const Nest* nest, number_t callee) noexcept nogil:
    cdef uint64_t word
    return word if callee and nest_find(view, nest, callee, &word) else 0

cdef inline uint64_t subscriber_read(const TableView* view, number_t callee) noexcept nogil:
    cdef Nest nest = nest_of(view, callee)
    return subscriber_at(view, &nest, callee)

cdef class SubscriberTable:
    cdef readonly Table table
