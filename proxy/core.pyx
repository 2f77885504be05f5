"""ProxyCore: the transaction-stateful proxy of RFC 3261 section 16 with RFC 6026, around one call of the engine.

Datagrams and deadlines come in with the time they belong to; datagrams to send are left in an Outbox, events in a
ring. An INVITE is screened exactly once: repeats, ACK and CANCEL are answered from its transaction.

  receive ── parse ── response ──────────────────────────────▶ its client transaction ─▶ pass up | ACK | next target
                  └── request ── repeat, ACK, CANCEL ────────▶ its server transaction
                             └── new ── routes ── INVITE? ──▶ screen ─▶ reject | forward
"""

from libc.string cimport memcpy, memset, strlen

from engine._decision cimport ACTION_ACCEPT, ACTION_DIVERT, ACTION_DROP, ACTION_REJECT, ACTION_TAG, NO_LABEL
from engine._fastpath cimport OUTCOME_ANSWERED, OUTCOME_ENDED, OUTCOME_FAILED, OUTCOME_REFUSED
from proxy.calls cimport CALL_ANSWERED, CALL_FREE, CALL_PENDING
from proxy.counters cimport *
from proxy.events cimport EVENT_ENDED, Event
from proxy.forwarding cimport (
    Answer,
    answer_address,
    standard_reason,
    write_ack,
    write_answer,
    write_cancel,
    write_request,
    write_response,
    write_retarget,
)
from proxy.memory cimport keep, release
from proxy.outbox cimport Writer, put, put_decimal, put_hex
from proxy.rejection cimport (
    rejection_reason,
    rejection_status,
    write_label_headers,
    write_rejection_headers,
)
from proxy.routing_table cimport PEER_GATEWAY, PEER_TRUNK, PEER_UNKNOWN, GatewayEntry, TargetEntry
from proxy.sip.address cimport address_from_python, address_text, is_unicast, parse_ip, same_host
from proxy.sip.grammar cimport Slice, equal_literal, parse_hex, sip_equal_nocase
from proxy.sip.keyed_hash cimport KeyedHash, keyed_hash_add, keyed_hash_begin, keyed_hash_end, keyed_hash_word
from proxy.sip.message cimport (
    HEADER_PROXY_REQUIRE,
    HEADER_REASON,
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
    method_of,
    parse_message,
)
from proxy.sip.name_addr cimport NameAddr
from proxy.sip.route cimport first_route, next_route, read_route
from proxy.sip.timers cimport (
    LENGTH_16T1,
    LENGTH_2T1,
    LENGTH_32T1,
    LENGTH_4T1,
    LENGTH_64T1,
    LENGTH_C,
    LENGTH_COUNT,
    LENGTH_FAILOVER,
    LENGTH_LATE_TRYING,
    LENGTH_LINGER_64T1,
    LENGTH_LINGER_T4,
    LENGTH_T1,
    LENGTH_T2,
    LENGTH_TRYING,
    doubled,
    next_deadline,
    pop_due,
)
from proxy.sip.transaction cimport (
    ARM_LINGER,
    ARM_LINGER_T4,
    ARM_RETRANSMIT,
    ARM_TIMEOUT,
    BRANCH_SIZE,
    CLIENT_ABANDONED,
    CLIENT_CANCEL,
    CLIENT_CANCEL_SENT,
    CLIENT_CANCEL_WANTED,
    CLIENT_PROBE,
    DO_ACK,
    DO_PASS,
    DO_RESEND,
    DO_TIMED_OUT,
    END,
    INPUT_1XX,
    INPUT_2XX,
    INPUT_ACK,
    INPUT_FINAL,
    INPUT_LINGER,
    INPUT_REQUEST,
    INPUT_RETRANSMIT,
    INPUT_TIMEOUT,
    INVITE_CLIENT,
    INVITE_SERVER,
    NEXT_RETRANSMIT,
    NO_GATEWAY,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    SERVER_CANCELLED,
    SERVER_SILENT,
    STATE_ACCEPTED,
    STATE_COMPLETED,
    STATE_FREE,
    STATE_PROCEEDING,
    STATE_TRYING,
    STOP_RETRANSMIT,
    Step,
    branch_worker,
    step,
)
from proxy.sip.uri cimport (
    SCHEME_OTHER,
    SCHEME_SIP,
    SCHEME_SIPS,
    SCHEME_TEL,
    SCHEME_URN_SERVICE,
    find_parameter,
    parse_uri,
)

from array import array
from typing import NamedTuple

T1_US = 500_000
T2_US = 4_000_000
T4_US = 5_000_000


class ListenerAddress(NamedTuple):
    """Where a listener is bound (numeric), and what Via and Record-Route say of it."""

    ip: str
    port: int
    advertised_host: str
    advertised_port: int


# Out-of-dialog methods that a call gateway has no use for; closed by default (403). Unknown methods are relayed
# (RFC 3261 section 16.3: a proxy must not refuse a method because it does not know it).
cdef bint is_closed_method(uint8_t method) noexcept nogil:
    return (
        method == METHOD_REGISTER or method == METHOD_MESSAGE or method == METHOD_SUBSCRIBE
        or method == METHOD_PUBLISH or method == METHOD_REFER or method == METHOD_INFO or method == METHOD_NOTIFY
    )


cdef array_of_lengths(timers):
    """Length of every timer in microseconds, by TimerLength."""
    lengths = array("q", [0] * LENGTH_COUNT)
    lengths[LENGTH_TRYING] = timers.trying_ms * 1000
    lengths[LENGTH_T1] = T1_US
    lengths[LENGTH_2T1] = 2 * T1_US
    lengths[LENGTH_4T1] = 4 * T1_US
    lengths[LENGTH_T2] = T2_US
    lengths[LENGTH_16T1] = 16 * T1_US
    lengths[LENGTH_32T1] = 32 * T1_US
    lengths[LENGTH_LATE_TRYING] = T2_US - T1_US
    lengths[LENGTH_FAILOVER] = timers.failover_ms * 1000
    lengths[LENGTH_64T1] = lengths[LENGTH_LINGER_64T1] = 64 * T1_US
    lengths[LENGTH_LINGER_T4] = T4_US
    lengths[LENGTH_C] = timers.timer_c_s * 1_000_000
    return lengths


cdef class ProxyCore:
    """One worker's proxy.

    listeners: (ip, port, advertised_host, advertised_port) each. secret: 32 bytes, the same for all workers of a node.
    workers: how many share the listeners; what belongs to another goes into `handed_over`.
    capacity, timers: proxy.config. Until `configure` was called every request is dropped.
    """

    def __init__(self, listeners, *, int worker, bytes secret, int workers=1, Counters counters not None, capacity, timers,
                 str server_header="callsieve", bint open_on_error=True):
        if not 0 < len(listeners) <= MAX_LISTENERS:
            raise ValueError(f"between 1 and {MAX_LISTENERS} listeners are possible")
        self.keep = []
        self.worker = worker
        self.workers = workers
        self.counters = counters
        self.counts = counters.values
        self.open_on_error = open_on_error
        self.transactions = Transactions(
            capacity.transactions, capacity.transaction_bytes, secret[:16], array_of_lengths(timers)
        )
        self.calls = Calls(capacity.calls, secret[16:32])
        self.screening = Screening(worker, secret[16:32])
        self.handed_over = Outbox(256, 4 << 20)
        memcpy(self.secret, <const char*>secret, 16)
        self.server_header = self.text(server_header.encode("ascii")) if server_header else self.text(b"")
        self.listener_count = len(listeners)
        for index, listener in enumerate(listeners):
            self.set_listener(index, *listener)

    cdef Text text(self, bytes value):
        cdef Text result
        self.keep.append(value)
        result.data = <const uint8_t*>value
        result.size = <uint32_t>len(value)
        return result

    def set_listener(self, int index, ip, port, host, advertised_port):
        cdef ListenerEntry* entry = &self.listeners[index]
        entry.host = self.text(host.encode("ascii"))
        entry.sent_by = self.text(f"{host}:{advertised_port}".encode("ascii"))
        address_from_python(ip, port, &entry.bound)
        memset(&entry.advertised, 0, sizeof(Address))
        parse_ip(entry.host.data, entry.host.size, &entry.advertised)
        entry.advertised.port = advertised_port

    # -- what server.py asks --------------------------------------------------------------------------------------

    def configure(self, routing, screener):
        """The one swap point: from the next datagram on, routing and policy are these."""
        cdef RoutingTable table = RoutingTable(routing, screener.image.rules, self.routing)
        self.screening.screener = screener
        self.routing = table

    def drain(self):
        """New calls are answered 503 with Retry-After from now on; what is open goes on."""
        self.draining = True

    @property
    def generation(self):
        return self.routing.generation if self.routing is not None else 0

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
        return self.calls.open_calls

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
        if gateway >= self.routing.gateway_count or target >= self.routing.gateways[gateway].target_count:
            return 0
        entry = &self.routing.gateways[gateway]
        cdef uint32_t client = self.transactions.open_client(NON_INVITE_CLIENT)
        if client == 0:
            return 0
        self.transactions.write_branch(client, self.worker, branch)
        host = (<const char*>entry.targets[target].text)[: entry.targets[target].text_size].decode("ascii")
        sent_by = self.listeners[entry.listener].sent_by
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
        self.note_health(c.gateway, c.target, False)
        self.transactions.end_client(client)
        return True

    def target_health(self):
        """(gateway, target, up) of every target."""
        cdef uint32_t g
        cdef int t
        return [
            (g, t, not self.routing.gateways[g].targets[t].down)
            for g in range(self.routing.gateway_count)
            for t in range(self.routing.gateways[g].target_count)
        ]

    # -- datagrams ------------------------------------------------------------------------------------------------

    cdef void count(self, int counter) noexcept nogil:
        self.counts[counter] += 1

    cdef void receive(
        self, const uint8_t* data, uint32_t size, uint8_t listener, const Address* source, int64_t now_us
    ) noexcept nogil:
        cdef Incoming incoming
        cdef const char* reason
        cdef int status
        self.count(RECEIVED)
        status = parse_message(data, size, &self.message, &reason)
        if status < 0:
            self.count(KEEPALIVES if is_keepalive(data, size) else NOT_SIP)
            return
        if not self.message.is_request:
            if status:
                self.count(BAD_MESSAGES)
                return
            self.on_response(&self.message, now_us)
            return
        incoming.message = &self.message
        incoming.source = source
        incoming.listener = listener
        incoming.now_us = now_us
        incoming.peer = self.routing.peer_of(source)
        if status:
            self.count(BAD_MESSAGES)
            if incoming.peer.kind != PEER_UNKNOWN and self.message.method != METHOD_ACK:
                incoming.key = 0
                self.answer(&incoming, <uint16_t>status, reason)
            return
        self.on_request(&incoming)

    cdef void on_request(self, Incoming* incoming) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef uint32_t server
        self.read_routes(message, &incoming.route)
        if incoming.peer.kind == PEER_UNKNOWN and not (message.to_tag.size and incoming.route.has_cookie):
            self.count(UNKNOWN_SOURCE)
            return
        if incoming.route.worker != self.worker and 0 <= incoming.route.worker < self.workers:
            self.count(HANDED_OVER)
            self.hand_over(message, <uint8_t>incoming.route.worker, incoming.listener, incoming.source)
            return
        incoming.key = self.transactions.key_of(message)
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

    # For the worker whose transaction or call it belongs to; the edge carries it there.
    cdef void hand_over(
        self, const Message* message, uint8_t worker, uint8_t listener, const Address* source
    ) noexcept nogil:
        cdef OutMessage* handed = self.handed_over.copy(message.data, message.size, listener, source)
        if handed != NULL:
            handed.worker = worker

    cdef void on_repeat(self, uint32_t server) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        self.count(RETRANSMISSIONS)
        if step(s.machine, s.state, INPUT_REQUEST).actions & DO_RESEND and s.response.data != NULL:
            self.out.copy(s.response.data, s.response.size, s.listener, &s.peer)
            self.count(RESENT)

    # An ACK of one of our own or passed-on 300-699 ends here; that of a 2xx is a request of its own.
    cdef void on_ack(self, Incoming* incoming) noexcept nogil:
        cdef uint32_t server = self.transactions.find_server(incoming.key)
        cdef uint8_t state
        self.count(ACKS)
        if server:
            state = self.transactions.servers[server].state
            self.apply_server(server, INPUT_ACK, incoming.now_us)
            if state != STATE_ACCEPTED:
                return
        if incoming.message.to_tag.size:
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
            self.count(BAD_MESSAGES)
            self.answer(incoming, status, standard_reason(status))
            return
        if message.to_tag.size:
            self.count(IN_DIALOG)
            if message.method == METHOD_BYE:
                self.on_bye(incoming)
            self.forward_stateful(incoming, 0)
        elif incoming.peer.kind != PEER_TRUNK:
            self.count(METHOD_REFUSED)
            self.answer(incoming, 403, b"Forbidden")
        elif message.method == METHOD_OPTIONS and message.request_uri.user.size == 0 and self.is_own_host(
            message, &message.request_uri, &listener
        ):
            self.answer(incoming, 200, b"OK")
        elif is_closed_method(message.method):
            self.count(METHOD_REFUSED)
            self.answer(incoming, 403, b"Forbidden")
        elif message.method == METHOD_INVITE:
            self.on_invite(incoming)
        else:
            self.forward_stateful(incoming, 0)

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
        cdef const TrunkEntry* trunk = &self.routing.trunks[incoming.peer.index]
        cdef uint32_t index, evicted
        cdef Call* call
        self.count(INVITES)
        if self.draining:
            self.count(REFUSED_DRAINING)
            memcpy(self.extra, b"Retry-After: 30\r\n", 17)
            self.answer_with(incoming, 503, b"Service Unavailable", 17)
            return
        index = self.calls.open()
        if index == 0:
            evicted = self.calls.longest()
            if evicted:
                self.count(CALLS_EVICTED)
                self.end_call(evicted, 200, 0, incoming.now_us)
                index = self.calls.open()
        # No room for the call or its transaction: refused before the engine has counted it.
        if index == 0 or self.transactions.free_server_count + self.transactions.free_client_count == 0:
            self.count(REFUSED_OVERLOAD)
            self.answer(incoming, 503, b"Service Unavailable")
            if index:
                self.calls.close(index)
            return
        call = &self.calls.calls[index]
        self.screening.screen(incoming.message, trunk, incoming.source, incoming.now_us, &call.event)
        call.event.trunk = incoming.peer.index
        call.event.generation = self.routing.generation
        call.event.gateway = NO_GATEWAY
        call.policy_trunk = trunk.policy_trunk
        call.caller = incoming.source[0]
        call.caller_listener = incoming.listener
        self.count(SCREENED if trunk.screen else UNSCREENED)
        if call.event.verdict.action == ACTION_REJECT:
            self.count(REJECTED)
            self.reject(incoming, trunk, call)
            self.calls.close(index)
        elif call.event.verdict.action == ACTION_DROP:
            self.count(DROPPED)
            self.stay_silent(incoming)
            self.screening.tell(&call.event)
            self.calls.close(index)
        else:
            self.count(TAGGED if call.event.verdict.action == ACTION_TAG else ACCEPTED)
            call.event.gateway = trunk.gateway
            self.screening.tell(&call.event)
            self.forward_stateful(incoming, index)

    cdef void reject(self, Incoming* incoming, const TrunkEntry* trunk, Call* call) noexcept nogil:
        cdef Writer lines
        cdef const char* reason
        cdef uint16_t status = rejection_status(trunk, &call.event.verdict)
        reason = rejection_reason(trunk, &call.event.verdict, status)
        lines.start = lines.at = self.extra
        lines.end = self.extra + sizeof(self.extra)
        lines.full = False
        write_rejection_headers(&lines, self.routing, trunk, &call.event.verdict, status)
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
        cdef uint32_t index = self.calls.find(message)
        cdef Call* call
        cdef uint64_t tag
        if index == 0:
            return
        call = &self.calls.calls[index]
        tag = self.calls.tag_hash(message.data + message.from_tag.start, message.from_tag.size)
        if refuses_as_unwanted(message):
            self.screening.observe(&call.event, call.policy_trunk, OUTCOME_REFUSED, incoming.now_us)
        # The call record goes only after the BYE has found its way by it.
        call.event.released_by = 1 if tag == call.caller_tag else 2

    # Tells the end of a forwarded call, once, and forgets it.
    cdef void end_call(self, uint32_t index, uint16_t status, uint8_t released_by, int64_t now_us) noexcept nogil:
        cdef Call* call = &self.calls.calls[index]
        cdef Event* event = &call.event
        if call.state == CALL_FREE:
            return
        self.count(ENDED)
        event.type = EVENT_ENDED
        event.status = status
        event.released_by = released_by
        if call.state == CALL_ANSWERED:
            event.ring_ms = <uint32_t>((call.answered_us - event.time_us) // 1000)
            event.talk_ms = <uint32_t>((now_us - call.answered_us) // 1000)
            self.screening.observe(event, call.policy_trunk, OUTCOME_ENDED, now_us)
        else:
            event.ring_ms = <uint32_t>((now_us - event.time_us) // 1000)
            self.screening.observe(
                event, call.policy_trunk, OUTCOME_REFUSED if status == 603 or status == 607 else OUTCOME_FAILED, now_us
            )
        event.time_us = now_us
        self.screening.tell(event)
        self.calls.close(index)

    # -- the next hop ---------------------------------------------------------------------------------------------

    # RFC 3261 section 16.4: our own Route values go; what our Record-Route put into them comes back here.
    cdef void read_routes(self, const Message* message, RouteState* state) noexcept nogil:
        cdef NameAddr value
        cdef Uri uri
        cdef Slice cookie
        cdef uint64_t worker, proof
        cdef int outcome, listener
        state.rest = first_route(message)
        state.cut = state.has_cookie = state.malformed = False
        state.worker = state.listener = -1
        while True:
            outcome = read_route(message, state.rest, &value)
            if outcome == 0:
                return
            if outcome < 0 or not parse_uri(
                message.data, value.uri.start, value.uri.start + value.uri.size, &uri
            ):
                state.malformed = True
                return
            if not self.is_own_host(message, &uri, &listener):
                return
            state.cut = True
            state.listener = listener
            if find_parameter(message.data, uri.parameters, b"cs", 2, &cookie) and cookie.size == 18:
                if parse_hex(message.data + cookie.start, 2, &worker) and parse_hex(
                    message.data + cookie.start + 2, 16, &proof
                ):
                    if proof == self.route_cookie(message):
                        state.has_cookie = True
                        state.worker = <int>worker
            state.rest = next_route(message, state.rest, &value)

    # Proof that a dialog was set up through this node: nobody outside can make one for a Call-ID.
    cdef uint64_t route_cookie(self, const Message* message) noexcept nogil:
        cdef KeyedHash hash_
        keyed_hash_begin(&hash_, self.secret)
        keyed_hash_add(&hash_, message.data + message.call_id.start, message.call_id.size)
        return keyed_hash_end(&hash_)

    cdef bint is_own_host(self, const Message* message, const Uri* uri, int* listener) noexcept nogil:
        cdef Address address
        cdef const uint8_t* host = message.data + uri.host.start
        cdef int port = uri.port if uri.port > 0 else 5060
        cdef ListenerEntry* entry
        cdef bint numeric
        cdef int i
        if uri.scheme != SCHEME_SIP and uri.scheme != SCHEME_SIPS:
            return False
        numeric = parse_ip(host, uri.host.size, &address)
        for i in range(self.listener_count):
            entry = &self.listeners[i]
            if numeric:
                if (port == entry.advertised.port and same_host(&address, &entry.advertised)) or (
                    port == entry.bound.port and same_host(&address, &entry.bound)
                ):
                    listener[0] = i
                    return True
            elif port == entry.advertised.port and uri.host.size == entry.host.size and sip_equal_nocase(
                host, <const char*>entry.host.data, entry.host.size
            ):
                listener[0] = i
                return True
        return False

    # False: there is no way to go.
    cdef bint find_next_hop(self, Incoming* incoming, NextHop* hop) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef NameAddr value
        cdef Uri uri
        hop.gateway = NO_GATEWAY
        hop.target = 0
        hop.listener = <uint8_t>incoming.route.listener if incoming.route.listener >= 0 else incoming.listener
        if read_route(message, incoming.route.rest, &value) == 1:
            parse_uri(message.data, value.uri.start, value.uri.start + value.uri.size, &uri)
            return self.hop_by_uri(message, &uri, hop) or self.hop_by_call(incoming, hop)
        if message.to_tag.size:
            uri = message.request_uri
            return self.hop_by_uri(message, &uri, hop) or self.hop_by_call(incoming, hop)
        if incoming.peer.kind != PEER_TRUNK:
            return False
        return self.hop_by_gateway(self.routing.trunks[incoming.peer.index].gateway, 0, hop)

    cdef bint hop_by_uri(self, const Message* message, Uri* uri, NextHop* hop) noexcept nogil:
        if uri.host.size == 0 or not parse_ip(message.data + uri.host.start, uri.host.size, &hop.destination):
            return False
        hop.destination.port = <uint16_t>uri.port if uri.port > 0 else 5060
        return is_unicast(&hop.destination)

    # A Contact that is a name: the other side of the call is where its signalling came from or went to.
    cdef bint hop_by_call(self, Incoming* incoming, NextHop* hop) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef uint32_t index = self.calls.find(message)
        cdef Call* call
        cdef uint64_t tag
        if index == 0:
            return False
        call = &self.calls.calls[index]
        tag = self.calls.tag_hash(message.data + message.from_tag.start, message.from_tag.size)
        if tag == call.caller_tag:
            hop.destination, hop.listener = call.callee, call.callee_listener
        else:
            hop.destination, hop.listener = call.caller, call.caller_listener
        return True

    cdef bint hop_by_gateway(self, uint16_t gateway, uint64_t tried, NextHop* hop) noexcept nogil:
        cdef int target = self.routing.choose_target(gateway, tried)
        if target < 0:
            return False
        hop.gateway = gateway
        hop.target = <uint16_t>target
        hop.listener = self.routing.gateways[gateway].listener
        hop.destination = self.routing.gateways[gateway].targets[target].address
        return True

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
        cdef uint8_t uri[1024]
        if not self.find_next_hop(incoming, &next_hop):
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
        s.call = call
        if call:
            self.calls.calls[call].callee = next_hop.destination
            self.calls.calls[call].callee_listener = next_hop.listener
        self.fill_hop(incoming, &next_hop, &hop)
        hop.branch = branch
        hop.branch_size = self.transactions.write_branch(client, self.worker, branch)
        hop.uri_size = self.write_new_uri(message, &next_hop, uri)
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
            call = self.calls.find(incoming.message)
            if call:
                self.end_call(call, 200, self.calls.calls[call].event.released_by, incoming.now_us)

    # Header lines to add: Record-Route where a dialog may begin, labels on the initial INVITE of a call.
    cdef uint32_t write_extra(self, Incoming* incoming, const NextHop* next_hop, uint32_t call) noexcept nogil:
        cdef Writer lines
        cdef uint8_t method = incoming.message.method
        cdef uint32_t size = 0
        if method == METHOD_INVITE or method == METHOD_SUBSCRIBE or method == METHOD_REFER or method == METHOD_OTHER:
            size = self.write_record_route(incoming, next_hop.listener)
        if call and next_hop.gateway != NO_GATEWAY:
            lines.start = lines.at = self.extra + size
            lines.end = self.extra + sizeof(self.extra)
            lines.full = False
            write_label_headers(
                &lines, self.routing, &self.routing.gateways[next_hop.gateway], &self.calls.calls[call].event.verdict
            )
            if not lines.full:
                size += <uint32_t>(lines.at - lines.start)
        return size

    cdef void fill_hop(self, Incoming* incoming, const NextHop* next_hop, Hop* hop) noexcept nogil:
        cdef const Message* message = incoming.message
        memset(hop, 0, sizeof(Hop))
        hop.sent_by = self.listeners[next_hop.listener].sent_by.data
        hop.sent_by_size = self.listeners[next_hop.listener].sent_by.size
        hop.source = incoming.source
        hop.cut_routes = incoming.route.cut
        hop.routes = incoming.route.rest
        hop.max_forwards = message.max_forwards - 1 if message.max_forwards > 0 else 70
        hop.strip_untrusted = not (
            incoming.peer.kind == PEER_GATEWAY
            or (incoming.peer.kind == PEER_TRUNK and self.routing.trunks[incoming.peer.index].trusted)
        )

    # RFC 3261 section 16.6 step 4; two values when the sides differ (RFC 5658), the leaving one on top.
    cdef uint32_t write_record_route(self, Incoming* incoming, uint8_t leaving) noexcept nogil:
        cdef Writer lines
        lines.start = lines.at = self.extra
        lines.end = self.extra + sizeof(self.extra)
        lines.full = False
        cdef uint64_t cookie = self.route_cookie(incoming.message)
        write_route_line(&lines, &self.listeners[leaving], self.worker, cookie)
        if leaving != incoming.listener:
            write_route_line(&lines, &self.listeners[incoming.listener], self.worker, cookie)
        return <uint32_t>(lines.at - lines.start)

    # A Request-URI that names this proxy gets the host of the target; any other stays (section 16.5). 0 = stays.
    cdef uint32_t write_new_uri(self, const Message* message, const NextHop* next_hop, uint8_t* out) noexcept nogil:
        cdef const Uri* uri = &message.request_uri
        cdef const TargetEntry* target
        cdef Writer writer
        cdef int listener
        if next_hop.gateway == NO_GATEWAY or not self.routing.gateways[next_hop.gateway].rewrite_host:
            return 0
        if not self.is_own_host(message, uri, &listener):
            return 0
        target = &self.routing.gateways[next_hop.gateway].targets[next_hop.target]
        writer.start = writer.at = out
        writer.end = out + 1024
        writer.full = False
        put(&writer, message.data + uri.whole.start, uri.host.start - uri.whole.start)
        put(&writer, target.text, target.text_size)
        if uri.parameters.size:
            put(&writer, b";", 1)
            put(&writer, message.data + uri.parameters.start, uri.parameters.size)
        return 0 if writer.full else <uint32_t>(writer.at - writer.start)

    # The request is on its way: its client transaction keeps it, with the timers of RFC 3261 section 17.1.
    cdef bint start_client(
        self, uint32_t server, const NextHop* next_hop, OutMessage* sent, uint32_t client, uint8_t method,
        int64_t now_us
    ) noexcept nogil:
        cdef ClientTransaction* c = &self.transactions.clients[client]
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef uint8_t timeout = LENGTH_64T1
        if sent == NULL or not keep(&self.transactions.memory, sent.data, sent.size, &c.message):
            self.transactions.end_client(client)
            if sent != NULL:
                self.out.count -= 1      # nothing was built after it
            return False
        c.server = server
        c.server_generation = s.generation
        c.destination = next_hop.destination
        c.listener = next_hop.listener
        c.gateway = next_hop.gateway
        c.target = next_hop.target
        c.method = method
        c.retransmit = LENGTH_T1
        if server:
            s.client = client
            if next_hop.gateway != NO_GATEWAY:
                s.tried |= <uint64_t>1 << next_hop.target
                if method == METHOD_INVITE and has_untried(
                    s.tried, self.routing.gateways[next_hop.gateway].target_count
                ):
                    timeout = LENGTH_FAILOVER
        self.transactions.arm_client(client, 0, LENGTH_T1, now_us)
        self.transactions.arm_client(client, 1, timeout, now_us)
        return True

    # RFC 3261 section 16.11 for what has no transaction: ACK of a 2xx, CANCEL of an unknown INVITE. The branch is a
    # function of the request, so that repeats are recognised downstream.
    cdef void forward_stateless(self, Incoming* incoming) noexcept nogil:
        cdef NextHop next_hop
        cdef Hop hop
        cdef Writer writer
        cdef uint8_t branch[24]
        cdef uint8_t uri[1024]
        if incoming.message.max_forwards == 0 or incoming.route.malformed:
            self.count(BAD_MESSAGES)
            return
        if not self.find_next_hop(incoming, &next_hop):
            self.count(UNROUTABLE)
            return
        self.fill_hop(incoming, &next_hop, &hop)
        memcpy(branch, b"z9hG4bKa", 8)
        writer.start = writer.at = branch + 8
        writer.end = branch + 24
        writer.full = False
        put_hex(&writer, incoming.key, 16)
        hop.branch = branch
        hop.branch_size = 24
        hop.uri_size = self.write_new_uri(incoming.message, &next_hop, uri)
        hop.uri = uri if hop.uri_size else NULL
        self.out.begin(&writer)
        write_request(&writer, incoming.message, &hop)
        self.out.commit(&writer, next_hop.listener, &next_hop.destination)

    # -- answers of our own ---------------------------------------------------------------------------------------

    cdef void answer(self, Incoming* incoming, uint16_t status, const char* reason) noexcept nogil:
        self.answer_with(incoming, status, reason, 0)

    # Final answer to a request that has no transaction yet. `extra_size` bytes of self.extra are header lines of it.
    # An INVITE gets one, for retransmission and ACK; answers to anything else are the same for every repeat.
    cdef void answer_with(
        self, Incoming* incoming, uint16_t status, const char* reason, uint32_t extra_size
    ) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef Answer answer
        cdef Writer writer
        cdef OutMessage* sent
        cdef Address to
        cdef uint32_t server
        cdef ServerTransaction* s
        if message.via_header < 0:
            return
        memset(&answer, 0, sizeof(Answer))
        answer.status = status
        answer.reason = <const uint8_t*>reason
        answer.reason_size = <uint32_t>strlen(reason)
        answer.to_tag = self.local_tag(incoming.key)
        answer.source = incoming.source
        answer.extra = self.extra
        answer.extra_size = extra_size
        if self.server_header.size:
            answer.server = self.server_header.data
            answer.server_size = self.server_header.size
        to = answer_address(message, incoming.source) if message.via.whole.size else incoming.source[0]
        self.out.begin(&writer)
        write_answer(&writer, message, &answer)
        sent = self.out.commit(&writer, incoming.listener, &to)
        if sent == NULL or incoming.key == 0 or message.method != METHOD_INVITE or status == 503:
            return
        server = self.transactions.open_server(incoming.key, INVITE_SERVER)
        if server == 0:
            return
        s = &self.transactions.servers[server]
        s.peer = to
        s.listener = incoming.listener
        keep(&self.transactions.memory, sent.data, sent.size, &s.response)
        self.apply_server(server, INPUT_FINAL, incoming.now_us)

    # An answer to a request that only lives on in the client transaction it was sent by.
    cdef void answer_from_kept(
        self, uint32_t server, const ClientTransaction* client, uint16_t status, int64_t now_us
    ) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef const char* reason = standard_reason(status)
        cdef Answer answer
        cdef Writer writer
        cdef OutMessage* sent
        if client.message.data == NULL:
            return
        if parse_message(client.message.data, client.message.size, &self.kept, &reason) != 0:
            self.count(INTERNAL_ERRORS)
            return
        memset(&answer, 0, sizeof(Answer))
        answer.status = status
        answer.reason = <const uint8_t*>reason
        answer.reason_size = <uint32_t>strlen(reason)
        answer.to_tag = 0 if status == 100 else self.local_tag(s.key)
        answer.skip_top_via = True
        if status > 100 and self.server_header.size:
            answer.server = self.server_header.data
            answer.server_size = self.server_header.size
        self.out.begin(&writer)
        write_answer(&writer, &self.kept, &answer)
        sent = self.out.commit(&writer, s.listener, &s.peer)
        if sent == NULL:
            return
        s.status = status
        release(&self.transactions.memory, &s.response)
        keep(&self.transactions.memory, sent.data, sent.size, &s.response)
        self.apply_server(server, INPUT_1XX if status < 200 else INPUT_FINAL, now_us)
        if status >= 200 and s.call:
            self.end_call(s.call, status, 0, now_us)
            s.call = 0

    # The same for every answer to one request (RFC 3261 section 8.2.6.2), and not to be guessed.
    cdef uint64_t local_tag(self, uint64_t key) noexcept nogil:
        cdef KeyedHash hash_
        keyed_hash_begin(&hash_, self.secret)
        keyed_hash_word(&hash_, key)
        return keyed_hash_end(&hash_) | 1

    # -- responses ------------------------------------------------------------------------------------------------

    cdef void on_response(self, const Message* message, int64_t now_us) noexcept nogil:
        cdef const uint8_t* branch = message.data + message.via.branch.start
        cdef int worker = branch_worker(branch, message.via.branch.size)
        cdef uint32_t client
        cdef ClientTransaction* c
        self.count(RESPONSES)
        if worker != self.worker and 0 <= worker < self.workers:
            self.count(HANDED_OVER)
            self.hand_over(message, <uint8_t>worker, 0, &self.listeners[0].bound)
            return
        client = self.transactions.find_client(branch, message.via.branch.size) if worker >= 0 else 0
        if client == 0 or not self.is_own_via(message):
            self.count(STRAY_RESPONSES)
            return
        c = &self.transactions.clients[client]
        if message.method == METHOD_CANCEL and c.machine == INVITE_CLIENT:
            if c.cancel and message.status >= 200:
                self.transactions.end_client(c.cancel)
                c.cancel = 0
            return
        if c.method != message.method or c.flags & CLIENT_CANCEL:
            self.count(STRAY_RESPONSES)
            return
        if message.status < 200:
            self.on_provisional(client, message, now_us)
        elif message.status < 300:
            self.on_success(client, message, now_us)
        else:
            self.on_failure(client, message, now_us)

    # RFC 3261 section 18.1.2: a response whose top Via is not ours is dropped.
    cdef bint is_own_via(self, const Message* message) noexcept nogil:
        cdef Uri uri
        cdef int listener
        uri.scheme = SCHEME_SIP
        uri.host = message.via.host
        uri.port = message.via.port
        return self.is_own_host(message, &uri, &listener)

    cdef void on_provisional(self, uint32_t client, const Message* message, int64_t now_us) noexcept nogil:
        cdef ClientTransaction* c = &self.transactions.clients[client]
        cdef Step following = step(c.machine, c.state, INPUT_1XX)
        cdef uint8_t before = c.state
        cdef uint32_t server
        if not following.actions & DO_PASS:
            return
        c.state = following.next
        self.apply_client_timers(client, following.actions, now_us)
        server = self.server_of(c)
        if c.machine == INVITE_CLIENT and (before == STATE_TRYING or message.status > 100):
            if not c.flags & CLIENT_CANCEL_SENT:
                self.transactions.arm_client(client, 1, LENGTH_C, now_us)
        if c.flags & (CLIENT_ABANDONED | CLIENT_CANCEL_WANTED) or server == 0:
            self.cancel_client(client, NULL, now_us)
        if message.status > 100 and server and not c.flags & CLIENT_ABANDONED:
            self.pass_response(server, message, now_us)

    cdef void on_success(self, uint32_t client, const Message* message, int64_t now_us) noexcept nogil:
        cdef ClientTransaction* c = &self.transactions.clients[client]
        cdef Step following = step(c.machine, c.state, INPUT_2XX)
        cdef uint32_t server
        cdef ServerTransaction* s
        cdef Call* call
        if not following.actions & DO_PASS:
            return
        c.state = following.next
        self.apply_client_timers(client, following.actions, now_us)
        release(&self.transactions.memory, &c.message)
        if c.flags & CLIENT_PROBE:
            self.note_health(c.gateway, c.target, True)
            self.transactions.end_client(client)
            return
        server = self.server_of(c)
        if server == 0:
            return
        s = &self.transactions.servers[server]
        if self.pass_response(server, message, now_us) and s.call:
            call = &self.calls.calls[s.call]
            if call.state == CALL_PENDING:
                self.count(ANSWERED)
                self.calls.answer(s.call, message, now_us)
                call.callee = c.destination
                call.callee_listener = c.listener
                self.screening.observe(&call.event, call.policy_trunk, OUTCOME_ANSWERED, now_us)
            s.call = 0

    cdef void on_failure(self, uint32_t client, const Message* message, int64_t now_us) noexcept nogil:
        cdef ClientTransaction* c = &self.transactions.clients[client]
        cdef Step following = step(c.machine, c.state, INPUT_FINAL)
        cdef uint32_t server = self.server_of(c)
        cdef ServerTransaction* s
        if following.actions & DO_ACK and not following.actions & DO_PASS:
            self.out.copy(c.message.data, c.message.size, c.listener, &c.destination)
            return
        if not following.actions & DO_PASS:
            return
        c.state = following.next
        self.apply_client_timers(client, following.actions, now_us)
        if c.flags & CLIENT_PROBE:
            self.note_health(c.gateway, c.target, True)      # any answer is a sign of life
            self.transactions.end_client(client)
            return
        s = &self.transactions.servers[server]
        if server and not c.flags & CLIENT_ABANDONED:
            if message.status == 503 and not s.flags & SERVER_CANCELLED:
                s.failed_status = 503
                if not self.try_next_target(server, client, now_us):
                    # RFC 3261 section 16.7 step 6: upstream must not take this proxy for the one that is out.
                    self.answer_from_kept(server, c, 500, now_us)
            else:
                self.pass_response(server, message, now_us)
                if s.call:
                    self.end_call(s.call, message.status, 2 if message.status != 487 else 1, now_us)
                    s.call = 0
        if following.actions & DO_ACK:
            self.acknowledge(client, message)
        else:
            release(&self.transactions.memory, &c.message)

    # The ACK takes the place of the request: repeats of the final response are answered with it (timer D).
    cdef void acknowledge(self, uint32_t client, const Message* message) noexcept nogil:
        cdef ClientTransaction* c = &self.transactions.clients[client]
        cdef Writer writer
        cdef OutMessage* sent
        cdef const char* reason
        if parse_message(c.message.data, c.message.size, &self.kept, &reason) != 0:
            self.count(INTERNAL_ERRORS)
            return
        self.out.begin(&writer)
        write_ack(&writer, &self.kept, message)
        sent = self.out.commit(&writer, c.listener, &c.destination)
        release(&self.transactions.memory, &c.message)
        if sent != NULL:
            keep(&self.transactions.memory, sent.data, sent.size, &c.message)

    # The response without its top Via, to where the request came from. False: the server transaction is past it.
    cdef bint pass_response(self, uint32_t server, const Message* message, int64_t now_us) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef uint8_t input = INPUT_1XX if message.status < 200 else INPUT_2XX if message.status < 300 else INPUT_FINAL
        cdef Writer writer
        cdef OutMessage* sent
        if not step(s.machine, s.state, input).actions & DO_PASS:
            return False
        self.out.begin(&writer)
        write_response(&writer, message)
        sent = self.out.commit(&writer, s.listener, &s.peer)
        s.status = message.status
        release(&self.transactions.memory, &s.response)
        if sent != NULL and not (s.machine == INVITE_SERVER and input == INPUT_2XX):
            keep(&self.transactions.memory, sent.data, sent.size, &s.response)
        self.apply_server(server, input, now_us)
        return True

    # The server transaction a client transaction works for, 0 if it is gone.
    cdef uint32_t server_of(self, const ClientTransaction* client) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[client.server]
        if client.server == 0 or s.generation != client.server_generation or s.state == STATE_FREE:
            return 0
        return client.server

    # RFC 3263 section 4.3: the same request on a new branch to the next target. False: there is none left.
    cdef bint try_next_target(self, uint32_t server, uint32_t client, int64_t now_us) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef ClientTransaction* old = &self.transactions.clients[client]
        cdef uint32_t following
        cdef NextHop next_hop
        cdef Writer writer
        cdef OutMessage* sent
        cdef const char* reason
        cdef uint8_t branch[BRANCH_SIZE]
        cdef uint8_t uri[1024]
        cdef uint32_t uri_size
        if s.gateway >= self.routing.gateway_count or s.flags & SERVER_CANCELLED:
            return False
        if not self.hop_by_gateway(s.gateway, s.tried, &next_hop):
            return False
        if parse_message(old.message.data, old.message.size, &self.kept, &reason) != 0:
            return False
        following = self.transactions.open_client(old.machine)
        if following == 0:
            return False
        self.transactions.write_branch(following, self.worker, branch)
        uri_size = self.retarget_uri(&self.kept, old, &next_hop, uri)
        self.out.begin(&writer)
        write_retarget(&writer, &self.kept, uri if uri_size else NULL, uri_size, branch, BRANCH_SIZE)
        sent = self.out.commit(&writer, next_hop.listener, &next_hop.destination)
        self.count(FAILOVERS)
        return self.start_client(server, &next_hop, sent, following, old.method, now_us)

    # If the Request-URI had been given the old target's host, it gets the new one's. 0 = stays.
    cdef uint32_t retarget_uri(
        self, const Message* sent, const ClientTransaction* old, const NextHop* next_hop, uint8_t* out
    ) noexcept nogil:
        cdef GatewayEntry* gateway = &self.routing.gateways[next_hop.gateway]
        cdef const Uri* uri = &sent.request_uri
        cdef const TargetEntry* before = &gateway.targets[old.target]
        cdef const TargetEntry* after = &gateway.targets[next_hop.target]
        cdef Writer writer
        cdef const uint8_t* host = sent.data + uri.host.start
        cdef uint32_t end = uri.whole.start + uri.whole.size
        if not gateway.rewrite_host or uri.host.start + before.text_size > end or not sip_equal_nocase(
            host, <const char*>before.text, before.text_size
        ):
            return 0
        writer.start = writer.at = out
        writer.end = out + 1024
        writer.full = False
        put(&writer, sent.data + uri.whole.start, uri.host.start - uri.whole.start)
        put(&writer, after.text, after.text_size)
        put(&writer, host + before.text_size, end - uri.host.start - before.text_size)
        return 0 if writer.full else <uint32_t>(writer.at - writer.start)

    # RFC 3261 section 9.1: only once a provisional response has come; until then it is remembered.
    cdef void cancel_client(self, uint32_t client, const Message* received, int64_t now_us) noexcept nogil:
        cdef ClientTransaction* c = &self.transactions.clients[client]
        cdef ClientTransaction* cancelling
        cdef NextHop next_hop
        cdef Writer writer
        cdef OutMessage* sent
        cdef const char* reason
        if c.machine != INVITE_CLIENT or c.flags & CLIENT_CANCEL_SENT:
            return
        if c.state == STATE_TRYING:
            c.flags |= CLIENT_CANCEL_WANTED
            return
        if c.state != STATE_PROCEEDING:
            return
        if parse_message(c.message.data, c.message.size, &self.kept, &reason) != 0:
            self.count(INTERNAL_ERRORS)
            return
        c.flags |= CLIENT_CANCEL_SENT
        self.transactions.arm_client(client, 1, LENGTH_64T1, now_us)
        cdef uint32_t cancel = self.transactions.open_client(NON_INVITE_CLIENT)
        self.out.begin(&writer)
        write_cancel(&writer, &self.kept, received)
        sent = self.out.commit(&writer, c.listener, &c.destination)
        if cancel == 0:
            return
        next_hop.destination = c.destination
        next_hop.listener = c.listener
        next_hop.gateway = NO_GATEWAY
        next_hop.target = 0
        cancelling = &self.transactions.clients[cancel]
        cancelling.flags = CLIENT_CANCEL
        if self.start_client(0, &next_hop, sent, cancel, METHOD_CANCEL, now_us):
            cancelling.server = client
            c.cancel = cancel

    # -- timers ---------------------------------------------------------------------------------------------------

    cdef void apply_server(self, uint32_t server, uint8_t input, int64_t now_us) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef Step following = step(s.machine, s.state, input)
        s.state = following.next
        if following.actions & (STOP_RETRANSMIT | DO_PASS):
            self.transactions.disarm_server(server, 0)
        if following.actions & ARM_RETRANSMIT:
            s.retransmit = LENGTH_T1
            self.transactions.arm_server(server, 0, LENGTH_T1, now_us)
        if following.actions & NEXT_RETRANSMIT:
            s.retransmit = doubled(s.retransmit, True)
            self.transactions.arm_server(server, 0, s.retransmit, now_us)
        if following.actions & ARM_TIMEOUT:
            self.transactions.arm_server(server, 1, LENGTH_64T1, now_us)
        if following.actions & ARM_LINGER:
            self.transactions.arm_server(server, 1, LENGTH_LINGER_64T1, now_us)
        if following.actions & ARM_LINGER_T4:
            self.transactions.arm_server(server, 1, LENGTH_LINGER_T4, now_us)
            release(&self.transactions.memory, &s.response)
        if following.actions & END:
            s.state = STATE_TRYING       # end_server wants an open one
            self.transactions.end_server(server)

    cdef void apply_client_timers(self, uint32_t client, uint16_t actions, int64_t now_us) noexcept nogil:
        if actions & STOP_RETRANSMIT and self.transactions.clients[client].state != STATE_TRYING:
            self.transactions.disarm_client(client, 0)
        if actions & ARM_LINGER:
            self.transactions.disarm_client(client, 0)
            self.transactions.arm_client(client, 1, LENGTH_LINGER_64T1, now_us)
        if actions & ARM_LINGER_T4:
            self.transactions.disarm_client(client, 0)
            self.transactions.arm_client(client, 1, LENGTH_LINGER_T4, now_us)

    cdef int64_t deadline(self) noexcept nogil:
        return next_deadline(&self.transactions.timers)

    cdef void fire_timers(self, int64_t now_us) noexcept nogil:
        cdef uint32_t node
        cdef uint8_t length
        while self.out.count < self.out.limit - 8:
            node = pop_due(&self.transactions.timers, now_us, &length)
            if node == 0:
                return
            if node & 2:
                self.fire_client(node >> 2, node & 1, length, now_us)
            else:
                self.fire_server(node >> 2, node & 1, now_us)

    cdef void fire_server(self, uint32_t server, int which, int64_t now_us) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef Step following
        if which == 0 and (s.state == STATE_PROCEEDING or s.state == STATE_TRYING):
            if s.response.data == NULL and s.client:
                self.answer_from_kept(server, &self.transactions.clients[s.client], 100, now_us)
            return
        if which == 0:
            following = step(s.machine, s.state, INPUT_RETRANSMIT)
            if following.actions & DO_RESEND:
                self.count(RESENT)
                self.out.copy(s.response.data, s.response.size, s.listener, &s.peer)
                self.apply_server(server, INPUT_RETRANSMIT, now_us)
        elif s.machine == INVITE_SERVER and s.state == STATE_COMPLETED:
            self.count(NO_ACK)
            self.apply_server(server, INPUT_TIMEOUT, now_us)
        else:
            self.apply_server(server, INPUT_LINGER, now_us)

    cdef void fire_client(self, uint32_t client, int which, uint8_t length, int64_t now_us) noexcept nogil:
        cdef ClientTransaction* c = &self.transactions.clients[client]
        if which == 0:
            if step(c.machine, c.state, INPUT_RETRANSMIT).actions & DO_RESEND:
                self.count(RESENT)
                self.out.copy(c.message.data, c.message.size, c.listener, &c.destination)
                # Timer E runs at T2 once a provisional response has come (RFC 3261 section 17.1.2.2).
                c.retransmit = (
                    LENGTH_T2 if c.state == STATE_PROCEEDING else doubled(c.retransmit, c.machine == NON_INVITE_CLIENT)
                )
                self.transactions.arm_client(client, 0, c.retransmit, now_us)
        elif c.state == STATE_COMPLETED or c.state == STATE_ACCEPTED:
            self.transactions.end_client(client)
        elif length == LENGTH_FAILOVER:
            self.on_target_silent(client, now_us)
        else:
            self.on_client_timeout(client, now_us)

    # Nothing at all from this target: on to the next. The old branch stays, to cancel what may still ring there.
    cdef void on_target_silent(self, uint32_t client, int64_t now_us) noexcept nogil:
        cdef ClientTransaction* c = &self.transactions.clients[client]
        cdef uint32_t server = self.server_of(c)
        self.note_health(c.gateway, c.target, False)
        if server and self.try_next_target(server, client, now_us):
            c.flags |= CLIENT_ABANDONED
            self.transactions.disarm_client(client, 0)
        self.transactions.arm_client(client, 1, LENGTH_64T1, now_us)

    # Timers B and F, timer C, and a CANCEL that brought no final response (RFC 3261 sections 16.8, 9.1).
    cdef void on_client_timeout(self, uint32_t client, int64_t now_us) noexcept nogil:
        cdef ClientTransaction* c = &self.transactions.clients[client]
        cdef uint32_t server = self.server_of(c) if not c.flags & CLIENT_CANCEL else 0
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef uint16_t status
        if c.machine == INVITE_CLIENT and c.state == STATE_PROCEEDING and not c.flags & CLIENT_CANCEL_SENT:
            self.cancel_client(client, NULL, now_us)
            return
        if c.flags & CLIENT_CANCEL and self.transactions.clients[c.server].cancel == client:
            self.transactions.clients[c.server].cancel = 0
        elif server and s.client == client and s.machine == INVITE_SERVER:
            self.count(TIMEOUTS)
            status = 487 if s.flags & SERVER_CANCELLED else 500 if s.failed_status == 503 else 408
            self.answer_from_kept(server, c, status, now_us)
        elif server and s.client == client:
            self.count(TIMEOUTS)                 # never a 408 to a non-INVITE (RFC 4320 section 4.2)
            self.transactions.end_server(server)
        if c.cancel:
            self.transactions.end_client(c.cancel)
        self.transactions.end_client(client)

    # -- gateways -------------------------------------------------------------------------------------------------

    cdef void note_health(self, uint16_t gateway, uint16_t target, bint alive) noexcept nogil:
        cdef GatewayEntry* entry
        cdef TargetEntry* t
        if gateway >= self.routing.gateway_count or target >= self.routing.gateways[gateway].target_count:
            return
        entry = &self.routing.gateways[gateway]
        t = &entry.targets[target]
        if alive == (not t.down):
            t.streak = 0
            return
        t.streak += 1
        if t.streak >= (entry.up_after if alive else entry.down_after):
            t.down = not alive
            t.streak = 0

    cdef void update_gauges(self) noexcept nogil:
        cdef uint64_t* values = self.counts
        values[<int>SERVER_TRANSACTIONS] = self.transactions.capacity - self.transactions.free_server_count
        values[<int>CLIENT_TRANSACTIONS] = self.transactions.capacity - self.transactions.free_client_count
        values[<int>TRANSACTIONS_REAPED] = self.transactions.reaped
        values[<int>CALLS] = self.calls.capacity - self.calls.free_count
        values[<int>MEMORY_TAKEN] = self.transactions.memory.taken
        values[<int>EVENTS_LOST] = self.screening.lost


cdef bint is_keepalive(const uint8_t* data, uint32_t size) noexcept nogil:
    cdef uint32_t i
    for i in range(size):
        if data[i] != 13 and data[i] != 10 and data[i] != 0:
            return False
    return size <= 4


cdef inline bint has_untried(uint64_t tried, uint16_t targets) noexcept nogil:
    cdef uint64_t all_ = <uint64_t>-1 if targets >= 64 else (<uint64_t>1 << targets) - 1
    return (tried & all_) != all_


cdef void write_route_line(
    Writer* lines, const ListenerEntry* listener, uint8_t worker, uint64_t cookie
) noexcept nogil:
    put(lines, b"Record-Route: <sip:", 19)
    put(lines, listener.sent_by.data, listener.sent_by.size)
    put(lines, b";lr;cs=", 7)
    put_hex(lines, worker, 2)
    put_hex(lines, cookie, 16)
    put(lines, b">\r\n", 3)


# RFC 3261 section 20.40: Unsupported lists what Proxy-Require asked for.
cdef uint32_t write_unsupported(const Message* message, uint8_t* out, uint32_t room) noexcept nogil:
    cdef Writer lines
    cdef int i
    lines.start = lines.at = out
    lines.end = out + room
    lines.full = False
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

