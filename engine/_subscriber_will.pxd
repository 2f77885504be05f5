# What a callee wants of one call: refused, allowed, consented to, or nothing said.
#
# Own entries for the caller, what is refused by kind, quiet hours, protection against bursts, and the memory of refused
# pairs, in this order. What only few callees have, own entries and a count of calls, is fetched when the callee turns
# out to have it.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._cuckoo cimport Nest
from engine._decision cimport (
    CATEGORY_ESTATE,
    CATEGORY_LOAN,
    CATEGORY_NONE,
    CATEGORY_SALES,
    KIND_NUMBER,
    NO_RULE,
    number_t,
)
from engine._image cimport (
    RULE_SUBSCRIBER_ANONYMOUS,
    RULE_SUBSCRIBER_CATEGORY,
    RULE_SUBSCRIBER_DO_NOT_CALL,
    RULE_SUBSCRIBER_HIGH_FREQUENCY,
    RULE_SUBSCRIBER_PAIR,
    RULE_SUBSCRIBER_QUIET_HOURS,
    RULE_SUBSCRIBER_SEGMENT,
    RULE_SUBSCRIBER_UNKNOWN,
    SEGMENT_COMMERCIAL,
    ImageView,
)
from engine._local_time cimport local_half_hour
from engine._numbers cimport number_block, number_kind
from engine._pairs cimport pair_at, pair_key, pair_prefetch
from engine._reputation cimport Known, ReputationEntry, is_known
from engine._subscribers cimport (
    SEGMENT_ANONYMOUS,
    SEGMENT_UNKNOWN,
    asks_category,
    has_own_lists,
    has_quiet_hours,
    high_frequency_class,
    is_quiet,
    refused_segments,
    refuses_category,
    subscriber_at,
    subscriber_prefetch,
    wants_no_sales,
)
from engine._table cimport Table

# The call, as far as a subscriber's will asks.
cdef struct WillCall:
    number_t caller
    number_t callee
    Known* caller_known      # the reputation of a caller with a number
    int64_t now_us
    uint16_t segments        # of the caller's number: Segment, and SEGMENT_COMMERCIAL
    uint16_t suspect_from    # points from which the caller's category counts
    bint numbered            # the caller has a number to know it by
    bint withheld            # and does not show it
    bint count

# Where its table records may stand.
cdef struct CalleePlaces:
    Nest preferences
    Nest pair_place
    uint64_t pair            # the callee and the caller's block; 0 = the caller has no number

cdef struct Will:
    uint16_t refused_by      # BuiltinRule, NO_RULE = not refused
    uint32_t pair_points     # what the callee's refusals of the caller's block are worth
    bint allows
    bint consents

cdef class SubscriberWill:
    cdef Table subscribers
    cdef Table lists
    cdef Table pairs
    cdef Table limiter
    cdef Table reputation

    # Looks for the caller among the callee's own entries. word: the callee's preferences.
    cdef void read_own_entries(
        self, uint64_t word, number_t caller, number_t callee, int64_t now_us, uint8_t category, Will* will
    ) noexcept nogil
    # Whether more calls came to the callee lately than it wants, by the protection of this level.
    cdef bint bursts(
        self, const ImageView* policy, int level, number_t callee, int64_t now_us, bint count
    ) noexcept nogil
    cdef void remember(self, number_t caller, number_t callee, int64_t now_us, uint32_t points) noexcept nogil

# What a callee's refusals are remembered of: the caller's block of 100, or the short code itself.
cdef inline number_t pair_block(number_t caller) noexcept nogil:
    cdef number_t block = number_block(caller, 2) if number_kind(caller) == KIND_NUMBER else 0
    return block if block else caller

# Starts the memory fetches that `will_read` waits for. caller: 0 if it has no number.
cdef inline void will_prefetch(
    SubscriberWill wills, number_t caller, number_t callee, CalleePlaces* places
) noexcept nogil:
    places.preferences = subscriber_prefetch(&wills.subscribers.view, callee)
    places.pair = 0
    if caller == 0:
        return
    places.pair = pair_key(&wills.pairs.view, callee, pair_block(caller))
    places.pair_place = pair_prefetch(&wills.pairs.view, places.pair)

cdef inline bint sells(uint8_t category) noexcept nogil:
    return category == CATEGORY_SALES or category == CATEGORY_LOAN or category == CATEGORY_ESTATE

# What is complained of the caller; not on the word of one or two.
cdef inline uint8_t known_category(Table reputation, const WillCall* call) noexcept nogil:
    cdef const ReputationEntry* entry = &call.caller_known.entry
    if not call.numbered or not is_known(reputation, call.caller_known, call.now_us):
        return CATEGORY_NONE
    return entry.category & -<uint8_t>(entry.pinned | (entry.points >= call.suspect_from))

# The preference that a call of this kind runs against.
cdef inline uint16_t refused_kind(
    const ImageView* policy, uint64_t word, const WillCall* call, uint8_t category
) noexcept nogil:
    cdef uint32_t refused = refused_segments(word)
    if call.withheld and refused & SEGMENT_ANONYMOUS:
        return RULE_SUBSCRIBER_ANONYMOUS
    if category != CATEGORY_NONE and refuses_category(word, category):
        return RULE_SUBSCRIBER_CATEGORY
    if refused & call.segments & SEGMENT_UNKNOWN:
        return RULE_SUBSCRIBER_UNKNOWN
    if refused & call.segments & ~(SEGMENT_COMMERCIAL | SEGMENT_ANONYMOUS):
        return RULE_SUBSCRIBER_SEGMENT
    if wants_no_sales(word) and (sells(category) or call.segments & SEGMENT_COMMERCIAL):
        return RULE_SUBSCRIBER_DO_NOT_CALL
    if has_quiet_hours(word) and is_quiet(word, local_half_hour(policy, call.now_us)):
        return RULE_SUBSCRIBER_QUIET_HOURS
    return NO_RULE

cdef inline void will_read(
    SubscriberWill wills, const ImageView* policy, const WillCall* call, const CalleePlaces* places, Will* will
) noexcept nogil:
    cdef uint64_t word = subscriber_at(&wills.subscribers.view, &places.preferences, call.callee)
    cdef uint8_t category
    cdef int level
    will.refused_by = NO_RULE
    will.pair_points = 0
    will.allows = will.consents = False
    if word:
        category = known_category(wills.reputation, call) if asks_category(word) else CATEGORY_NONE
        if has_own_lists(word) and call.numbered:
            wills.read_own_entries(word, call.caller, call.callee, call.now_us, category, will)
        if will.refused_by == NO_RULE and not will.consents:
            will.refused_by = refused_kind(policy, word, call, category)
    if will.refused_by != NO_RULE or will.allows or will.consents:
        return
    level = high_frequency_class(word)
    if level and wills.bursts(policy, level, call.callee, call.now_us, call.count):
        will.refused_by = RULE_SUBSCRIBER_HIGH_FREQUENCY
        return
    if places.pair and policy.settings.pair_points:
        will.pair_points = pair_at(wills.pairs, &places.pair_place, places.pair, call.now_us)
        if will.pair_points >= policy.settings.pair_points:
            will.refused_by = RULE_SUBSCRIBER_PAIR
