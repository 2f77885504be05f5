"""Call attempts: a new INVITE is screened exactly once, and rejected, dropped or forwarded as its verdict says."""

from engine._decision cimport ACTION_ACCEPT, ACTION_DIVERT, ACTION_DROP, ACTION_REJECT, ACTION_TAG, Verdict
from libc.string cimport memcpy
from proxy.counters cimport (
    ACCEPTED,
    CALLS_EVICTED,
    DIVERTED,
    DROPPED,
    INTERNAL_ERRORS,
    INVITES,
    REFUSED_CAPPED,
    REFUSED_DRAINING,
    REFUSED_OVERLOAD,
    REJECTED,
    SCREENED,
    TAGGED,
    UNSCREENED,
)
from proxy.next_hop cimport HOP_CAPPED, HOP_FOUND, HopOutcome, NextHop
from proxy.outbox cimport Writer, writer_over
from proxy.redirect cimport (
    REDIRECT_BLOCK,
    REDIRECT_GO_ON,
    Redirect,
    redirect_of,
    redirect_status,
    write_contacts,
)
from proxy.rejection cimport rejection_reason, rejection_status, write_rejection_headers
from proxy.sip.grammar cimport Slice
from proxy.sip.transaction cimport NO_GATEWAY
from proxy.sip.trunk_group cimport originating_group


cdef class CallAttempts(WaitingRequests):
    """New INVITEs of trunks."""

    cdef void on_invite(self, Incoming* incoming) noexcept nogil:
        cdef const TrunkEntry* trunk = self.trunk_of(incoming)
        cdef uint32_t index, evicted
        cdef Call* call
        self.count(INVITES)
        if self.draining:
            self.count(REFUSED_DRAINING)
            memcpy(self.extra, b"Retry-After: 30\r\n", 17)
            self.answer_with(incoming, 503, b"Service Unavailable", 17)
            return
        # Refused before the engine has counted it.
        if not self.admits_new(incoming):
            return
        index = self.router.calls.open()
        if index == 0:
            evicted = self.router.calls.longest()
            if evicted:
                self.count(CALLS_EVICTED)
                self.end_call(evicted, 200, 0, incoming.now_us)
                index = self.router.calls.open()
        if index == 0:
            self.refuse(incoming, REFUSED_OVERLOAD)
            return
        call = &self.router.calls.calls[index]
        self.screening.screen(incoming.message, trunk, incoming.source, incoming.now_us, &call.event)
        incoming.judged = True
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
        if self.router.is_redirected(incoming.peer.index):
            self.redirect(incoming, trunk, call)
            self.router.calls.close(index)
        elif call.event.verdict.action == ACTION_REJECT:
            self.count(REJECTED)
            self.reject(incoming, trunk, call)
            self.router.calls.close(index)
        elif call.event.verdict.action == ACTION_DROP:
            self.count(DROPPED)
            self.stay_silent(incoming)
            self.screening.tell(&call.event)
            self.router.calls.close(index)
        else:
            incoming.tagged = call.event.verdict.action == ACTION_TAG
            self.count(
                TAGGED if incoming.tagged else DIVERTED if call.event.verdict.action == ACTION_DIVERT else ACCEPTED
            )
            self.accept(incoming, trunk, index)

    # The way is looked for before the decision is told, which says where the call goes, or that a cap keeps it out.
    cdef void accept(self, Incoming* incoming, const TrunkEntry* trunk, uint32_t call) noexcept nogil:
        cdef Call* c = &self.router.calls.calls[call]
        cdef HopOutcome outcome = HOP_CAPPED
        cdef NextHop next_hop
        if self.router.calls.limits.admit(trunk.limit, incoming.now_us):
            c.trunk_limit = trunk.limit
            outcome = self.router.find_next_hop(incoming, c, &next_hop)
        if outcome == HOP_CAPPED:
            c.event.status = 503
            self.screening.tell(&c.event)
            self.refuse(incoming, REFUSED_CAPPED)
            self.router.calls.close(call)
            return
        if outcome == HOP_FOUND:
            c.event.gateway = next_hop.gateway
        self.screening.tell(&c.event)
        self.forward_to(incoming, call, outcome, &next_hop)

    # A trusted peer may bring the calls of another trunk and say so in Contact (RFC 4904): they are that trunk's in
    # every respect from here on.
    cdef const TrunkEntry* trunk_of(self, Incoming* incoming) noexcept nogil:
        cdef Slice group, context
        cdef int named = -1
        if self.router.routing.trunks[incoming.peer.index].trusted and originating_group(
            incoming.message, &group, &context
        ):
            named = self.router.routing.trunk_of_group(incoming.message, group, context)
        if named >= 0 and self.router.is_redirected(<uint16_t>named) == self.router.is_redirected(incoming.peer.index):
            incoming.peer.index = <uint16_t>named
        return &self.router.routing.trunks[incoming.peer.index]

    # The verdict as the answer of a redirect server.
    cdef void redirect(self, Incoming* incoming, const TrunkEntry* trunk, Call* call) noexcept nogil:
        cdef const Verdict* verdict = &call.event.verdict
        cdef Writer lines = writer_over(self.extra, sizeof(self.extra))
        cdef Redirect redirect = redirect_of(&trunk.redirection, incoming.message, verdict)
        cdef uint16_t status = redirect_status(&trunk.redirection, redirect)
        write_contacts(&lines, &trunk.redirection, incoming.message, verdict, redirect)
        if redirect == REDIRECT_BLOCK:
            write_rejection_headers(&lines, self.router.routing, trunk, verdict, status)
        self.count(ACCEPTED if redirect == REDIRECT_GO_ON else REJECTED if redirect == REDIRECT_BLOCK else TAGGED)
        call.event.status = status
        self.screening.tell(&call.event)
        self.answer_with(
            incoming, status, rejection_reason(trunk, verdict, status), <uint32_t>(lines.at - lines.start)
        )

    cdef void reject(self, Incoming* incoming, const TrunkEntry* trunk, Call* call) noexcept nogil:
        cdef Writer lines = writer_over(self.extra, sizeof(self.extra))
        cdef const char* reason
        cdef uint16_t status = rejection_status(trunk, &call.event.verdict)
        reason = rejection_reason(trunk, &call.event.verdict, status)
        write_rejection_headers(&lines, self.router.routing, trunk, &call.event.verdict, status)
        call.event.status = status
        self.screening.tell(&call.event)
        self.answer_with(incoming, status, reason, <uint32_t>(lines.at - lines.start))


# A verdict that says nothing we know is our own fault; the setting `on_internal_error` says what becomes of the call.
cdef inline bint is_sound(const Verdict* verdict) noexcept nogil:
    return verdict.action <= ACTION_DROP and (verdict.action != ACTION_REJECT or 300 <= verdict.status <= 699)
