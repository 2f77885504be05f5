"""Response processing (RFC 3261 section 16.7 with RFC 6026), failover to the next target, and the end of calls.

One target is tried after the other. One that stays silent is left for the next without waiting for its end, so several
branches may be open at once; the best response is chosen when the last of them has ended.
"""

from engine._outcomes cimport OUTCOME_ANSWERED, OUTCOME_ENDED, OUTCOME_FAILED, OUTCOME_REFUSED, OUTCOME_RINGING
from libc.string cimport memcmp, memset
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
from proxy.early_dialogs cimport early_dialog
from proxy.events cimport EVENT_ENDED, Event
from proxy.forwarding cimport Hop, has_lower_via, write_retarget
from proxy.memory cimport release
from proxy.next_hop cimport HOP_FOUND
from proxy.outbox cimport Writer, writer_over
from proxy.overload_client cimport OverloadClient
from proxy.overload_parameters cimport OverloadParameters, read_overload
from proxy.prefix_routes cimport NO_ROUTE
from proxy.router cimport URI_ROOM
from proxy.routing_table cimport retries_on
from proxy.sip.grammar cimport Slice
from proxy.sip.message cimport HEADER_RECORD_ROUTE, METHOD_CANCEL, METHOD_OTHER, parse_message
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
    NO_GATEWAY,
    SERVER_CANCELLED,
    SERVER_SETTLED,
    STATE_COMPLETED,
    STATE_PROCEEDING,
    STATE_TRYING,
    Step,
    branch_worker,
    step,
)

cdef enum:
    CLIENTS_A_STEP = 4096    # looked at for a target that has gone down, some microseconds long


cdef class ResponseProcessing(ResponseContext):
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
            self.hand_over(message, <uint8_t>worker, 0, &self.router.listeners[0].bound, -1)
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
        if not self.is_for(message, c):
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

    # RFC 3261 section 17.1.3: the method of CSeq must be that of the request, by name where it is none we know.
    cdef bint is_for(self, const Message* message, const ClientTransaction* client) noexcept nogil:
        cdef Slice method = message.cseq_method
        if client.method != message.method or client.flags & CLIENT_CANCEL:
            return False
        if message.method != METHOD_OTHER or client.message.data == NULL:
            return True
        return method.size < client.message.size and client.message.data[method.size] == 32 and (
            memcmp(client.message.data, message.data + method.start, method.size) == 0
        )

    # Passed on at once, but never to a non-INVITE (RFC 4320 section 4.1).
    cdef void on_provisional(self, uint32_t client, const Message* message, int64_t now_us) noexcept nogil:
        cdef ClientTransaction* c = &self.transactions.clients[client]
        cdef Step following = step(c.machine, c.state, INPUT_1XX)
        cdef uint8_t before = c.state
        cdef uint32_t server
        if not following.actions & DO_PASS:
            return
        c.state = following.next
        self.apply_client_timers(client, following.actions, now_us)
        if c.machine != INVITE_CLIENT:
            return
        server = self.server_of(c)
        if (before == STATE_TRYING or message.status > 100) and not c.flags & CLIENT_CANCEL_SENT:
            self.transactions.arm_client(client, 1, LENGTH_C, now_us)
        if c.flags & (CLIENT_ABANDONED | CLIENT_CANCEL_WANTED) or server == 0:
            self.cancel_client(client, now_us)
        if message.status > 100 and server and not c.flags & CLIENT_ABANDONED:
            c.early = early_dialog(message) if message.status != 199 else 0
            self.pass_response(server, client, message, now_us)
            if 180 <= message.status <= 189:
                self.note_ringing(self.transactions.servers[server].call, now_us)

    # The first 18x of a call, whichever target sends it.
    cdef void note_ringing(self, uint32_t index, int64_t now_us) noexcept nogil:
        cdef Call* call = &self.router.calls.calls[index]
        if index == 0 or call.state != CALL_PENDING or call.event.setup_ms:
            return
        call.event.setup_ms = max(<uint32_t>((now_us - call.event.time_us) // 1000), <uint32_t>1)
        self.screening.observe(&call.event, call.policy_trunk, OUTCOME_RINGING, now_us)

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
        if not self.pass_response(server, client, message, now_us):
            return
        release(&self.transactions.memory, &s.best)
        self.cancel_branches(server, now_us)
        if s.call:
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
        cdef uint32_t server
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
        server = self.server_of(c)
        if server and message.status == 487 and c.flags & CLIENT_CANCEL_SENT and not (
            self.transactions.servers[server].flags & SERVER_CANCELLED
        ):
            self.on_branch_ended(server, client, 408, NULL, now_us)       # nobody but us wanted it ended: timer C
        elif server:
            self.on_branch_ended(server, client, message.status, message, now_us)
        if following.actions & DO_ACK:
            self.acknowledge(client, message)
        else:
            release(&self.transactions.memory, &c.message)

    # RFC 3261 section 16.7 steps 5 and 6.
    cdef void on_branch_ended(
        self, uint32_t server, uint32_t client, uint16_t status, const Message* message, int64_t now_us
    ) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef const ClientTransaction* c = &self.transactions.clients[client]
        cdef bint is_only
        if s.state != STATE_PROCEEDING and s.state != STATE_TRYING:
            return
        if not self.leads_on(c, status, message):
            s.flags |= SERVER_SETTLED
        elif not c.flags & CLIENT_ABANDONED and self.try_next_target(server, client, now_us):
            self.note_final(server, client, status, message)
            if message != NULL:
                self.tell_early_end(server, client, message)
            return
        is_only = s.best_status == 0 and message != NULL and status != 503 and status != 408
        if is_only and not self.transactions.has_pending(server):
            self.pass_response(server, client, message, now_us)
        else:
            self.note_final(server, client, status, message)
            if status >= 600:
                self.cancel_branches(server, now_us)
            if self.transactions.has_pending(server):
                if message != NULL:
                    self.tell_early_end(server, client, message)
                return
            status = self.send_best(server, client, now_us)
        if s.call:
            self.end_call(s.call, status, 2 if status != 487 else 1, now_us)
            s.call = 0

    # Whether the next target is tried: after silence, failed transport, and what the gateway's `retry_on` lists.
    # Whoever sent a non-INVITE has given up by the time it counts as silence; a phone that rang until timer C was not
    # silent.
    cdef bint leads_on(
        self, const ClientTransaction* client, uint16_t status, const Message* message
    ) noexcept nogil:
        if message == NULL and client.flags & CLIENT_ABANDONED:
            return True
        if message == NULL:
            return status == 503 or (client.machine == INVITE_CLIENT and not client.flags & CLIENT_CANCEL_SENT)
        if client.gateway == NO_GATEWAY or client.routing != self.router.routing.generation:
            return status == 503
        return retries_on(&self.router.routing.gateways[client.gateway], status)

    # RFC 3263 section 4.3: the same request on a new branch to the next target. False: there is none left.
    cdef bint try_next_target(self, uint32_t server, uint32_t client, int64_t now_us) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef NextHop next_hop
        cdef bint found
        if s.name:
            self.router.note_place(s.name, self.transactions.clients[client].target)
        if s.flags & (SERVER_CANCELLED | SERVER_SETTLED):
            return False
        if not self.transactions.has_room(self.transactions.clients[client].message.size, False):
            return False         # what is left is for dialogs
        next_hop.route, next_hop.position, next_hop.gateway = s.route, s.position, s.gateway
        next_hop.name, next_hop.listener = s.name, self.transactions.clients[client].listener
        next_hop.secure = self.transactions.clients[client].secure
        found = self.find_next_place(s, &next_hop, now_us) if s.name else self.find_next_target(s, &next_hop, now_us)
        if not found or not self.send_again(server, client, &next_hop, now_us):
            return False
        self.count(FAILOVERS)
        return True

    cdef bint find_next_target(
        self, ServerTransaction* server, NextHop* next_hop, int64_t now_us
    ) noexcept nogil:
        cdef Call* call = &self.router.calls.calls[server.call] if server.call else NULL
        if server.route == NO_ROUTE or server.routing != self.router.routing.generation:
            return False
        while self.router.next_target(call, server.tried, now_us, next_hop) == HOP_FOUND:
            if next_hop.position != server.position:
                server.position, server.gateway, server.tried = next_hop.position, next_hop.gateway, 0
            if self.next_hops.admits(&next_hop.destination, False, now_us):
                return True
            server.tried |= <uint64_t>1 << next_hop.target
        return False

    cdef bint find_next_place(self, ServerTransaction* server, NextHop* next_hop, int64_t now_us) noexcept nogil:
        while self.router.next_place(server.tried, next_hop) == HOP_FOUND:
            if self.next_hops.admits(&next_hop.destination, False, now_us):
                return True
            server.tried |= <uint64_t>1 << next_hop.target
        return False

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
        self.transactions.clients[following].loop = old.loop
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
            by_udp.gateway, by_udp.target, by_udp.route = c.gateway, c.target, self.transactions.servers[server].route
            if c.routing != self.router.routing.generation:
                by_udp.gateway, by_udp.route = NO_GATEWAY, NO_ROUTE      # their numbers are another's by now
            by_udp.position = self.transactions.servers[server].position
            by_udp.name = self.transactions.servers[server].name
            by_udp.secure = False
            by_udp.listener = <uint8_t>self.router.listeners[c.listener].datagram
            if self.send_again(server, client, &by_udp, now_us):
                self.transactions.end_client(client)
                return
        self.router.note_health(c, False)
        c.state = STATE_COMPLETED
        if server:
            self.on_branch_ended(server, client, 503, NULL, now_us)
        self.transactions.end_client(client)

    # Nothing at all from this target: on to the next. The old branch stays, to cancel what may still ring there.
    cdef void on_target_silent(self, uint32_t client, int64_t now_us) noexcept nogil:
        cdef ClientTransaction* c = &self.transactions.clients[client]
        cdef uint32_t server = self.server_of(c)
        cdef bint is_over
        self.router.note_health(c, False)
        is_over = server and self.transactions.servers[server].flags & (SERVER_CANCELLED | SERVER_SETTLED)
        if is_over or (server and self.try_next_target(server, client, now_us)):
            c.flags |= CLIENT_ABANDONED
            self.transactions.disarm_client(client, 0)
        self.transactions.arm_client(client, 1, LENGTH_64T1, now_us)
        if is_over:
            self.on_branch_ended(server, client, 408, NULL, now_us)

    # Calls that only ring at a target that has gone down ring at the next one, as if the target had stayed silent; how
    # many. The old branch is cancelled, should somebody be there after all. Without another target they ring on. A step
    # at a time, as far as there is room for what is sent: nobody else waits for a walk over all transactions.
    cdef uint32_t on_target_down(
        self, uint16_t gateway, uint16_t target, uint32_t* position, int64_t now_us
    ) noexcept nogil:
        cdef uint32_t end = min(position[0] + <uint32_t>CLIENTS_A_STEP, self.transactions.capacity + 1)
        cdef ClientTransaction* c
        cdef uint32_t client, server, left = 0
        while position[0] < end and self.out.count < self.out.limit - 8:
            client = position[0]
            position[0] += 1
            c = &self.transactions.clients[client]
            if c.state != STATE_PROCEEDING or c.machine != INVITE_CLIENT or c.gateway != gateway or c.target != target:
                continue
            if c.routing != self.router.routing.generation or c.flags & (CLIENT_ABANDONED | CLIENT_CANCEL_SENT):
                continue
            server = self.server_of(c)
            if server and self.try_next_target(server, client, now_us):
                c.flags |= CLIENT_ABANDONED
                self.cancel_client(client, now_us)
                left += 1
        if position[0] > self.transactions.capacity:
            position[0] = 0
        return left

    # Timers B and F, timer C, and a CANCEL that brought no final response (RFC 3261 sections 16.8, 9.1).
    cdef void on_client_timeout(self, uint32_t client, int64_t now_us) noexcept nogil:
        cdef ClientTransaction* c = &self.transactions.clients[client]
        cdef uint32_t server = self.server_of(c) if not c.flags & CLIENT_CANCEL else 0
        if c.machine == INVITE_CLIENT and c.state == STATE_PROCEEDING and not c.flags & CLIENT_CANCEL_SENT:
            self.cancel_client(client, now_us)
            return
        if c.flags & CLIENT_CANCEL and self.transactions.clients[c.server].cancel == client:
            self.transactions.clients[c.server].cancel = 0
        c.state = STATE_COMPLETED
        if server:
            if not c.flags & CLIENT_ABANDONED:
                self.count(TIMEOUTS)
            self.on_branch_ended(server, client, 408, NULL, now_us)
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
            event.unwanted = status == 607
            self.screening.observe(
                event, call.policy_trunk, OUTCOME_REFUSED if status == 603 or status == 607 else OUTCOME_FAILED, now_us
            )
        event.time_us = now_us
        self.screening.tell(event)
        self.router.calls.close(index)

    # For the worker whose transaction or call it belongs to; the edge carries it there.
    cdef void hand_over(
        self, const Message* message, uint8_t worker, uint8_t listener, const Address* source, int16_t trunk
    ) noexcept nogil:
        self.count(HANDED_OVER)
        cdef OutMessage* handed = self.handed_over.copy(message.data, message.size, listener, source)
        if handed != NULL:
            handed.worker = worker
            handed.trunk = trunk
