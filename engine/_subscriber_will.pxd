# What a callee wants of one call: refused, allowed, consented to, or nothing said.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from engine._cuckoo cimport Nest
from engine._decision cimport KIND_NUMBER, number_t
from engine._image cimport ImageView
from engine._numbers cimport number_block, number_kind
from engine._reputation cimport Known
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

# What a callee's refusals are remembered of: the caller's block of 100, or the short code itself.
cdef inline number_t pair_block(number_t caller) noexcept nogil:
    cdef number_t block = number_block(caller, 2) if number_kind(caller) == KIND_NUMBER else 0
    return block if block else caller

cdef class SubscriberWill:
    cdef Table subscribers
    cdef Table lists
    cdef Table pairs
    cdef Table limiter
    cdef Table reputation

    # Starts the memory fetches that `read` waits for. caller: 0 if it has no number.
    # What only few callees have, own entries and a count of calls, is fetched when the callee turns out to have it.
    cdef void prefetch(self, number_t caller, number_t callee, CalleePlaces* places) noexcept nogil
    cdef void read(
        self, const ImageView* policy, const WillCall* call, const CalleePlaces* places, Will* will
    ) noexcept nogil
    cdef void remember(self, number_t caller, number_t callee, int64_t now_us, uint32_t points) noexcept nogil
