"""ProxyCore: the transaction-stateful proxy of RFC 3261 section 16 with RFC 6026, around one call of the engine.

Datagrams and deadlines come in with the time they belong to; datagrams to send are left in an Outbox, events in a
ring. An INVITE is screened exactly once: repeats, ACK and CANCEL are answered from its transaction.

  receive ── parse ── response ──────────────────────────────▶ its client transaction ─▶ pass up | ACK | next target
                  └── request ── repeat, ACK, CANCEL ────────▶ its server transaction
                             └── new ── routes ── INVITE? ──▶ screen ─▶ reject | forward
"""

from engine._decision cimport ACTION_ACCEPT, ACTION_DROP, ACTION_REJECT, ACTION_TAG, Verdict
from engine._fastpath cimport OUTCOME_REFUSED
from libc.string cimport memcpy
from proxy.counters cimport (
    ACCEPTED,
    ACKS,
    BAD_MESSAGES,
    CALLS,
    CALLS_EVICTED,
    CANCELS,
    CLIENT_TRANSACTIONS,
    DROPPED,
    EVENTS_LOST,
    INTERNAL_ERRORS,
    INVITES,
    IN_DIALOG,
    KEEPALIVES,
    MEMORY_TAKEN,
    METHOD_REFUSED,
    NOT_SIP,
    RECEIVED,
    REFUSED_DRAINING,
    REFUSED_OVERLOAD,
    REJECTED,
    RESENT,
    RETRANSMISSIONS,
    SCREENED,
    SERVER_TRANSACTIONS,
    TAGGED,
    TRANSACTIONS_REAPED,
    UNKNOWN_SOURCE,
    UNROUTABLE,
    UNSCREENED,
    Counters,
)
from proxy.forwarding cimport Hop, answer_address, standard_reason, write_request
from proxy.key_index cimport prefetch_key
from proxy.memory cimport taken
from proxy.outbox cimport MAX_DATAGRAM, Writer, put, put_hex, writer_over
from proxy.rejection cimport rejection_reason, rejection_status, write_label_headers, write_rejection_headers
from proxy.router cimport URI_ROOM, Router
from proxy.routing_table cimport PEER_TRUNK, PEER_UNKNOWN, GatewayEntry, RoutingTable
from proxy.sip.address cimport address_from_python
from proxy.sip.grammar cimport sip_equal_nocase
from proxy.sip.message cimport (
    HEADER_PROXY_REQUIRE,
    HEADER_REASON,
    MAX_HEADERS,
    METHOD_ACK,
    METHOD_BYE,
    METHOD_CANCEL,
    METHOD_INFO,
    METHOD_INVITE,
    METHOD_MESSAGE,
    METHOD_NOTIFY,
    METHOD_OPTIONS,
    METHOD_OTHER,
    METHOD_PUBLISH,
    METHOD_REFER,
    METHOD_REGISTER,
    METHOD_SUBSCRIBE,
    OWN_BYTES,
    OWN_HEADERS,
    parse_message,
)
from proxy.sip.timers cimport LENGTH_LATE_TRYING, LENGTH_LINGER_64T1, LENGTH_TRYING
from proxy.sip.transaction cimport (
    BRANCH_SIZE,
    CLIENT_PROBE,
    DO_RESEND,
    INPUT_ACK,
    INPUT_REQUEST,
    INVITE_CLIENT,
    INVITE_SERVER,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    NO_GATEWAY,
    SERVER_CANCELLED,
    SERVER_SILENT,
    STATE_ACCEPTED,
    STATE_PROCEEDING,
    STATE_TRYING,
    step,
)
from proxy.sip.uri cimport SCHEME_OTHER

# Out-of-dialog methods that a call gateway has no use for; closed by default (403). Unknown methods are relayed
# (RFC 3261 section 16.3: a proxy must not refuse a method because it does not know it).
cdef bint is_closed_method(uint8_t method) noexcept nogil:
    return (
        method == METHOD_REGISTER or method == METHOD_MESSAGE or method == METHOD_SUBSCRIBE
        or method == METHOD_PUBLISH or method == METHOD_REFER or method == METHOD_INFO or method == METHOD_NOTIFY
    )


cdef class ProxyCore(ResponseProcessing):
    """One worker's proxy.

    listeners: (ip, port, advertised_host, advertised_port) each. secret: 32 bytes, the same for all workers of a node.
    workers: how many share the listeners; what belongs to another goes into `handed_over`.
    capacity, timers: proxy.config. Until `configure` was called every request is dropped.
    """

    def __init__(self, listeners, *, int worker, bytes secret, int workers=1, Counters counters not None, capacity,
                 timers, str server_header="callsieve", bint open_on_error=True):
        super().__init__(
            Router(listeners, worker, secret, capacity.calls), worker=worker, workers=workers, secret=secret,
            counters=counters, capacity=capacity, timers=timers, server_header=server_header
        )
        self.open_on_error = open_on_error

    # -- what server.py asks --------------------------------------------------------------------------------------

    def configure(self, routing, screener):
        """The one swap point: from the next datagram on, routing and policy are these."""
        cdef RoutingTable table = RoutingTable(routing, screener.image.rules, self.router.routing)
        self.screening.screener = screener
        self.router.routing = table

    def drain(self):
        """New calls are answered 503 with Retry-After from now on; what is open goes on."""
        self.draining = True

    @property
    def generation(self):
        return self.router.routing.generation if self.router.routing is not None else 0

    @property
    def open_transactions(self):
        """Transactions that still wait for something to happen; those that only linger for repeats do not count."""
        cdef uint32_t i
        cdef int waiting = 0
        cdef ServerTransaction* server
        for i in range(1, self.transactions.capacity + 1):
            server = &self.transactions.servers[i]
            if server.state == STATE_TRYING or server.state == STATE_PROCEEDING:
                waiting += 1
        return waiting

    @property
    def open_calls(self):
        return self.router.calls.open_calls

    def refresh_gauges(self):
        """Brings the gauges among the counters up to date; the edge does it after every batch."""
        self.update_gauges()

    def next_deadline(self):
        """When `handle_timer` has something to do, in microseconds; 0 = nothing is armed."""
        return self.deadline()

    def take_events(self):
        """The oldest events as concatenated C records, b"" when there are none."""
        return self.screening.take()

    @property
    def pending_events(self):
        return self.screening.pending

    def receive_datagram(self, bytes data, tuple source, int listener, int64_t now_us, Outbox out):
        """One datagram from `source` (ip, port), for tests; the edge calls `receive`."""
        cdef Address address
        address_from_python(source[0], source[1], &address)
        self.out = out
        self.receive(data, <uint32_t>len(data), listener, &address, now_us)

    def handle_timer(self, int64_t now_us, Outbox out):
        """Fires every timer whose deadline has come."""
        self.out = out
        self.fire_timers(now_us)

    def probe(self, uint16_t gateway, uint16_t target, int64_t now_us, Outbox out):
        """Sends OPTIONS to a target. The caller says `probe_timeout` if nothing came back in time."""
        cdef NextHop next_hop
        cdef OutMessage* sent
        cdef Writer writer
        cdef uint8_t branch[BRANCH_SIZE]
        cdef GatewayEntry* entry
        if gateway >= self.router.routing.gateway_count or target >= self.router.routing.gateways[gateway].target_count:
            return 0
        entry = &self.router.routing.gateways[gateway]
        cdef uint32_t client = self.transactions.open_client(NON_INVITE_CLIENT)
        if client == 0:
            return 0
        self.transactions.write_branch(client, self.worker, branch)
        host = (<const char*>entry.targets[target].text)[: entry.targets[target].text_size].decode("ascii")
        sent_by = self.router.listeners[entry.listener].sent_by
        own = (<const char*>sent_by.data)[: sent_by.size].decode("ascii")
        text = (
            f"OPTIONS sip:{host} SIP/2.0\r\nVia: SIP/2.0/UDP {own};rport;branch={branch[:BRANCH_SIZE].decode('ascii')}"
            f"\r\nMax-Forwards: 70\r\nFrom: <sip:callsieve@{own}>;tag={client:x}\r\nTo: <sip:{host}>\r\n"
            f"Call-ID: {branch[9:BRANCH_SIZE].decode('ascii')}@{own}\r\nCSeq: 1 OPTIONS\r\nContact: <sip:{own}>\r\n"
            "Accept: application/sdp\r\nContent-Length: 0\r\n\r\n"
        ).encode("ascii")
        self.out = out
        out.begin(&writer)
        put(&writer, <const char*>text, <uint32_t>len(text))
        next_hop.destination = entry.targets[target].address
        next_hop.gateway, next_hop.target, next_hop.listener = gateway, target, entry.listener
        sent = out.commit(&writer, entry.listener, &next_hop.destination)
        self.transactions.clients[client].flags = CLIENT_PROBE
        if not self.start_client(0, &next_hop, sent, client, METHOD_OPTIONS, now_us):
            return 0
        return <uint64_t>client << 32 | self.transactions.clients[client].generation

    def probe_timeout(self, uint64_t probe):
        """Gives up a probe that `probe` returned; True if it was still unanswered, and so counts against the target."""
        cdef uint32_t client = <uint32_t>(probe >> 32)
        cdef ClientTransaction* c = &self.transactions.clients[client]
        if client == 0 or c.generation != <uint32_t>probe or not c.flags & CLIENT_PROBE:
            return False
        if c.state != STATE_TRYING and c.state != STATE_PROCEEDING:
            return False
        self.router.note_health(c, False)
        self.transactions.end_client(client)
        return True

    def target_health(self):
        """(gateway, target, up) of every target."""
        cdef uint32_t g
        cdef int t
        return [
            (g, t, not self.router.routing.gateways[g].targets[t].down)
            for g in range(self.router.routing.gateway_count)
            for t in range(self.router.routing.gateways[g].target_count)
        ]

    # -- datagrams ------------------------------------------------------------------------------------------------

    # One datagram from first to last.
    cdef void receive(
        self, const uint8_t* data, uint32_t size, uint8_t listener, const Address* source, int64_t now_us
    ) noexcept nogil:
        self.read(data, size, &self.received)
        self.handle(&self.received, listener, source, now_us)

    # First half: understands the datagram, and has the memory brought in that the second half will look into. A batch
    # goes through the first half as a whole, so that it waits for memory once.
    cdef void read(self, const uint8_t* data, uint32_t size, Received* received) noexcept nogil:
        cdef Message* message = &received.message
        received.status = parse_message(data, size, message, &received.reason)
        if received.status == 0 and is_too_large(message):
            received.status = 513
            received.reason = standard_reason(513)
        if received.status:
            return
        if message.is_request:
            received.key = self.transactions.key_of(message)
            prefetch_key(&self.transactions.keys, received.key)
        else:
            self.transactions.prefetch_client(data + message.via.branch.start, message.via.branch.size)

    # Second half: decides and acts.
    cdef void handle(
        self, Received* received, uint8_t listener, const Address* source, int64_t now_us
    ) noexcept nogil:
        cdef Message* message = &received.message
        cdef Incoming incoming
        self.count(RECEIVED)
        if received.status < 0:
            self.count(KEEPALIVES if is_keepalive(message.data, message.size) else NOT_SIP)
            return
        if not message.is_request:
            if received.status:
                self.count(BAD_MESSAGES)
            else:
                self.on_response(message, now_us)
            return
        incoming.message = message
        incoming.source = source
        incoming.listener = listener
        incoming.now_us = now_us
        incoming.key = received.key
        incoming.peer = self.router.routing.peer_of(source)
        if received.status == 0:
            self.on_request(&incoming)
            return
        self.count(BAD_MESSAGES)
        if incoming.peer.kind != PEER_UNKNOWN and message.method != METHOD_ACK:
            incoming.key = 0
            self.answer(&incoming, <uint16_t>received.status, received.reason)

    cdef void on_request(self, Incoming* incoming) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef uint32_t server
        self.router.read_routes(message, &incoming.route)
        if incoming.peer.kind == PEER_UNKNOWN and not (message.to_tag.size and incoming.route.has_cookie):
            self.count(UNKNOWN_SOURCE)
            return
        if incoming.route.worker != self.worker and 0 <= incoming.route.worker < self.workers:
            self.hand_over(message, <uint8_t>incoming.route.worker, incoming.listener, incoming.source)
            return
        if message.method == METHOD_ACK:
            self.on_ack(incoming)
        elif message.method == METHOD_CANCEL:
            self.on_cancel(incoming)
        else:
            server = self.transactions.find_server(incoming.key)
            if server:
                self.on_repeat(server)
            else:
                self.on_new_request(incoming)

    cdef void on_repeat(self, uint32_t server) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        self.count(RETRANSMISSIONS)
        if step(s.machine, s.state, INPUT_REQUEST).actions & DO_RESEND and s.response.data != NULL:
            self.out.copy(s.response.data, s.response.size, s.listener, &s.peer)
            self.count(RESENT)

    # An ACK of one of our own or passed-on 300-699 ends here, also of one that has no transaction (RFC 3261 section
    # 8.2.7); that of a 2xx is a request of its own.
    cdef void on_ack(self, Incoming* incoming) noexcept nogil:
        cdef uint32_t server = self.transactions.find_server(incoming.key)
        cdef uint8_t state
        self.count(ACKS)
        if server:
            state = self.transactions.servers[server].state
            self.apply_server(server, INPUT_ACK, incoming.now_us)
            if state != STATE_ACCEPTED:
                return
        if incoming.message.to_tag.size and not self.is_own_tag(incoming.message, incoming.key):
            self.forward_stateless(incoming)

    # RFC 3261 section 16.10. The 200 is the same for every repeat, so the CANCEL needs no transaction of its own.
    cdef void on_cancel(self, Incoming* incoming) noexcept nogil:
        cdef uint32_t server = self.transactions.find_server(incoming.key)
        cdef ServerTransaction* s
        self.count(CANCELS)
        if server == 0:
            self.forward_stateless(incoming)
            return
        s = &self.transactions.servers[server]
        if s.flags & SERVER_SILENT:
            return
        self.answer(incoming, 200, b"OK")
        if s.state != STATE_PROCEEDING or s.flags & SERVER_CANCELLED:
            return
        s.flags |= SERVER_CANCELLED
        if s.client:
            self.cancel_client(s.client, incoming.message, incoming.now_us)

    cdef void on_new_request(self, Incoming* incoming) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef uint16_t status = self.fault_of(message)
        cdef int listener
        if status == 420:
            self.answer_with(incoming, 420, b"Bad Extension", write_unsupported(message, self.extra, sizeof(self.extra)))
            return
        if status == 0 and incoming.route.malformed:
            status = 400
        if status:
            if status >= 300:
                self.count(BAD_MESSAGES)
            self.answer(incoming, status, standard_reason(status))
            return
        if message.to_tag.size and message.method == METHOD_INVITE and not self.is_known_dialog(incoming):
            # To-tags are free to invent: without proof of a dialog this would be a call that nobody has screened.
            self.answer(incoming, 481, standard_reason(481))
        elif message.to_tag.size:
            self.count(IN_DIALOG)
            if message.method == METHOD_BYE:
                self.on_bye(incoming)
            self.forward_stateful(incoming, 0)
        elif incoming.peer.kind != PEER_TRUNK:
            self.count(METHOD_REFUSED)
            self.answer(incoming, 403, b"Forbidden")
        elif message.method == METHOD_OPTIONS and message.request_uri.user.size == 0 and self.router.is_own_host(
            message, &message.request_uri, &listener
        ):
            self.answer(incoming, 200, b"OK")
        elif is_closed_method(message.method) or self.steers(incoming):
            self.count(METHOD_REFUSED)
            self.answer(incoming, 403, b"Forbidden")
        elif message.method == METHOD_INVITE:
            self.on_invite(incoming)
        else:
            self.forward_stateful(incoming, 0)

    # A Route of its own in a new request chooses the next hop past the trunk's gateway: only a trusted peer may.
    cdef bint steers(self, Incoming* incoming) noexcept nogil:
        return incoming.route.rest.header >= 0 and not self.router.routing.trunks[incoming.peer.index].trusted

    cdef bint is_known_dialog(self, Incoming* incoming) noexcept nogil:
        return incoming.route.has_cookie or self.router.calls.find(incoming.message) != 0

    # RFC 3261 section 16.3: the status that refuses this request, 0 = none.
    cdef uint16_t fault_of(self, const Message* message) noexcept nogil:
        if message.request_uri.scheme == SCHEME_OTHER:
            return 416
        if message.max_forwards == 0:
            return 200 if message.method == METHOD_OPTIONS else 483
        if message.has_proxy_require:
            return 420
        return 0

    # -- calls ----------------------------------------------------------------------------------------------------

    cdef void on_invite(self, Incoming* incoming) noexcept nogil:
        cdef const TrunkEntry* trunk = &self.router.routing.trunks[incoming.peer.index]
        cdef uint32_t index, evicted
        cdef Call* call
        self.count(INVITES)
        if self.draining:
            self.count(REFUSED_DRAINING)
            memcpy(self.extra, b"Retry-After: 30\r\n", 17)
            self.answer_with(incoming, 503, b"Service Unavailable", 17)
            return
        index = self.router.calls.open()
        if index == 0:
            evicted = self.router.calls.longest()
            if evicted:
                self.count(CALLS_EVICTED)
                self.end_call(evicted, 200, 0, incoming.now_us)
                index = self.router.calls.open()
        # No room for the call or its transaction: refused before the engine has counted it.
        if index == 0 or not self.transactions.has_room(incoming.message.size + OWN_BYTES, False):
            self.count(REFUSED_OVERLOAD)
            self.answer(incoming, 503, b"Service Unavailable")
            if index:
                self.router.calls.close(index)
            return
        call = &self.router.calls.calls[index]
        self.screening.screen(incoming.message, trunk, incoming.source, incoming.now_us, &call.event)
        call.event.trunk = incoming.peer.index
        call.event.generation = self.router.routing.generation
        call.event.gateway = NO_GATEWAY
        call.policy_trunk = trunk.policy_trunk
        call.caller = incoming.source[0]
        call.caller_listener = incoming.listener
        self.count(SCREENED if trunk.screen else UNSCREENED)
        if not is_sound(&call.event.verdict):
            self.count(INTERNAL_ERRORS)
            if not self.open_on_error:
                call.event.status = 500
                self.screening.tell(&call.event)
                self.answer(incoming, 500, b"Server Internal Error")
                self.router.calls.close(index)
                return
            call.event.verdict.action = ACTION_ACCEPT
        if call.event.verdict.action == ACTION_REJECT:
            self.count(REJECTED)
            self.reject(incoming, trunk, call)
            self.router.calls.close(index)
        elif call.event.verdict.action == ACTION_DROP:
            self.count(DROPPED)
            self.stay_silent(incoming)
            self.screening.tell(&call.event)
            self.router.calls.close(index)
        else:
            self.count(TAGGED if call.event.verdict.action == ACTION_TAG else ACCEPTED)
            call.event.gateway = trunk.gateway
            self.screening.tell(&call.event)
            self.forward_stateful(incoming, index)

    cdef void reject(self, Incoming* incoming, const TrunkEntry* trunk, Call* call) noexcept nogil:
        cdef Writer lines = writer_over(self.extra, sizeof(self.extra))
        cdef const char* reason
        cdef uint16_t status = rejection_status(trunk, &call.event.verdict)
        reason = rejection_reason(trunk, &call.event.verdict, status)
        write_rejection_headers(&lines, self.router.routing, trunk, &call.event.verdict, status)
        call.event.status = status
        self.screening.tell(&call.event)
        self.answer_with(incoming, status, reason, <uint32_t>(lines.at - lines.start))

    # A verdict that answers nothing still has a transaction: the repeats are not new calls.
    cdef void stay_silent(self, Incoming* incoming) noexcept nogil:
        cdef uint32_t server = self.transactions.open_server(incoming.key, INVITE_SERVER)
        if server == 0:
            return
        self.transactions.servers[server].flags = SERVER_SILENT
        self.transactions.servers[server].state = STATE_ACCEPTED
        self.transactions.arm_server(server, 1, LENGTH_LINGER_64T1, incoming.now_us)

    cdef void on_bye(self, Incoming* incoming) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef uint32_t index = self.router.calls.find(message)
        cdef Call* call
        cdef uint64_t tag
        if index == 0:
            return
        call = &self.router.calls.calls[index]
        tag = self.router.calls.tag_hash(message.data + message.from_tag.start, message.from_tag.size)
        if refuses_as_unwanted(message):
            self.screening.observe(&call.event, call.policy_trunk, OUTCOME_REFUSED, incoming.now_us)
        # The call record goes only after the BYE has found its way by it.
        call.event.released_by = 1 if tag == call.caller_tag else 2

    # -- the next hop ---------------------------------------------------------------------------------------------

    # -- forwarding requests --------------------------------------------------------------------------------------

    cdef void forward_stateful(self, Incoming* incoming, uint32_t call) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef bint is_invite = message.method == METHOD_INVITE
        cdef uint32_t server, client
        cdef ServerTransaction* s
        cdef NextHop next_hop
        cdef Hop hop
        cdef Writer writer
        cdef OutMessage* sent
        cdef uint8_t branch[BRANCH_SIZE]
        cdef uint8_t uri[URI_ROOM]
        if not self.router.find_next_hop(incoming, &next_hop):
            self.count(UNROUTABLE)
            self.answer(incoming, 480, b"Temporarily Unavailable")
            self.end_calls_of(incoming, call, 480)
            return
        server = self.transactions.open_server(incoming.key, INVITE_SERVER if is_invite else NON_INVITE_SERVER)
        client = self.transactions.open_client(INVITE_CLIENT if is_invite else NON_INVITE_CLIENT) if server else 0
        if client == 0:
            if server:
                self.transactions.end_server(server)
            self.count(REFUSED_OVERLOAD)
            self.answer(incoming, 503, b"Service Unavailable")
            self.end_calls_of(incoming, call, 503)
            return
        s = &self.transactions.servers[server]
        s.peer = answer_address(message, incoming.source)
        s.listener = incoming.listener
        s.gateway = next_hop.gateway
        s.routing = self.router.routing.generation
        s.call = call
        if call:
            self.router.calls.calls[call].callee = next_hop.destination
            self.router.calls.calls[call].callee_listener = next_hop.listener
        self.router.fill_hop(incoming, &next_hop, &hop)
        hop.branch = branch
        hop.branch_size = self.transactions.write_branch(client, self.worker, branch)
        hop.uri_size = self.router.write_new_uri(message, &next_hop, uri)
        hop.uri = uri if hop.uri_size else NULL
        hop.extra = self.extra
        hop.extra_size = self.write_extra(incoming, &next_hop, call)
        self.out.begin(&writer)
        write_request(&writer, message, &hop)
        sent = self.out.commit(&writer, next_hop.listener, &next_hop.destination)
        if not self.start_client(server, &next_hop, sent, client, message.method, incoming.now_us):
            self.transactions.end_server(server)
            self.count(REFUSED_OVERLOAD)
            self.answer(incoming, 503, b"Service Unavailable")
            self.end_calls_of(incoming, call, 503)
            return
        self.transactions.arm_server(
            server, 0, LENGTH_TRYING if is_invite else LENGTH_LATE_TRYING, incoming.now_us
        )
        self.end_calls_of(incoming, 0, 200)

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
            self.router.write_record_route(&lines, incoming, next_hop.listener)
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
        if not self.router.find_next_hop(incoming, &next_hop):
            self.count(UNROUTABLE)
            return
        self.router.fill_hop(incoming, &next_hop, &hop)
        memcpy(branch, b"z9hG4bKa", 8)
        writer = writer_over(branch + 8, 16)
        put_hex(&writer, incoming.key, 16)
        hop.branch = branch
        hop.branch_size = 24
        hop.uri_size = self.router.write_new_uri(incoming.message, &next_hop, uri)
        hop.uri = uri if hop.uri_size else NULL
        self.out.begin(&writer)
        write_request(&writer, incoming.message, &hop)
        self.out.commit(&writer, next_hop.listener, &next_hop.destination)

    # -- answers of our own ---------------------------------------------------------------------------------------

    # -- responses ------------------------------------------------------------------------------------------------

    # -- timers ---------------------------------------------------------------------------------------------------

    # -- gateways -------------------------------------------------------------------------------------------------

    cdef void update_gauges(self) noexcept nogil:
        cdef uint64_t* values = self.counts
        values[<int>SERVER_TRANSACTIONS] = self.transactions.capacity - self.transactions.free_server_count
        values[<int>CLIENT_TRANSACTIONS] = self.transactions.capacity - self.transactions.free_client_count
        values[<int>TRANSACTIONS_REAPED] = self.transactions.reaped
        values[<int>CALLS] = self.router.calls.capacity - self.router.calls.free_count
        values[<int>MEMORY_TAKEN] = taken(&self.transactions.memory)
        values[<int>EVENTS_LOST] = self.screening.lost


# A verdict that says nothing we know is our own fault; the setting `on_internal_error` says what becomes of the call.
cdef inline bint is_sound(const Verdict* verdict) noexcept nogil:
    return verdict.action <= ACTION_DROP and (verdict.action != ACTION_REJECT or 300 <= verdict.status <= 699)


# Once it carries what a proxy adds, it would be neither a datagram nor a message that `parse_message` takes.
cdef bint is_too_large(const Message* message) noexcept nogil:
    return message.size > MAX_DATAGRAM - OWN_BYTES or message.header_count > MAX_HEADERS - OWN_HEADERS


cdef bint is_keepalive(const uint8_t* data, uint32_t size) noexcept nogil:
    cdef uint32_t i
    for i in range(size):
        if data[i] != 13 and data[i] != 10 and data[i] != 0:
            return False
    return size <= 4


# RFC 3261 section 20.40: Unsupported lists what Proxy-Require asked for.
cdef uint32_t write_unsupported(const Message* message, uint8_t* out, uint32_t room) noexcept nogil:
    cdef Writer lines = writer_over(out, room)
    cdef int i
    for i in range(message.header_count):
        if message.headers[i].name == HEADER_PROXY_REQUIRE:
            put(&lines, b"Unsupported: ", 13)
            put(
                &lines, message.data + message.headers[i].value,
                message.headers[i].value_end - message.headers[i].value
            )
            put(&lines, b"\r\n", 2)
    return 0 if lines.full else <uint32_t>(lines.at - lines.start)


# RFC 8197 section 4: the callee ends the call with Reason: SIP;cause=607.
cdef bint refuses_as_unwanted(const Message* message) noexcept nogil:
    cdef int i
    cdef uint32_t at, end
    for i in range(message.header_count):
        if message.headers[i].name != HEADER_REASON:
            continue
        at = message.headers[i].value
        end = message.headers[i].value_end
        while at + 9 <= end:
            if sip_equal_nocase(message.data + at, b"cause=607", 9):
                return True
            at += 1
    return False

