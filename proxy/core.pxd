# ProxyCore: datagrams and deadlines in, datagrams and events out. No socket, no clock, no await.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.calls cimport Call, Calls
from proxy.counters cimport Counters
from proxy.forwarding cimport Hop
from proxy.outbox cimport OutMessage, Outbox
from proxy.routing_table cimport Peer, RoutingTable, Text, TrunkEntry
from proxy.screening cimport Screening
from proxy.sip.address cimport Address
from proxy.sip.message cimport Message
from proxy.sip.route cimport RouteCursor
from proxy.sip.transaction cimport ClientTransaction, ServerTransaction, Transactions
from proxy.sip.uri cimport Uri

cdef enum:
    MAX_LISTENERS = 16

cdef struct ListenerEntry:
    Address advertised       # numeric, or port only if the advertised host is a name
    Address bound
    Text host
    Text sent_by             # host:port

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

# One datagram in the hands of the core, with what is known of it so far.
cdef struct Incoming:
    Message* message
    const Address* source
    int64_t now_us
    uint64_t key             # of its server transaction
    Peer peer
    RouteState route
    uint8_t listener

cdef class ProxyCore:
    cdef Transactions transactions
    cdef Calls calls
    cdef Screening screening
    cdef RoutingTable routing
    cdef Counters counters
    cdef uint64_t* counts
    cdef Outbox out          # of the batch in hand
    cdef readonly Outbox handed_over
    cdef ListenerEntry listeners[MAX_LISTENERS]
    cdef int listener_count
    cdef Text server_header
    cdef uint64_t secret[2]
    cdef uint8_t worker
    cdef int workers
    cdef bint draining
    cdef bint open_on_error
    cdef list keep
    cdef Message message     # the one received
    cdef Message kept        # one of our own, read again
    cdef uint8_t extra[2048] # header lines to add

    cdef Text text(self, bytes value)
    cdef void receive(
        self, const uint8_t* data, uint32_t size, uint8_t listener, const Address* source, int64_t now_us
    ) noexcept nogil
    cdef void fire_timers(self, int64_t now_us) noexcept nogil
    cdef int64_t deadline(self) noexcept nogil
    cdef void update_gauges(self) noexcept nogil

    # Requests
    cdef void on_request(self, Incoming* incoming) noexcept nogil
    cdef void on_new_request(self, Incoming* incoming) noexcept nogil
    cdef void hand_over(
        self, const Message* message, uint8_t worker, uint8_t listener, const Address* source
    ) noexcept nogil
    cdef void on_repeat(self, uint32_t server) noexcept nogil
    cdef void on_ack(self, Incoming* incoming) noexcept nogil
    cdef void on_cancel(self, Incoming* incoming) noexcept nogil
    cdef void on_invite(self, Incoming* incoming) noexcept nogil
    cdef void on_bye(self, Incoming* incoming) noexcept nogil
    cdef void stay_silent(self, Incoming* incoming) noexcept nogil
    cdef void end_calls_of(self, Incoming* incoming, uint32_t call, uint16_t status) noexcept nogil
    cdef uint32_t write_extra(self, Incoming* incoming, const NextHop* next_hop, uint32_t call) noexcept nogil
    cdef uint16_t fault_of(self, const Message* message) noexcept nogil
    cdef void read_routes(self, const Message* message, RouteState* state) noexcept nogil
    cdef bint find_next_hop(self, Incoming* incoming, NextHop* hop) noexcept nogil
    cdef bint hop_by_uri(self, const Message* message, Uri* uri, NextHop* hop) noexcept nogil
    cdef bint hop_by_call(self, Incoming* incoming, NextHop* hop) noexcept nogil
    cdef bint hop_by_gateway(self, uint16_t gateway, uint64_t tried, NextHop* hop) noexcept nogil
    cdef void forward_stateful(self, Incoming* incoming, uint32_t call) noexcept nogil
    cdef void forward_stateless(self, Incoming* incoming) noexcept nogil
    cdef void fill_hop(self, Incoming* incoming, const NextHop* next_hop, Hop* hop) noexcept nogil
    cdef uint32_t write_record_route(self, Incoming* incoming, uint8_t leaving) noexcept nogil
    cdef uint32_t write_new_uri(self, const Message* message, const NextHop* next_hop, uint8_t* out) noexcept nogil
    cdef bint start_client(
        self, uint32_t server, const NextHop* next_hop, OutMessage* sent, uint32_t client, uint8_t method, int64_t now_us
    ) noexcept nogil

    # Answers of our own
    cdef void answer(self, Incoming* incoming, uint16_t status, const char* reason) noexcept nogil
    cdef void answer_with(
        self, Incoming* incoming, uint16_t status, const char* reason, uint32_t extra_size
    ) noexcept nogil
    cdef void answer_from_kept(self, uint32_t server, const ClientTransaction* client, uint16_t status,
                               int64_t now_us) noexcept nogil
    cdef void reject(self, Incoming* incoming, const TrunkEntry* trunk, Call* call) noexcept nogil
    cdef uint64_t local_tag(self, uint64_t key) noexcept nogil

    # Responses
    cdef void on_response(self, const Message* message, int64_t now_us) noexcept nogil
    cdef void on_provisional(self, uint32_t client, const Message* message, int64_t now_us) noexcept nogil
    cdef void on_success(self, uint32_t client, const Message* message, int64_t now_us) noexcept nogil
    cdef void on_failure(self, uint32_t client, const Message* message, int64_t now_us) noexcept nogil
    cdef void acknowledge(self, uint32_t client, const Message* message) noexcept nogil
    cdef bint pass_response(self, uint32_t server, const Message* message, int64_t now_us) noexcept nogil
    cdef bint is_own_via(self, const Message* message) noexcept nogil
    cdef uint32_t server_of(self, const ClientTransaction* client) noexcept nogil
    cdef bint try_next_target(self, uint32_t server, uint32_t client, int64_t now_us) noexcept nogil
    cdef uint32_t retarget_uri(
        self, const Message* sent, const ClientTransaction* old, const NextHop* next_hop, uint8_t* out
    ) noexcept nogil
    cdef void cancel_client(self, uint32_t client, const Message* received, int64_t now_us) noexcept nogil
    cdef void apply_server(self, uint32_t server, uint8_t input, int64_t now_us) noexcept nogil
    cdef void apply_client_timers(self, uint32_t client, uint16_t actions, int64_t now_us) noexcept nogil

    # Timers
    cdef void fire_server(self, uint32_t server, int which, int64_t now_us) noexcept nogil
    cdef void fire_client(self, uint32_t client, int which, uint8_t length, int64_t now_us) noexcept nogil
    cdef void on_target_silent(self, uint32_t client, int64_t now_us) noexcept nogil
    cdef void on_client_timeout(self, uint32_t client, int64_t now_us) noexcept nogil

    # Calls and gateways
    cdef void end_call(self, uint32_t call, uint16_t status, uint8_t released_by, int64_t now_us) noexcept nogil
    cdef void note_health(self, uint16_t gateway, uint16_t target, bint alive) noexcept nogil
    cdef bint is_own_host(self, const Message* message, const Uri* uri, int* listener) noexcept nogil
    cdef uint64_t route_cookie(self, const Message* message) noexcept nogil
    cdef void count(self, int counter) noexcept nogil
