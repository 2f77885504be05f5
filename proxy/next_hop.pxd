# The next hop of a request: by Route, by Request-URI, by the call it belongs to, or by its trunk's gateways.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.calls cimport Call, Calls
from proxy.name_cache cimport NameCache
from proxy.route_reading cimport RouteReading, RouteState
from proxy.routing_table cimport Peer, RoutingTable
from proxy.sip.address cimport Address
from proxy.sip.message cimport Message
from proxy.sip.transaction cimport ServerTransaction
from proxy.sip.uri cimport Uri

cdef enum HopOutcome:
    HOP_FOUND = 0
    HOP_NONE = 1             # there is no way to go
    HOP_WAIT = 2             # it is a name that is being asked for
    HOP_INSECURE = 3         # SIPS, and no way that is secure all along (RFC 5630 section 5.3)
    HOP_CAPPED = 4           # every gateway left has as many calls as it may have

# Where a request goes next.
cdef struct NextHop:
    Address destination
    uint64_t name            # that it is a place of, or that it waits for (HOP_WAIT); 0 = none
    uint16_t route           # NO_ROUTE = as the message says
    uint16_t gateway         # NO_GATEWAY = as the message says
    uint16_t target          # of the gateway, or place of the name
    uint8_t position         # of the gateway in the route
    uint8_t listener
    uint8_t secure           # only TLS will do

# One request in the hands of the core, with what is known of it so far.
cdef struct Incoming:
    Message* message
    const Address* source
    int64_t now_us
    uint64_t key             # of its server transaction
    Peer peer
    RouteState route
    uint8_t listener
    bint judged              # an INVITE that the engine has seen: its repeats get the same answer
    bint tagged              # its verdict is a label
    uint8_t waited           # the name of its next hop has been asked for: it waits no more

cdef class NextHops(RouteReading):
    cdef RoutingTable routing
    cdef Calls calls
    cdef readonly NameCache names

    # Whether a trunk is in redirect mode.
    cdef bint is_redirected(self, uint16_t trunk) noexcept nogil
    # call: of an initial INVITE, NULL = none; it counts toward the caps of the gateway that is chosen.
    cdef HopOutcome find_next_hop(self, Incoming* incoming, Call* call, NextHop* hop) noexcept nogil
    cdef HopOutcome hop_of_divert(self, Incoming* incoming, Call* call, NextHop* hop) noexcept nogil
    cdef HopOutcome hop_by_message(self, Incoming* incoming, Uri* uri, Call* call, NextHop* hop) noexcept nogil
    cdef bint is_foreign_name(self, const Message* message, const Uri* uri) noexcept nogil
    cdef HopOutcome hop_by_uri(self, Incoming* incoming, const Uri* uri, NextHop* hop) noexcept nogil
    cdef HopOutcome hop_by_name(self, Incoming* incoming, const Uri* uri, NextHop* hop) noexcept nogil
    # The next place of the name that hop names, of which `tried` are done with (RFC 3263 section 4.3).
    cdef HopOutcome next_place(self, uint64_t tried, NextHop* hop) noexcept nogil
    # A request failed at this place.
    cdef void note_place(self, uint64_t name, uint16_t place) noexcept nogil
    cdef bint hop_by_call(self, Incoming* incoming, NextHop* hop) noexcept nogil
    cdef bint leaves_by(self, int transport, NextHop* hop) noexcept nogil
    # The next target of the route that hop names, from the gateway at hop.position on, of which `tried` are done with.
    cdef HopOutcome next_target(self, Call* call, uint64_t tried, int64_t now_us, NextHop* hop) noexcept nogil
    cdef bint enters(self, Call* call, uint16_t gateway, int64_t now_us) noexcept nogil
    cdef bint has_alternative(self, const NextHop* hop, uint64_t tried) noexcept nogil
