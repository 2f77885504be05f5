"""ProxyCore: the transaction-stateful proxy of RFC 3261 section 16 with RFC 6026, around one call of the engine.

Datagrams and deadlines come in with the time they belong to; datagrams to send are left in an Outbox, events in a
ring. An INVITE is screened exactly once: repeats, ACK and CANCEL are answered from its transaction.

  receive ── parse ── response ──────────────────────────────▶ its client transaction ─▶ pass up | ACK | next target
                  └── request ── repeat, ACK, CANCEL ────────▶ its server transaction
                             └── new ── routes ── INVITE? ──▶ screen ─▶ reject | forward
"""

from proxy.call_limits cimport CallLimits
from proxy.counters cimport (
    BAD_MESSAGES,
    CALLS,
    CLIENT_TRANSACTIONS,
    EVENTS_LOST,
    FLOODED,
    KEEPALIVES,
    MEMORY_TAKEN,
    NOT_SIP,
    RECEIVED,
    SERVER_TRANSACTIONS,
    STICKY_EVICTED,
    TRANSACTIONS_REAPED,
    Counters,
)
from proxy.forwarding cimport standard_reason
from proxy.key_index cimport prefetch_key
from proxy.memory cimport taken
from proxy.outbox cimport MAX_DATAGRAM, Writer, put
from proxy.own_addresses cimport ListenerEntry
from proxy.quoted_request cimport quoted_via
from proxy.router cimport Router
from proxy.routing_table cimport PEER_TRUNK, PEER_UNKNOWN, GatewayEntry, RoutingTable, TrunkEntry
from proxy.sip.address cimport address_from_python
from proxy.sip.message cimport MAX_HEADERS, METHOD_ACK, METHOD_OPTIONS, OWN_BYTES, OWN_HEADERS, parse_message
from proxy.sip.transaction cimport (
    BRANCH_SIZE,
    CLIENT_PROBE,
    NON_INVITE_CLIENT,
    STATE_PROCEEDING,
    STATE_TRYING,
    branch_worker,
)
from proxy.sip.via cimport Via


cdef class ProxyCore(RequestProcessing):
    """One worker's proxy.

    listeners: ListenerAddress each. secret: 32 bytes, the same for all workers of a node.
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

    # -- what worker.py asks --------------------------------------------------------------------------------------

    def configure(self, routing, screener, CallLimits limits=None):
        """The one swap point: from the next message on, routing, policy and caps are these.

        limits: for `routing.limits`; None = this core is alone and counts for itself.
        """
        cdef RoutingTable table = RoutingTable(routing, screener.image.rules, self.router.routing)
        if limits is None:
            limits = CallLimits(routing.limits)
        self.router.calls.put_under(limits)
        self.screening.screener = screener
        self.router.routing = table
        self.guard.configure(routing.flood)
        self.load.configure(routing.overload)

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

    def note_load(self, double busy, double queued, int64_t now_us):
        """What the edge measured since the last time: busy part of a processor, filled part of the receive buffers."""
        self.measure_load(busy, queued, now_us)

    def take_refused(self):
        """Requests answered 503 for want of room or over a limit since the last time, by index of their trunk."""
        cdef uint32_t i
        cdef TrunkEntry* trunks
        if self.router.routing is None:
            return {}
        trunks = self.router.routing.trunks
        refused = {i: trunks[i].refused for i in range(self.router.routing.trunk_count) if trunks[i].refused}
        for i in refused:
            trunks[i].refused = 0
        return refused

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

    def receive_stream(self, bytes data, tuple source, int listener, uint32_t flow, int64_t now_us, Outbox out,
                       int tls_trunk=-1, uint16_t refusal=0):
        """One complete message from a connection. flow: its number. tls_trunk: that the peer's certificate names.

        refusal: the status to answer, of a message whose framing was lost (RFC 3261 section 18.3); `data` is its head.
        """
        cdef Address address
        address_from_python(source[0], source[1], &address)
        address.flow = flow
        self.out = out
        self.read(data, <uint32_t>len(data), <uint8_t>listener, &address, now_us, &self.received)
        self.received.tls_trunk = tls_trunk
        if refusal and self.received.status >= 0 and self.received.status != refusal:
            self.received.status = refusal
            self.received.reason = standard_reason(refusal)
        self.handle(&self.received, listener, &address, now_us)

    def transport_failed(self, uint64_t token, int64_t now_us, Outbox out):
        """The request with this token could not be delivered (RFC 3261 sections 16.9, 18.4)."""
        cdef uint32_t client = <uint32_t>(token >> 32)
        if client == 0 or client > self.transactions.capacity:
            return
        self.out = out
        if self.transactions.clients[client].generation == <uint32_t>token:
            self.on_transport_failed(client, now_us)

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
        cdef const ListenerEntry* listener
        if gateway >= self.router.routing.gateway_count or target >= self.router.routing.gateways[gateway].target_count:
            return 0
        entry = &self.router.routing.gateways[gateway]
        if entry.targets[target].retired:
            return 0
        cdef uint32_t client = self.transactions.open_client(NON_INVITE_CLIENT)
        if client == 0:
            return 0
        self.transactions.write_branch(client, self.worker, branch)
        host = (<const char*>entry.targets[target].text)[: entry.targets[target].text_size].decode("ascii")
        listener = &self.router.listeners[entry.targets[target].listener]
        own = (<const char*>listener.sent_by.data)[: listener.sent_by.size].decode("ascii")
        via = (<const char*>listener.via.data)[: listener.via.size].decode("ascii")
        text = (
            f"OPTIONS sip:{host} SIP/2.0\r\nVia: {via};rport;branch={branch[:BRANCH_SIZE].decode('ascii')}"
            f"\r\nMax-Forwards: 70\r\nFrom: <sip:callsieve@{own}>;tag={client:x}\r\nTo: <sip:{host}>\r\n"
            f"Call-ID: {branch[9:BRANCH_SIZE].decode('ascii')}@{own}\r\nCSeq: 1 OPTIONS\r\nContact: <sip:{own}>\r\n"
            "Accept: application/sdp\r\nContent-Length: 0\r\n\r\n"
        ).encode("ascii")
        self.out = out
        out.begin(&writer)
        put(&writer, <const char*>text, <uint32_t>len(text))
        next_hop.destination = entry.targets[target].address
        next_hop.gateway, next_hop.target, next_hop.listener = gateway, target, entry.targets[target].listener
        next_hop.secure = False
        sent = out.commit(&writer, next_hop.listener, &next_hop.destination)
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

    def leave_target(self, uint16_t gateway, uint16_t target, uint32_t position, int64_t now_us, Outbox out):
        """A target has gone down: what only rings there goes to the next one.

        One step of it: (how many calls, position of the next step; 0 = that was the last). The first position is 1.
        """
        cdef uint32_t left
        self.out = out
        with nogil:
            left = self.on_target_down(gateway, target, &position, now_us)
        return left, position

    def target_health(self):
        """(gateway, target, up) of every target."""
        cdef uint32_t g
        cdef int t
        return [
            (g, t, not self.router.routing.gateways[g].targets[t].down)
            for g in range(self.router.routing.gateway_count)
            for t, _ in self.router.routing.target_texts(g)
        ]

    def targets(self, int gateway):
        """(target, host[:port] as written) of a gateway's targets."""
        return self.router.routing.target_texts(gateway)

    def set_targets(self, int gateway, routes):
        """From now on the gateway has these targets (proxy.gateways.TargetRoute): its names lead elsewhere."""
        self.router.routing.set_targets(gateway, routes)

    # -- names ----------------------------------------------------------------------------------------------------

    def take_questions(self):
        """What the resolver is to be asked: (question, host, port or None, transport or None, of a SIPS URI) each."""
        return self.router.names.take_questions()

    def resolved(self, uint64_t question, destinations, double ttl_s, int64_t now_us, Outbox out):
        """The answer: (transport, ip, port) each, in the order in which they are tried; none = it leads nowhere."""
        self.out = out
        self.router.names.learn(question, destinations, ttl_s, now_us)
        self.name_known(question, now_us)

    # -- datagrams ------------------------------------------------------------------------------------------------

    # One datagram from first to last.
    cdef void receive(
        self, const uint8_t* data, uint32_t size, uint8_t listener, const Address* source, int64_t now_us
    ) noexcept nogil:
        self.read(data, size, listener, source, now_us, &self.received)
        self.handle(&self.received, listener, source, now_us)

    # First half: understands the datagram, and has the memory brought in that the second half will look into. A batch
    # goes through the first half as a whole, so that it waits for memory once.
    cdef void read(
        self, const uint8_t* data, uint32_t size, uint8_t listener, const Address* source, int64_t now_us,
        Received* received
    ) noexcept nogil:
        cdef Message* message = &received.message
        received.tls_trunk = -1
        received.peer = self.router.routing.peer_of(source, listener)
        if not self.guard.admits(self.router.routing, received.peer, source, data, size, now_us):
            received.status = FLOODED_STATUS
            return
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
        if received.status == FLOODED_STATUS:
            self.count(FLOODED)
            return
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
        incoming.judged = incoming.tagged = False
        incoming.key = received.key
        incoming.peer = received.peer
        incoming.waited = False
        if 0 <= received.tls_trunk < <int32_t>self.router.routing.trunk_count:
            incoming.peer.kind = PEER_TRUNK
            incoming.peer.index = <uint16_t>received.tls_trunk
        if received.status == 0:
            self.on_request(&incoming)
            return
        self.count(BAD_MESSAGES)
        if incoming.peer.kind != PEER_UNKNOWN and message.method != METHOD_ACK:
            incoming.key = 0
            self.answer(&incoming, <uint16_t>received.status, received.reason)

    cdef int datagram_lost(self, const uint8_t* data, uint32_t size, int64_t now_us) noexcept nogil:
        cdef Via via
        cdef uint32_t client
        cdef int worker
        if not quoted_via(data, size, &via):
            return -1
        worker = branch_worker(data + via.branch.start, via.branch.size)
        if worker != self.worker:
            return worker if worker < self.workers else -1
        client = self.transactions.find_client(data + via.branch.start, via.branch.size)
        if client:
            self.on_transport_failed(client, now_us)
        return -1

    cdef void measure_load(self, double busy, double queued, int64_t now_us) noexcept nogil:
        self.load.note_room(self.transactions.used_part())
        self.load.measure(busy, queued, now_us)

    cdef void update_gauges(self) noexcept nogil:
        cdef uint64_t* values = self.counts
        values[<int>SERVER_TRANSACTIONS] = self.transactions.capacity - self.transactions.free_server_count
        values[<int>CLIENT_TRANSACTIONS] = self.transactions.capacity - self.transactions.free_client_count
        values[<int>TRANSACTIONS_REAPED] = self.transactions.reaped
        values[<int>CALLS] = self.router.calls.capacity - self.router.calls.free_count
        values[<int>MEMORY_TAKEN] = taken(&self.transactions.memory)
        values[<int>STICKY_EVICTED] = self.sticky.evictions
        values[<int>EVENTS_LOST] = self.screening.lost


# Once it carries what a proxy adds, it would be neither a datagram nor a message that `parse_message` takes.
cdef bint is_too_large(const Message* message) noexcept nogil:
    return message.size > MAX_DATAGRAM - OWN_BYTES or message.header_count > MAX_HEADERS - OWN_HEADERS


cdef bint is_keepalive(const uint8_t* data, uint32_t size) noexcept nogil:
    cdef uint32_t i
    for i in range(size):
        if data[i] != 13 and data[i] != 10 and data[i] != 0:
            return False
    return size <= 4
