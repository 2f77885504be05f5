# Where requests go: Route pre-processing, the next hop, and what the request carries for it (RFC 3261 section 16.4-16.6).

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.calls cimport Call, Calls
from proxy.forwarding cimport Hop
from proxy.outbox cimport Writer
from proxy.routing_table cimport Peer, RoutingTable, Text
from proxy.sip.address cimport Address
from proxy.sip.grammar cimport Slice
from proxy.sip.message cimport Message
from proxy.sip.route cimport RouteCursor
from proxy.sip.transaction cimport ClientTransaction
from proxy.sip.uri cimport Uri
from proxy.trust_border cimport Border

cdef enum:
    MAX_LISTENERS = 16
    URI_ROOM = 1024          # of a Request-URI that we write

cdef struct ListenerEntry:
    Address advertised       # numeric, or port only if the advertised host is a name
    Address bound
    Text host
    Text sent_by             # host:port
    Text via                 # SIP/2.0/UDP host:port
    Text route               # <sip:host:port;...;cs= up to the cookie, as in Record-Route
    uint8_t transport        # Transport
    int stream               # of UDP: the TCP listener with the same address (RFC 3261 section 18.2.1), -1 = none
    int datagram             # of TCP: the UDP listener with the same address, -1 = none

# Where a request goes next.
cdef struct NextHop:
    Address destination
    uint16_t gateway         # NO_GATEWAY = as the message says
    uint16_t target
    uint8_t listener

# What Route pre-processing found (RFC 3261 section 16.4).
cdef struct RouteState:
    RouteCursor rest         # first Route that is not ours
    bint cut                 # Routes of ours stand before it
    bint has_cookie          # one of them carries our cookie for this Call-ID
    int worker               # that the cookie names, -1 = none
    int listener             # by which the request leaves, -1 = not said
    bint malformed

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

cdef class Router:
    cdef RoutingTable routing
    cdef Calls calls
    cdef ListenerEntry listeners[MAX_LISTENERS]
    cdef int listener_count
    cdef uint64_t secret[2]
    cdef uint8_t worker
    cdef list keep           # Python objects that texts point into

    cdef Text text(self, bytes value)
    cdef void read_routes(self, const Message* message, RouteState* state) noexcept nogil
    # True if the URI names one of our listeners; the one of its transport if there is one.
    cdef bint is_own_host(self, const Message* message, const Uri* uri, int* listener) noexcept nogil
    cdef bint is_own_address(self, const Message* message, Slice host, int port, int listener) noexcept nogil
    # A listener to send by, `preferred` if it will do; -1 = there is none of this transport and IP version.
    cdef int listener_for(self, int transport, bint is_ipv4, int preferred) noexcept nogil
    cdef bint is_own_via(self, const Message* message) noexcept nogil
    cdef uint64_t route_cookie(self, const Message* message, Slice tag) noexcept nogil
    # Whether a trunk is in redirect mode.
    cdef bint is_redirected(self, uint16_t trunk) noexcept nogil
    cdef bint find_next_hop(self, Incoming* incoming, NextHop* hop) noexcept nogil
    cdef bint hop_by_target(self, Incoming* incoming, Uri* uri, NextHop* hop) noexcept nogil
    cdef bint is_foreign_name(self, const Message* message, const Uri* uri) noexcept nogil
    cdef bint hop_by_uri(self, const Message* message, Uri* uri, NextHop* hop) noexcept nogil
    cdef bint hop_by_call(self, Incoming* incoming, NextHop* hop) noexcept nogil
    cdef bint hop_by_gateway(self, uint16_t gateway, uint64_t tried, NextHop* hop) noexcept nogil
    cdef void fill_via(self, uint8_t listener, Hop* hop) noexcept nogil
    cdef void fill_hop(self, Incoming* incoming, const NextHop* next_hop, Hop* hop) noexcept nogil
    cdef void open_request_border(
        self, const Incoming* incoming, const NextHop* next_hop, Border* border
    ) noexcept nogil
    # False: everything may cross.
    cdef bint open_response_border(
        self, const Message* message, const Address* sender, const Address* receiver, Border* border
    ) noexcept nogil
    # How many rows were written. arriving, leaving: the listeners of both sides.
    cdef int write_record_route(
        self, Writer* lines, const Message* message, uint8_t arriving, uint8_t leaving
    ) noexcept nogil
    cdef uint32_t write_new_uri(self, const Message* message, const NextHop* next_hop, uint8_t* out) noexcept nogil
    cdef uint32_t retarget_uri(
        self, const Message* sent, const ClientTransaction* old, const NextHop* next_hop, uint8_t* out
    ) noexcept nogil
    # The listener that Record-Route names for the side that a request went out by.
    cdef uint8_t routed_by(self, const ClientTransaction* client) noexcept nogil
    cdef void note_health(self, const ClientTransaction* client, bint alive) noexcept nogil
