"""Request forwarding (RFC 3261 section 16.6): a received request as it leaves, with or without a transaction.

A request goes to the next hop that the router names. What dies on the way is answered here, and ends its call.
"""

from libc.string cimport memcpy
from proxy.counters cimport BAD_MESSAGES, REFUSED_CAPPED, REFUSED_OVERLOAD, THROTTLED, UNROUTABLE
from proxy.forwarding cimport Hop, answer_address, write_request
from proxy.loops cimport breadth_of, loop_part
from proxy.next_hop cimport HOP_CAPPED, HOP_FOUND, HOP_INSECURE, HOP_WAIT
from proxy.outbox cimport Writer, literal, put, put_hex, writer_over
from proxy.rejection cimport write_label_headers
from proxy.router cimport URI_ROOM
from proxy.sip.message cimport METHOD_BYE, METHOD_INVITE, METHOD_OTHER, METHOD_REFER, METHOD_SUBSCRIBE
from proxy.sip.timers cimport LENGTH_LATE_TRYING, LENGTH_TRYING
from proxy.sip.transaction cimport (
    BRANCH_SIZE,
    CLIENT_MOVED,
    INVITE_CLIENT,
    INVITE_SERVER,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    NO_GATEWAY,
)
from proxy.sip.transport cimport is_reliable

cdef enum:
    MAX_UNFRAGMENTED = 1300  # bytes of a request where the path MTU is not known


cdef class RequestForwarding(Admission):
    """Sends requests on."""

    cdef void forward_stateful(self, Incoming* incoming, uint32_t call) noexcept nogil:
        cdef NextHop next_hop
        cdef HopOutcome outcome = self.router.find_next_hop(
            incoming, &self.router.calls.calls[call] if call else NULL, &next_hop
        )
        self.forward_to(incoming, call, outcome, &next_hop)

    # What becomes of a request whose next hop has been looked for.
    cdef void forward_to(
        self, Incoming* incoming, uint32_t call, HopOutcome outcome, NextHop* next_hop
    ) noexcept nogil:
        if outcome == HOP_FOUND:
            self.send_on(incoming, call, next_hop)
        elif outcome != HOP_WAIT:
            self.give_up(incoming, call, outcome)
        elif not self.park(incoming, call, next_hop.name):
            incoming.waited = True
            self.forward_stateful(incoming, call)

    # A class above keeps it until the name is known; here nobody does.
    cdef bint park(self, Incoming* incoming, uint32_t call, uint64_t name) noexcept nogil:
        return False

    # There is no next hop, or none with room. RFC 5630 section 5.3: a SIPS request goes by TLS or not at all.
    cdef void give_up(self, Incoming* incoming, uint32_t call, HopOutcome outcome) noexcept nogil:
        cdef Writer lines = writer_over(self.extra, sizeof(self.extra))
        if outcome == HOP_CAPPED:
            self.refuse(incoming, REFUSED_CAPPED)
            self.end_calls_of(incoming, call, 503)
            return
        self.count(UNROUTABLE)
        if outcome == HOP_INSECURE:
            literal(&lines, b"Warning: 380 ")
            put(
                &lines, self.router.listeners[incoming.listener].sent_by.data,
                self.router.listeners[incoming.listener].sent_by.size
            )
            literal(&lines, b' "SIPS Not Allowed"\r\n')
        self.answer_with(incoming, 480, b"Temporarily Unavailable", <uint32_t>(lines.at - lines.start))
        self.end_calls_of(incoming, call, 480)

    cdef void send_on(self, Incoming* incoming, uint32_t call, NextHop* next_hop) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef bint is_invite = message.method == METHOD_INVITE
        cdef uint32_t server, client
        cdef ServerTransaction* s
        cdef bint asks_overload
        cdef Hop hop
        cdef Writer writer
        cdef OutMessage* sent
        cdef uint8_t branch[BRANCH_SIZE]
        cdef uint8_t uri[URI_ROOM]
        if not self.find_admitting(incoming, call, next_hop):
            self.refuse(incoming, THROTTLED)
            self.end_calls_of(incoming, call, 503)
            return
        server = self.transactions.open_server(incoming.key, INVITE_SERVER if is_invite else NON_INVITE_SERVER)
        client = self.transactions.open_client(INVITE_CLIENT if is_invite else NON_INVITE_CLIENT) if server else 0
        if client == 0:
            if server:
                self.transactions.end_server(server)
            self.refuse(incoming, REFUSED_OVERLOAD)
            self.end_calls_of(incoming, call, 503)
            return
        s = &self.transactions.servers[server]
        s.peer = answer_address(message, incoming.source, self.router.listeners[incoming.listener].transport)
        s.reliable = is_reliable(self.router.listeners[incoming.listener].transport)
        s.listener = incoming.listener
        s.route = next_hop.route
        s.name = next_hop.name
        s.gateway = next_hop.gateway
        s.position = next_hop.position
        s.routing = self.router.routing.generation
        s.call = call
        s.overload = self.algorithm_for(incoming)
        if call:
            self.router.calls.calls[call].callee = next_hop.destination
            self.router.calls.calls[call].callee_listener = next_hop.listener
        asks_overload = self.asks_overload(next_hop.gateway, &next_hop.destination)
        self.router.fill_hop(incoming, next_hop, asks_overload, &hop)
        hop.max_breadth = breadth_of(message)
        hop.branch = branch
        self.transactions.clients[client].loop = loop_part(
            message, <uint32_t>incoming.peer.kind << 16 | incoming.peer.index, self.router.secret
        )
        hop.branch_size = self.transactions.write_branch(client, self.worker, branch)
        self.router.fill_uri(incoming, next_hop, uri, &hop)
        hop.extra = self.extra
        hop.extra_size = self.write_extra(incoming, next_hop, call)
        self.out.begin(&writer)
        write_request(&writer, message, &hop)
        if self.moves_to_stream(&writer, next_hop):
            self.transactions.clients[client].flags = CLIENT_MOVED
            next_hop.listener = <uint8_t>self.router.listeners[next_hop.listener].stream
            self.router.fill_via(next_hop.listener, asks_overload, &hop)
            self.out.begin(&writer)
            write_request(&writer, message, &hop)
        sent = self.out.commit(&writer, next_hop.listener, &next_hop.destination)
        if not self.start_client(server, next_hop, sent, client, message.method, incoming.now_us):
            self.transactions.end_server(server)
            self.refuse(incoming, REFUSED_OVERLOAD)
            self.end_calls_of(incoming, call, 503)
            return
        self.transactions.arm_server(
            server, 0, LENGTH_TRYING if is_invite else LENGTH_LATE_TRYING, incoming.now_us
        )
        self.end_calls_of(incoming, 0, 200)

    # RFC 3261 section 18.1.1: what may be larger than the path takes goes by TCP, if the other side may call us there.
    cdef bint moves_to_stream(self, const Writer* writer, const NextHop* next_hop) noexcept nogil:
        return writer.at - writer.start > MAX_UNFRAGMENTED and self.router.listeners[next_hop.listener].stream >= 0

    # A BYE ends its call once it is on its way; a call that could not be forwarded ends at once.
    cdef void end_calls_of(self, Incoming* incoming, uint32_t call, uint16_t status) noexcept nogil:
        if call:
            self.end_call(call, status, 0, incoming.now_us)
        elif incoming.message.method == METHOD_BYE:
            call = self.router.calls.find(incoming.message)
            if call:
                self.end_call(call, 200, self.router.calls.calls[call].event.released_by, incoming.now_us)

    # Header lines to add: Record-Route where a dialog may begin, labels on the initial INVITE of a call.
    cdef uint32_t write_extra(self, Incoming* incoming, const NextHop* next_hop, uint32_t call) noexcept nogil:
        cdef Writer lines = writer_over(self.extra, sizeof(self.extra))
        cdef uint8_t method = incoming.message.method
        if method == METHOD_INVITE or method == METHOD_SUBSCRIBE or method == METHOD_REFER or method == METHOD_OTHER:
            self.router.write_record_route(&lines, incoming.message, incoming.listener, next_hop.listener)
        if call and next_hop.gateway != NO_GATEWAY:
            write_label_headers(
                &lines, self.router.routing, &self.router.routing.gateways[next_hop.gateway],
                &self.router.calls.calls[call].event.verdict
            )
        return 0 if lines.full else <uint32_t>(lines.at - lines.start)

    # RFC 3261 section 16.11 for what has no transaction: ACK of a 2xx, CANCEL of an unknown INVITE. The branch is a
    # function of the request, so that repeats are recognised downstream.
    cdef void forward_stateless(self, Incoming* incoming) noexcept nogil:
        cdef NextHop next_hop
        cdef Hop hop
        cdef Writer writer
        cdef uint8_t branch[24]
        cdef uint8_t uri[URI_ROOM]
        if incoming.message.max_forwards == 0 or incoming.route.malformed:
            self.count(BAD_MESSAGES)
            return
        if self.router.find_next_hop(incoming, NULL, &next_hop) != HOP_FOUND and not self.router.hop_by_call(
            incoming, &next_hop
        ):
            self.count(UNROUTABLE)
            return
        self.router.fill_hop(
            incoming, &next_hop, self.asks_overload(next_hop.gateway, &next_hop.destination), &hop
        )
        memcpy(branch, b"z9hG4bKa", 8)
        writer = writer_over(branch + 8, 16)
        put_hex(&writer, incoming.key, 16)
        hop.branch = branch
        hop.branch_size = 24
        self.router.fill_uri(incoming, &next_hop, uri, &hop)
        self.out.begin(&writer)
        write_request(&writer, incoming.message, &hop)
        self.out.commit(&writer, next_hop.listener, &next_hop.destination)
