# The subscriber's will, where it takes more than the word of preferences.
#
# Of own entries the longest match wins, of equal ones allow before deny. A consent covers the caller whom it names and
# lifts every refusal but a denial that is as precise. It does not lift anything of the operator's.

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from engine._decision cimport number_t
from engine._image cimport RULE_SUBSCRIBER_DENY, ImageSettings, ImageView
from engine._numbers cimport PrefixWalk, next_prefix, prefixes_of
from engine._pairs cimport PairMemory, pair_add, pair_key
from engine._rate_limiter cimport RateLimiter, limiter_conforms
from engine._reputation cimport ReputationCache
from engine._subscriber_lists cimport (
    OWN_ALLOW,
    OWN_CONSENT,
    OWN_DENY,
    OwnEntry,
    SubscriberLists,
    own_entry_key,
    own_entry_read,
)
from engine._subscribers cimport SubscriberTable, own_prefix_lengths

cdef uint64_t SPREAD = 0x9E3779B97F4A7C15     # odd, so that multiplying by it keeps words apart


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

    cdef void read_own_entries(
        self, uint64_t word, number_t caller, number_t callee, int64_t now_us, uint8_t category, Will* will
    ) noexcept nogil:
        cdef PrefixWalk walk = prefixes_of(caller, own_prefix_lengths(word))
        cdef number_t prefix = caller
        cdef OwnEntry entry
        while prefix:
            entry = own_entry_read(&self.lists.view, own_entry_key(&self.lists.view, callee, prefix), now_us)
            if heed(&entry, category, will):
                return
            prefix = next_prefix(&walk)

    cdef bint bursts(
        self, const ImageView* policy, int level, number_t callee, int64_t now_us, bint count
    ) noexcept nogil:
        cdef const ImageSettings* settings = policy.settings
        return not limiter_conforms(
            self.limiter,
            settings.high_frequency_hash ^ callee * SPREAD,
            now_us,
            settings.high_frequency_increment_us[level - 1],
            settings.high_frequency_tolerance_us[level - 1],
            count,
            False,
        )

    cdef void remember(self, number_t caller, number_t callee, int64_t now_us, uint32_t points) noexcept nogil:
        pair_add(self.pairs, pair_key(&self.pairs.view, callee, pair_block(caller)), now_us, points)
