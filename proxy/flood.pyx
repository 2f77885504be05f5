"""FloodGuard: what one address may cost us.

A message is counted against the address it came from before anything of it is read. Trunks have limits of their own,
wide enough for a busy carrier behind one address; who belongs to none gets a little parsing, since it may be the far
end of a dialog. Our own answers are counted too: nobody can have us send much to an address that never showed that it
receives them, and past its limit an address hears nothing more.
"""

from libc.string cimport memcmp

from proxy.rate_limit cimport conforms, rate_limit
from proxy.routing_table cimport PEER_TRUNK, PEER_UNKNOWN

cdef enum:
    PEERS = 16384
    STRANGERS = 16384
    PROVEN_US = 3_600_000_000

cdef double BURST_S = 1.0


cdef class FloodGuard:
    """secret: 16 bytes that nobody outside knows."""

    def __cinit__(self, bytes secret):
        self.peers = Sources(PEERS, secret)
        self.strangers = Sources(STRANGERS, secret)

    def configure(self, flood):
        """flood: proxy.config.Flood."""
        self.limits.stranger = rate_limit(flood.stranger_messages_per_s, BURST_S)
        self.limits.strangers = rate_limit(flood.all_strangers_messages_per_s, BURST_S)
        self.limits.known = rate_limit(flood.dialog_messages_per_s, BURST_S)
        self.limits.invites = rate_limit(flood.invites_per_s, BURST_S)
        self.limits.unproven = rate_limit(flood.unproven_answers_per_s, BURST_S)

    cdef Source* source_of(self, Peer peer, const Address* address) noexcept nogil:
        return self.strangers.of(address) if peer.kind == PEER_UNKNOWN else self.peers.of(address)

    cdef bint admits(
        self, RoutingTable routing, Peer peer, const Address* address, const uint8_t* data, uint32_t size,
        int64_t now_us
    ) noexcept nogil:
        cdef Source* source
        if peer.kind == PEER_UNKNOWN:
            source = self.strangers.of(address)
            if source.proven_until_us > now_us:
                return conforms(&self.limits.known, &source.datagrams_ns, now_us)
            return conforms(&self.limits.stranger, &source.datagrams_ns, now_us) and conforms(
                &self.limits.strangers, &self.strangers_ns, now_us
            )
        if peer.kind != PEER_TRUNK or is_response(data, size):
            return True
        source = self.peers.of(address)
        return conforms(&routing.trunks[peer.index].requests, &source.datagrams_ns, now_us)

    cdef bint admits_invite(self, Source* source, int64_t now_us) noexcept nogil:
        return conforms(&self.limits.invites, &source.invites_ns, now_us)

    cdef bint admits_answer(
        self, RoutingTable routing, Peer peer, Source* source, bint proven, int64_t now_us
    ) noexcept nogil:
        return conforms(self.answer_limit(routing, peer, proven), &source.answers_ns, now_us)

    cdef bint answers_often(self, RoutingTable routing, Peer peer, const Source* source, int64_t now_us) noexcept nogil:
        cdef const RateLimit* limit = self.answer_limit(routing, peer, True)
        return limit.interval_ns != 0 and source.answers_ns - now_us * 1000 > limit.tolerance_ns // 2

    cdef const RateLimit* answer_limit(self, RoutingTable routing, Peer peer, bint proven) noexcept nogil:
        return &routing.trunks[peer.index].answers if proven and peer.kind == PEER_TRUNK else &self.limits.unproven

    cdef void prove(self, Peer peer, const Address* address, int64_t now_us) noexcept nogil:
        self.source_of(peer, address).proven_until_us = now_us + PROVEN_US


cdef inline bint is_response(const uint8_t* data, uint32_t size) noexcept nogil:
    return size > 4 and memcmp(data, b"SIP/", 4) == 0
