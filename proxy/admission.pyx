"""Admission: who gets in when not everybody can.

In the order of RFC 7339 section 5.10.1 requests within dialogs come first, with emergency calls and what a trusted peer
marks by Resource-Priority; new calls pay for them, after registrations and the like. What is refused gets 503 without
Retry-After, statelessly, before anything was spent on it: Retry-After would stop the peer's whole traffic (RFC 7339
section 5.10.2).
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from proxy.calls cimport Call
from proxy.counters cimport REFUSED_OVERLOAD, REFUSED_RATE
from proxy.next_hop cimport HOP_FOUND
from proxy.overload_parameters cimport ALGORITHM_NONE
from proxy.overload_server cimport REQUEST_CALL, REQUEST_OTHER, REQUEST_PRIORITY, RequestKind
from proxy.prefix_routes cimport NO_ROUTE
from proxy.priority cimport has_priority
from proxy.routing_table cimport PEER_TRUNK
from proxy.sip.message cimport METHOD_INVITE, OWN_BYTES
from proxy.sources cimport Source


cdef class Admission(LocalAnswers):
    """Takes in, or refuses."""

    cdef bint admits_new(self, Incoming* incoming) noexcept nogil:
        cdef Source* source = self.guard.peers.of(incoming.source)
        cdef RequestKind kind = REQUEST_CALL if incoming.message.method == METHOD_INVITE else REQUEST_OTHER
        cdef bint within = kind == REQUEST_OTHER or self.guard.admits_invite(source, incoming.now_us)
        cdef bint admitted = within and self.is_for_all(incoming)
        if not admitted:
            self.load.note_room(self.transactions.used_part())
            if has_priority(incoming.message, &self.router.routing.trunks[incoming.peer.index]):
                kind = REQUEST_PRIORITY
            admitted = self.may_enter(incoming, within, kind)
        self.load.note_request(kind, source.seen_us < self.load.since_us)
        source.seen_us = incoming.now_us
        if not admitted:
            self.refuse(incoming, REFUSED_OVERLOAD if within else REFUSED_RATE)
        return admitted

    # Nothing is short: nobody asks who comes first.
    cdef bint is_for_all(self, Incoming* incoming) noexcept nogil:
        return self.load.part() >= 1.0 and self.transactions.has_room(incoming.message.size + OWN_BYTES, False)

    cdef bint may_enter(self, Incoming* incoming, bint within, RequestKind kind) noexcept nogil:
        if not self.transactions.has_room(incoming.message.size + OWN_BYTES, kind == REQUEST_PRIORITY):
            return False
        if kind == REQUEST_PRIORITY:
            return True
        if not within:
            return False
        # Who takes part in overload control has left out already what we asked it to.
        if self.algorithm_for(incoming) != ALGORITHM_NONE:
            return True
        return not self.load.refuses(incoming.key, kind, kind == REQUEST_CALL and incoming.source.flow == 0)

    cdef void refuse(self, Incoming* incoming, int counter) noexcept nogil:
        cdef TrunkEntry* trunk = &self.router.routing.trunks[incoming.peer.index]
        self.count(counter)
        if incoming.peer.kind == PEER_TRUNK:
            trunk.refused += 1
        self.answer(incoming, 503, b"Service Unavailable")

    cdef bint find_admitting(self, Incoming* incoming, uint32_t call, NextHop* next_hop) noexcept nogil:
        cdef Call* counted = &self.router.calls.calls[call] if call else NULL
        cdef uint64_t tried = 0
        cdef uint8_t position
        cdef bint priority
        if not self.next_hops.is_active(incoming.now_us):
            return True
        priority = incoming.message.to_tag.size != 0 or (
            incoming.peer.kind == PEER_TRUNK
            and has_priority(incoming.message, &self.router.routing.trunks[incoming.peer.index])
        )
        while not self.next_hops.admits(&next_hop.destination, priority, incoming.now_us):
            position = next_hop.position
            tried |= <uint64_t>1 << next_hop.target
            if next_hop.name:
                if self.router.next_place(tried, next_hop) != HOP_FOUND:
                    return False
                continue
            if next_hop.route == NO_ROUTE:
                return False
            if self.router.next_target(counted, tried, incoming.now_us, next_hop) != HOP_FOUND:
                return False
            if next_hop.position != position:
                tried = 0
        return True
