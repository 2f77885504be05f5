"""Response processing (RFC 3261 section 16.7 with RFC 6026), failover to the next target, and the end of calls.

One target is tried after the other, so the best response of section 16.7 step 6 is the last target's, unless all that
came were 503 and silence.
"""

from engine._fastpath cimport OUTCOME_ANSWERED, OUTCOME_ENDED, OUTCOME_FAILED, OUTCOME_REFUSED
from libc.string cimport memset
from proxy.calls cimport CALL_ANSWERED, CALL_FREE, CALL_PENDING
from proxy.counters cimport (
    ANSWERED,
    ENDED,
    FAILOVERS,
    HANDED_OVER,
    RESPONSES,
    STRAY_RESPONSES,
    TIMEOUTS,
    TRANSPORT_FAILURES,
)
from proxy.events cimport EVENT_ENDED, Event
from proxy.forwarding cimport Hop, has_lower_via, write_retarget
from proxy.memory cimport release
from proxy.outbox cimport Writer, writer_over
from proxy.overload_client cimport OverloadClient
from proxy.overload_parameters cimport OverloadParameters, read_overload
from proxy.router cimport URI_ROOM
from proxy.sip.message cimport HEADER_RECORD_ROUTE, METHOD_CANCEL, parse_message
from proxy.sip.timers cimport LENGTH_64T1, LENGTH_C
from proxy.sip.transaction cimport (
    BRANCH_SIZE,
    CLIENT_ABANDONED,
    CLIENT_CANCEL,
    CLIENT_CANCEL_SENT,
    CLIENT_CANCEL_WANTED,
    CLIENT_MOVED,
    CLIENT_PROBE,
    DO_ACK,
    DO_PASS,
    INPUT_1XX,
    INPUT_2XX,
    INPUT_FINAL,
    INVITE_CLIENT,
    INVITE_SERVER,
    NO_GATEWAY,
    SERVER_CANCELLED,
    STATE_PROCEEDING,
    STATE_TRYING,
    Step,
    branch_worker,
    step,
)


cdef class ResponseProcessing(TransactionLayer):
    """Responses and their absence. workers: how many share the listeners."""

    def __init__(self, router, *, int worker, int workers, bytes secret, counters, capacity, timers, server_header):
        super().__init__(
            router, secret=secret, counters=counters, capacity=capacity, timers=timers, server_header=server_header
        )
        self.worker = worker
        self.workers = workers
        self.screening = Screening(worker, secret[16:32])
        self.handed_over = Outbox(256, 4 << 20)
        self.next_hops = OverloadClient(secret[16:24])

    # A final answer of our own ends the call it refuses.
    cdef void on_local_final(self, uint32_t server, uint16_t status, int64_t now_us) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        if s.call:
            self.end_call(s.call, status, 0, now_us)
            s.call = 0

    cdef void on_response(self, const Message* message, int64_t now_us) noexcept nogil:
        cdef const uint8_t* branch = message.data + message.via.branch.start
        cdef int worker = branch_worker(branch, message.via.branch.size)
        cdef uint32_t client
        cdef ClientTransaction* c
        self.count(RESPONSES)
        if worker != self.worker and 0 <= worker < self.workers:
            self.hand_over(message, <uint8_t>worker, 0, &self.router.listeners[0].bound)
            return
        client = self.transactions.find_client(branch, message.via.branch.size) if worker >= 0 else 0
        if client == 0 or not self.router.is_own_via(message):
            self.count(STRAY_RESPONSES)
            return
        c = &self.transactions.clients[client]
        if message.via.has_overload:
            self.note_overload(c, message, now_us)
        if message.method == METHOD_CANCEL and c.machine == INVITE_CLIENT:
            if c.cancel and message.status >= 200:
                self.transactions.end_client(c.cancel)
                c.cancel = 0
            return
        if c.method != message.method or c.flags & CLIENT_CANCEL:
            self.count(STRAY_RESPONSES)
            return
        # RFC 3261 section 16.7 step 3: without another Via it is for nobody but us; only probes and CANCELs are ours.
        if not c.flags & CLIENT_PROBE and not has_lower_via(message):
            self.count(STRAY_RESPONSES)
            return
        if message.status < 200:
            self.on_provisional(client, message, now_us)
        elif message.status < 300:
            self.on_success(client, message, now_us)
        else:
            self.on_failure(client, message, now_us)

    cdef bint asks_overload(self, uint16_t gateway, const Address* address) noexcept nogil:
        if gateway != NO_GATEWAY:
            return self.router.routing.gateways[gateway].overload_control
        return self.next_hops.find(address) != NULL

    cdef void note_overload(self, const ClientTransaction* c, const Message* message, int64_t now_us) noexcept nogil:
        cdef OverloadParameters said
        cdef bint is_current = c.routing == self.router.routing.generation
        if self.asks_overload(c.gateway if is_current else <uint16_t>NO_GATEWAY, &c.destination):
            if read_overload(message.data, &message.via, &said):
                self.next_hops.note(&c.destination, &said, now_us)

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
            self.router.note_health(c, True)
            self.transactions.end_client(client)
            return
        server = self.server_of(c)
        if server == 0:
            return
        s = &self.transactions.servers[server]
        if self.pass_response(server, message, now_us) and s.call:
            call = &self.router.calls.calls[s.call]
            if call.state == CALL_PENDING:
                self.count(ANSWERED)
                self.router.calls.answer(s.call, message, now_us)
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
            self.router.note_health(c, True)      # any answer is a sign of life
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

    # RFC 3263 section 4.3: the same request on a new branch to the next target. False: there is none left.
    cdef bint try_next_target(self, uint32_t server, uint32_t client, int64_t now_us) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef NextHop next_hop
        if s.gateway == NO_GATEWAY or s.routing != self.router.routing.generation or s.flags & SERVER_CANCELLED:
            return False
        while True:
            if not self.router.hop_by_gateway(s.gateway, s.tried, &next_hop):
                return False
            if self.next_hops.admits(&next_hop.destination, False, now_us):
                break
            s.tried |= <uint64_t>1 << next_hop.target
        if not self.send_again(server, client, &next_hop, now_us):
            return False
        self.count(FAILOVERS)
        return True

    # The request of a client transaction to another next hop, in a client transaction of its own.
    cdef bint send_again(
        self, uint32_t server, uint32_t client, const NextHop* next_hop, int64_t now_us
    ) noexcept nogil:
        cdef ClientTransaction* old = &self.transactions.clients[client]
        cdef uint32_t following
        cdef Hop hop
        cdef Writer writer
        cdef Writer rows = writer_over(self.extra, sizeof(self.extra))
        cdef OutMessage* sent
        cdef const char* reason
        cdef int own_routes = 0
        cdef uint8_t branch[BRANCH_SIZE]
        cdef uint8_t uri[URI_ROOM]
        if parse_message(old.message.data, old.message.size, &self.kept, &reason) != 0:
            return False
        following = self.transactions.open_client(old.machine)
        if following == 0:
            return False
        memset(&hop, 0, sizeof(Hop))
        self.router.fill_via(next_hop.listener, self.asks_overload(next_hop.gateway, &next_hop.destination), &hop)
        hop.branch = branch
        hop.branch_size = self.transactions.write_branch(following, self.worker, branch)
        hop.uri_size = self.router.retarget_uri(&self.kept, old, next_hop, uri)
        hop.uri = uri if hop.uri_size else NULL
        if self.router.routed_by(old) != next_hop.listener and self.kept.headers[1].name == HEADER_RECORD_ROUTE:
            own_routes = 2 if self.router.routed_by(old) != self.transactions.servers[server].listener else 1
            self.router.write_record_route(
                &rows, &self.kept, self.transactions.servers[server].listener, next_hop.listener
            )
            hop.extra = self.extra
            hop.extra_size = <uint32_t>(rows.at - rows.start)
        self.out.begin(&writer)
        write_retarget(&writer, &self.kept, &hop, own_routes)
        sent = self.out.commit(&writer, next_hop.listener, &next_hop.destination)
        return self.start_client(server, next_hop, sent, following, old.method, now_us)

    # RFC 3261 sections 16.9, 18.4: a request that could not be sent counts as answered 503. One that went by TCP for
    # its size alone goes by UDP after all (section 18.1.1).
    cdef void on_transport_failed(self, uint32_t client, int64_t now_us) noexcept nogil:
        cdef ClientTransaction* c = &self.transactions.clients[client]
        cdef uint32_t server = self.server_of(c)
        cdef NextHop by_udp
        if c.state != STATE_TRYING:
            return
        self.count(TRANSPORT_FAILURES)
        if c.flags & CLIENT_CANCEL:
            self.on_client_timeout(client, now_us)
            return
        if c.flags & CLIENT_MOVED and server:
            by_udp.destination = c.destination
            by_udp.gateway, by_udp.target = c.gateway, c.target
            by_udp.listener = <uint8_t>self.router.listeners[c.listener].datagram
            if self.send_again(server, client, &by_udp, now_us):
                self.transactions.end_client(client)
                return
        self.router.note_health(c, False)
        if server and not c.flags & CLIENT_ABANDONED:
            self.transactions.servers[server].failed_status = 503
            if not self.try_next_target(server, client, now_us):
                self.answer_from_kept(server, c, 500, now_us)
        self.transactions.end_client(client)

    # Nothing at all from this target: on to the next. The old branch stays, to cancel what may still ring there.
    cdef void on_target_silent(self, uint32_t client, int64_t now_us) noexcept nogil:
        cdef ClientTransaction* c = &self.transactions.clients[client]
        cdef uint32_t server = self.server_of(c)
        self.router.note_health(c, False)
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

    # Tells the end of a forwarded call, once, and forgets it.
    cdef void end_call(self, uint32_t index, uint16_t status, uint8_t released_by, int64_t now_us) noexcept nogil:
        cdef Call* call = &self.router.calls.calls[index]
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
        self.router.calls.close(index)

    # For the worker whose transaction or call it belongs to; the edge carries it there.
    cdef void hand_over(
        self, const Message* message, uint8_t worker, uint8_t listener, const Address* source
    ) noexcept nogil:
        self.count(HANDED_OVER)
        cdef OutMessage* handed = self.handed_over.copy(message.data, message.size, listener, source)
        if handed != NULL:
            handed.worker = worker
