# Limits for each address that sends to us, so that a flood costs little and hurts only who sends it.

from libc.stdint cimport int64_t, uint8_t, uint32_t

from proxy.rate_limit cimport RateLimit
from proxy.routing_table cimport Peer, RoutingTable
from proxy.sip.address cimport Address
from proxy.sources cimport Source, Sources

# The limits of one configuration that no trunk has of its own.
cdef struct FloodLimits:
    RateLimit stranger       # messages of one address that belongs to no trunk or gateway
    RateLimit strangers      # of all of them
    RateLimit known          # of one that showed the cookie of a dialog
    RateLimit invites        # new INVITEs of one address
    RateLimit unproven       # answers of our own to one that never acknowledged any

cdef class FloodGuard:
    cdef Sources peers       # addresses of trunks and gateways
    cdef Sources strangers   # the others
    cdef FloodLimits limits
    cdef int64_t strangers_ns

    cdef Source* source_of(self, Peer peer, const Address* address) noexcept nogil
    # Counts a message before it is parsed; False: it is not worth that.
    cdef bint admits(
        self, RoutingTable routing, Peer peer, const Address* address, const uint8_t* data, uint32_t size,
        int64_t now_us
    ) noexcept nogil
    cdef bint admits_invite(self, Source* source, int64_t now_us) noexcept nogil
    # Counts an answer of our own; False: this address had enough of them.
    cdef bint admits_answer(
        self, RoutingTable routing, Peer peer, Source* source, bint proven, int64_t now_us
    ) noexcept nogil
    # Half of what `admits_answer` allows at once is used up.
    cdef bint answers_often(self, RoutingTable routing, Peer peer, const Source* source, int64_t now_us) noexcept nogil
    cdef const RateLimit* answer_limit(self, RoutingTable routing, Peer peer, bint proven) noexcept nogil
    # It acknowledged an answer, or showed the cookie of a dialog: messages to this address arrive.
    cdef void prove(self, Peer peer, const Address* address, int64_t now_us) noexcept nogil
