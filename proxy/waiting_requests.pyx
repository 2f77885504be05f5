"""Requests that wait for a name: none delays another, and every one is answered in the end.

A parked request keeps a server transaction open, which absorbs repeats and remembers a CANCEL. When it goes on, that
transaction ends and the request is handled as if it had come just now, its name looked up.
"""

from proxy.counters cimport INTERNAL_ERRORS, PARKED
from proxy.forwarding cimport standard_reason
from proxy.memory cimport keep, release
from proxy.next_hop cimport Incoming
from proxy.sip.message cimport METHOD_INVITE, parse_message
from proxy.sip.transaction cimport (
    INVITE_SERVER,
    NON_INVITE_SERVER,
    SERVER_CANCELLED,
    STATE_FREE,
    ServerTransaction,
)


cdef class WaitingRequests(RequestForwarding):
    """Room for proxy.parking.ParkingLot's number of requests."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.parked = ParkingLot()

    cdef bint park(self, Incoming* incoming, uint32_t call, uint64_t name) noexcept nogil:
        cdef bint is_invite = incoming.message.method == METHOD_INVITE
        cdef ParkedRequest* parked
        cdef uint32_t server
        if incoming.waited:
            return False
        server = self.transactions.open_server(incoming.key, INVITE_SERVER if is_invite else NON_INVITE_SERVER)
        parked = self.parked.enter(incoming.now_us) if server else NULL
        if parked == NULL:
            if server:
                self.transactions.end_server(server)
            return False
        parked.name = name
        if not keep(&self.transactions.memory, incoming.message.data, incoming.message.size, &parked.message):
            self.parked.leave(parked)
            self.transactions.end_server(server)
            return False
        self.count(PARKED)
        parked.source = incoming.source[0]
        parked.peer = incoming.peer
        parked.listener = incoming.listener
        parked.judged, parked.tagged = incoming.judged, incoming.tagged
        parked.call = call
        parked.server = server
        parked.generation = self.transactions.servers[server].generation
        parked.routing = self.router.routing.generation
        self.transactions.servers[server].listener = incoming.listener
        return True

    cdef void name_known(self, uint64_t name, int64_t now_us) noexcept nogil:
        cdef uint32_t cursor = 0
        cdef ParkedRequest* parked = self.parked.next_for(name, &cursor)
        while parked != NULL:
            self.resume(parked, now_us)
            parked = self.parked.next_for(name, &cursor)

    cdef void resume(self, ParkedRequest* parked, int64_t now_us) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[parked.server]
        cdef bint cancelled = s.flags & SERVER_CANCELLED
        cdef const char* reason
        if s.generation == parked.generation and s.state != STATE_FREE:
            self.transactions.end_server(parked.server)
            if parse_message(parked.message.data, parked.message.size, &self.waiting, &reason) == 0:
                self.go_on(parked, cancelled, now_us)
            else:
                self.count(INTERNAL_ERRORS)
        release(&self.transactions.memory, &parked.message)
        self.parked.leave(parked)

    cdef void go_on(self, ParkedRequest* parked, bint cancelled, int64_t now_us) noexcept nogil:
        cdef Incoming incoming
        incoming.message = &self.waiting
        incoming.source = &parked.source
        incoming.now_us = now_us
        incoming.key = self.transactions.key_of(&self.waiting)
        incoming.listener = parked.listener
        incoming.judged, incoming.tagged = parked.judged, parked.tagged
        incoming.waited = True
        incoming.peer = parked.peer
        if parked.routing != self.router.routing.generation:
            incoming.peer = self.router.routing.peer_of(&parked.source, parked.listener)
        self.router.read_routes(&self.waiting, parked.listener, &incoming.route)
        if cancelled:
            self.answer(&incoming, 487, standard_reason(487))
            self.end_calls_of(&incoming, parked.call, 487)
        else:
            self.forward_stateful(&incoming, parked.call)

    cdef int64_t deadline(self) noexcept nogil:
        cdef int64_t timers = RequestForwarding.deadline(self)
        cdef int64_t parked = self.parked.deadline()
        return parked if timers == 0 or 0 < parked < timers else timers

    cdef void fire_timers(self, int64_t now_us) noexcept nogil:
        cdef ParkedRequest* parked = self.parked.next_due(now_us)
        while parked != NULL and self.out.count < self.out.limit - 8:
            self.resume(parked, now_us)
            parked = self.parked.next_due(now_us)
        RequestForwarding.fire_timers(self, now_us)
