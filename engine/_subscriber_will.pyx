# The subscriber's will: own entries for the caller, what is refused by kind, quiet hours, protection against bursts,
# and the memory of refused pairs, in this order.
#
# Of own entries the longest match wins, of equal ones allow before deny. A consent covers the caller whom it names and
# lifts every refusal but a denial that is as precise. It does not lift anything of the operator's.

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._decision cimport (
    CATEGORY_ESTATE,
    CATEGORY_LOAN,
    CATEGORY_NONE,
    CATEGORY_SALES,
    NO_RULE,
    number_t,
)
from engine._image cimport (
    RULE_SUBSCRIBER_ANONYMOUS,
    RULE_SUBSCRIBER_CATEGORY,
    RULE_SUBSCRIBER_DENY,
    RULE_SUBSCRIBER_DO_NOT_CALL,
    RULE_SUBSCRIBER_HIGH_FREQUENCY,
    RULE_SUBSCRIBER_PAIR,
    RULE_SUBSCRIBER_QUIET_HOURS,
    RULE_SUBSCRIBER_SEGMENT,
    RULE_SUBSCRIBER_UNKNOWN,
    SEGMENT_COMMERCIAL,
    ImageSettings,
    ImageView,
)
from engine._local_time cimport local_half_hour
from engine._numbers cimport PrefixWalk, next_prefix, prefixes_of
from engine._pairs cimport PairMemory, pair_add, pair_at, pair_key, pair_prefetch
from engine._rate_limiter cimport RateLimiter, limiter_conforms
from engine._reputation cimport ReputationCache, ReputationEntry, is_known
from engine._subscriber_lists cimport (
    OWN_ALLOW,
    OWN_CONSENT,
    OWN_DENY,
    OwnEntry,
    SubscriberLists,
    own_entry_key,
    own_entry_read,
)
from engine._subscribers cimport (
    SEGMENT_ANONYMOUS,
    SEGMENT_UNKNOWN,
    SubscriberTable,
    asks_category,
    has_own_lists,
    has_quiet_hours,
    high_frequency_class,
    is_quiet,
    own_prefix_lengths,
    refused_segments,
    refuses_category,
    subscriber_at,
    subscriber_prefetch,
    wants_no_sales,
)

cdef uint64_t SPREAD = 0x9E3779B97F4A7C15     # odd, so that multiplying by it keeps words apart


cdef bint sells(uint8_t category) noexcept nogil:
    return category == CATEGORY_SALES or category == CATEGORY_LOAN or category == CATEGORY_ESTATE


# What is complained of a caller; not on the word of one or two.
cdef uint8_t known_category(Table reputation, const WillCall* call) noexcept nogil:
    cdef const ReputationEntry* entry = &call.caller_known.entry
    if not call.numbered or not is_known(reputation, call.caller_known, call.now_us):
        return CATEGORY_NONE
    return entry.category if entry.pinned or entry.points >= call.suspect_from else CATEGORY_NONE


# Whether an entry ends the search.
cdef bint heed(const OwnEntry* entry, uint8_t category, Will* will) noexcept nogil:
    if entry.flags & OWN_ALLOW:
        will.allows = True
    elif entry.flags & OWN_DENY:
        if not will.consents:
            will.refused_by = RULE_SUBSCRIBER_DENY
    else:
        if entry.flags & OWN_CONSENT and (entry.categories == 0 or entry.categories >> category & 1):
            will.consents = True
        return False
    return True


cdef void read_own_entries(
    Table lists, uint64_t word, const WillCall* call, uint8_t category, Will* will
) noexcept nogil:
    cdef PrefixWalk walk = prefixes_of(call.caller, own_prefix_lengths(word))
    cdef number_t prefix
    cdef uint64_t key = own_entry_key(&lists.view, call.callee, call.caller)
    cdef OwnEntry entry = own_entry_read(&lists.view, key, call.now_us)
    if heed(&entry, category, will):
        return
    prefix = next_prefix(&walk)
    while prefix:
        key = own_entry_key(&lists.view, call.callee, prefix)
        entry = own_entry_read(&lists.view, key, call.now_us)
        if heed(&entry, category, will):
            return
        prefix = next_prefix(&walk)


cdef uint16_t refused_kind(
    const ImageView* policy, uint64_t word, const WillCall* call, uint8_t category
) noexcept nogil:
    """The preference that a call of this kind runs against."""
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


@cython.final
cdef class SubscriberWill:
    def __init__(self, tables):
        cdef SubscriberTable subscribers = tables.subscribers
        cdef SubscriberLists lists = tables.subscriber_lists
        cdef PairMemory pairs = tables.pairs
        cdef RateLimiter limiter = tables.rate_limiter
        cdef ReputationCache reputation = tables.reputation
        self.subscribers = subscribers.table
        self.lists = lists.table
        self.pairs = pairs.table
        self.limiter = limiter.table
        self.reputation = reputation.table

    cdef void prefetch(self, number_t caller, number_t callee, CalleePlaces* places) noexcept nogil:
        places.preferences = subscriber_prefetch(&self.subscribers.view, callee)
        places.pair = 0
        if caller == 0:
            return
        places.pair = pair_key(&self.pairs.view, callee, pair_block(caller))
        places.pair_place = pair_prefetch(&self.pairs.view, places.pair)

    cdef void read(
        self, const ImageView* policy, const WillCall* call, const CalleePlaces* places, Will* will
    ) noexcept nogil:
        cdef const ImageSettings* settings = policy.settings
        cdef uint64_t word = subscriber_at(&self.subscribers.view, &places.preferences, call.callee)
        cdef uint8_t category
        cdef int level
        will.refused_by = NO_RULE
        will.pair_points = 0
        will.allows = will.consents = False
        if word:
            category = known_category(self.reputation, call) if asks_category(word) else CATEGORY_NONE
            if has_own_lists(word) and call.numbered:
                read_own_entries(self.lists, word, call, category, will)
            if will.refused_by == NO_RULE:
                will.refused_by = refused_kind(policy, word, call, category)
                if will.consents:
                    will.refused_by = NO_RULE
        if will.refused_by != NO_RULE or will.allows or will.consents:
            return
        level = high_frequency_class(word)
        if level and not limiter_conforms(
            self.limiter,
            settings.high_frequency_hash ^ call.callee * SPREAD,
            call.now_us,
            settings.high_frequency_increment_us[level - 1],
            settings.high_frequency_tolerance_us[level - 1],
            call.count,
            False,
        ):
            will.refused_by = RULE_SUBSCRIBER_HIGH_FREQUENCY
            return
        if places.pair and settings.pair_points:
            will.pair_points = pair_at(self.pairs, &places.pair_place, places.pair, call.now_us)
            if will.pair_points >= settings.pair_points:
                will.refused_by = RULE_SUBSCRIBER_PAIR

    cdef void remember(self, number_t caller, number_t callee, int64_t now_us, uint32_t points) noexcept nogil:
        pair_add(self.pairs, pair_key(&self.pairs.view, callee, pair_block(caller)), now_us, points)
