"""Answers of our own, with as little state as is right.

An INVITE's final answer gets a transaction, which repeats it until its ACK comes, only if that is safe and there is
room: toward an address that never acknowledged anything the repeats would be an amplifier, and under a flood they are
what exhausts us. Then it goes out once, as by a stateless UAS (RFC 3261 section 8.2.7): no transaction, no repeats of
its own. The request's repeats get the same bytes for 64*T1, whatever a reload changed meanwhile; its ACK is known by
the To-tag, its CANCEL by its key, and both end here.
"""

from libc.string cimport memcpy, memset, strlen

from proxy.calls cimport Call
from proxy.counters cimport ANSWERS_SILENCED, ANSWERS_STATELESS, RESENT, RETRANSMISSIONS
from proxy.forwarding cimport Answer, answer_address, write_answer
from proxy.outbox cimport Writer
from proxy.overload_parameters cimport ALGORITHM_NONE, OverloadParameters, read_overload
from proxy.routing_table cimport PEER_TRUNK, PEER_UNKNOWN
from proxy.sip.address cimport Address, same_host
from proxy.sip.message cimport METHOD_INVITE, Message
from proxy.sip.timers cimport LENGTH_LINGER_64T1
from proxy.sip.transaction cimport (
    INPUT_FINAL,
    INVITE_SERVER,
    SERVER_SILENT,
    STATE_ACCEPTED,
    ServerTransaction,
)
from proxy.sip.transport cimport is_reliable
from proxy.sticky_answers cimport STICKY_EXTRA

cdef enum:
    RENEW_US = 60_000_000    # a proof that holds at least so long needs no other

# Of the room for new calls: above it no answer of ours takes any.
cdef double PRESSED = 0.75


cdef class LocalAnswers(ResponseProcessing):
    """capacity: proxy.config.Capacity; a quarter as many answers are remembered as there may be transactions."""

    def __init__(self, router, *, bytes secret, capacity, **rest):
        super().__init__(router, secret=secret, capacity=capacity, **rest)
        self.guard = FloodGuard(secret[16:32])
        self.sticky = StickyAnswers(capacity.transactions // 4)

    cdef uint8_t algorithm_for(self, Incoming* incoming) noexcept nogil:
        cdef OverloadParameters offered
        if not incoming.message.via.has_overload or incoming.peer.kind == PEER_UNKNOWN:
            return ALGORITHM_NONE
        if incoming.peer.kind == PEER_TRUNK:
            if not self.router.routing.trunks[incoming.peer.index].overload_control:
                return ALGORITHM_NONE
        elif not self.router.routing.gateways[incoming.peer.index].overload_control:
            return ALGORITHM_NONE
        if not read_overload(incoming.message.data, &incoming.message.via, &offered):
            return ALGORITHM_NONE
        return self.load.choose(self.guard.source_of(incoming.peer, incoming.source), &offered, incoming.now_us)

    cdef void answer(self, Incoming* incoming, uint16_t status, const char* reason) noexcept nogil:
        self.answer_with(incoming, status, reason, 0)

    cdef void answer_with(
        self, Incoming* incoming, uint16_t status, const char* reason, uint32_t extra_size
    ) noexcept nogil:
        cdef Source* source = self.guard.source_of(incoming.peer, incoming.source)
        cdef Draft draft
        cdef OutMessage* sent
        draft.status, draft.reason = status, reason
        draft.extra, draft.extra_size = self.extra, extra_size
        draft.cut = CUT_NOTHING
        sent = self.send_answer(incoming, source, &draft)
        # Answers to other requests are the same for every repeat; a 503 is over when there is room again.
        if sent == NULL or incoming.key == 0 or incoming.message.method != METHOD_INVITE:
            return
        if status == 503 and not incoming.judged:
            return
        if self.keeps_no_state(incoming, source, &draft):
            self.remember(incoming, source, &draft)
        else:
            self.open_answered(incoming, sent)

    cdef bint answer_again(self, Incoming* incoming) noexcept nogil:
        cdef const StickyAnswer* known = self.sticky.find(incoming.key, incoming.now_us)
        cdef Draft draft
        if known == NULL or incoming.message.method != METHOD_INVITE:
            return False
        self.count(RETRANSMISSIONS)
        draft.status, draft.reason = known.status, known.reason
        draft.extra, draft.extra_size = known.extra, known.extra_size
        draft.cut = known.cut
        if known.status and self.send_answer(
            incoming, self.guard.source_of(incoming.peer, incoming.source), &draft
        ) != NULL:
            self.count(RESENT)
        return True

    cdef void stay_silent(self, Incoming* incoming) noexcept nogil:
        cdef uint32_t server
        if self.is_pressed():
            memset(self.sticky.open(incoming.key, incoming.now_us), 0, sizeof(StickyAnswer))
            return
        server = self.transactions.open_server(incoming.key, INVITE_SERVER)
        if server == 0:
            return
        self.transactions.servers[server].flags = SERVER_SILENT
        self.transactions.servers[server].state = STATE_ACCEPTED
        self.transactions.arm_server(server, 1, LENGTH_LINGER_64T1, incoming.now_us)

    cdef void note_ack(self, Incoming* incoming, uint32_t server) noexcept nogil:
        cdef const StickyAnswer* known
        cdef bint same = False
        if server:
            same = same_host(&self.transactions.servers[server].peer, incoming.source)
        else:
            known = self.sticky.find(incoming.key, incoming.now_us)
            same = known != NULL and known.source == self.guard.peers.key_of(incoming.source)
        if same:
            self.guard.prove(incoming.peer, incoming.source, incoming.now_us)

    cdef void note_dialog(self, Incoming* incoming) noexcept nogil:
        cdef const Source* source = self.guard.source_of(incoming.peer, incoming.source)
        cdef const Call* call
        cdef uint32_t index
        if source.proven_until_us > incoming.now_us + RENEW_US:
            return
        if incoming.peer.kind == PEER_UNKNOWN:
            self.guard.prove(incoming.peer, incoming.source, incoming.now_us)
            return
        index = self.router.calls.find(incoming.message)
        call = &self.router.calls.calls[index]
        if index and (same_host(&call.caller, incoming.source) or same_host(&call.callee, incoming.source)):
            self.guard.prove(incoming.peer, incoming.source, incoming.now_us)

    # NULL: nothing was sent, because the address had enough of us or the answer would be larger than what asked for it.
    cdef OutMessage* send_answer(self, Incoming* incoming, Source* source, Draft* draft) noexcept nogil:
        cdef bint proven = self.is_proven(incoming, source)
        cdef OutMessage* sent
        if incoming.message.via_header < 0:
            return NULL
        if self.is_rejection(incoming, draft) and not self.guard.admits_answer(
            self.router.routing, incoming.peer, source, proven, incoming.now_us
        ):
            self.count(ANSWERS_SILENCED)
            return NULL
        while True:
            sent = self.write_draft(incoming, draft)
            if sent == NULL or proven or not is_amplified(incoming.message, sent):
                return sent
            self.out.take_back()
            if draft.cut == CUT_EXTRA:
                self.count(ANSWERS_SILENCED)
                return NULL
            draft.cut += 1

    cdef OutMessage* write_draft(self, Incoming* incoming, const Draft* draft) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef uint8_t transport = self.router.listeners[incoming.listener].transport
        cdef Address to = incoming.source[0]
        cdef Answer answer
        cdef Writer writer
        memset(&answer, 0, sizeof(Answer))
        answer.status = draft.status
        answer.reason = <const uint8_t*>draft.reason
        answer.reason_size = <uint32_t>strlen(draft.reason)
        answer.to_tag = self.local_tag(incoming.key, message)
        answer.source = incoming.source
        answer.overload = self.load.reply(self.algorithm_for(incoming))
        if draft.cut < CUT_EXTRA:
            answer.extra = draft.extra
            answer.extra_size = draft.extra_size
        if draft.cut < CUT_SERVER and self.server_header.size:
            answer.server = self.server_header.data
            answer.server_size = self.server_header.size
        if message.via.whole.size:
            to = answer_address(message, incoming.source, transport)
        self.out.begin(&writer)
        write_answer(&writer, message, &answer)
        return self.out.commit(&writer, incoming.listener, &to)

    # What counts against an address. Who is told of overload and hears nothing would only ask again.
    cdef bint is_rejection(self, Incoming* incoming, const Draft* draft) noexcept nogil:
        return draft.status >= 300 and draft.status != 503 and not self.lives_on_answers(incoming)

    # In redirect mode a final answer is what every call is about: none is withheld, and nothing is left out.
    cdef bint lives_on_answers(self, Incoming* incoming) noexcept nogil:
        return incoming.peer.kind == PEER_TRUNK and self.router.is_redirected(incoming.peer.index)

    # A connection proves itself: its handshake went both ways. A stranger's cookie proves a dialog, not its address.
    cdef bint is_proven(self, Incoming* incoming, const Source* source) noexcept nogil:
        if is_reliable(self.router.listeners[incoming.listener].transport) or self.lives_on_answers(incoming):
            return True
        return incoming.peer.kind != PEER_UNKNOWN and source.proven_until_us > incoming.now_us

    cdef bint is_pressed(self) noexcept nogil:
        return self.transactions.used_part() > PRESSED

    cdef bint keeps_no_state(self, Incoming* incoming, Source* source, const Draft* draft) noexcept nogil:
        if draft.extra_size > STICKY_EXTRA and draft.cut < CUT_EXTRA:
            return False
        if not self.is_proven(incoming, source) or self.is_pressed():
            return True
        return self.guard.answers_often(
            self.router.routing, incoming.peer, source, incoming.now_us
        ) and self.sticky.has_room(incoming.key, incoming.now_us)

    cdef void remember(self, Incoming* incoming, const Source* source, const Draft* draft) noexcept nogil:
        cdef StickyAnswer* known = self.sticky.open(incoming.key, incoming.now_us)
        self.count(ANSWERS_STATELESS)
        known.source = self.guard.peers.key_of(incoming.source)
        known.status, known.reason = draft.status, draft.reason
        known.cut = draft.cut
        known.extra_size = 0
        if draft.cut < CUT_EXTRA:
            known.extra_size = <uint16_t>draft.extra_size
            memcpy(known.extra, draft.extra, draft.extra_size)

    cdef void open_answered(self, Incoming* incoming, OutMessage* sent) noexcept nogil:
        cdef uint32_t server = self.transactions.open_server(incoming.key, INVITE_SERVER)
        cdef ServerTransaction* s
        if server == 0:
            return
        s = &self.transactions.servers[server]
        s.peer = sent.destination
        s.listener = incoming.listener
        s.reliable = is_reliable(self.router.listeners[incoming.listener].transport)
        self.transactions.keep_response(server, sent.data, sent.size)
        self.apply_server(server, INPUT_FINAL, incoming.now_us)


# More than one and a half bytes for each byte received.
cdef inline bint is_amplified(const Message* request, const OutMessage* sent) noexcept nogil:
    return sent.size * 2 > request.size * 3
