"""Call attempts: a new INVITE is screened exactly once, and rejected, dropped or forwarded as its verdict says."""

from engine._decision cimport ACTION_ACCEPT, ACTION_DROP, ACTION_REJECT, ACTION_TAG, Verdict
from libc.string cimport memcpy
from proxy.counters cimport (
    ACCEPTED,
    CALLS_EVICTED,
    DROPPED,
    INTERNAL_ERRORS,
    INVITES,
    REFUSED_DRAINING,
    REFUSED_OVERLOAD,
    REJECTED,
    SCREENED,
    TAGGED,
    UNSCREENED,
)
from proxy.outbox cimport Writer, writer_over
from proxy.rejection cimport rejection_reason, rejection_status, write_rejection_headers
from proxy.sip.timers cimport LENGTH_LINGER_64T1
from proxy.sip.transaction cimport INVITE_SERVER, NO_GATEWAY, SERVER_SILENT, STATE_ACCEPTED


cdef class CallAttempts(RequestForwarding):
    """New INVITEs of trunks."""

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


# A verdict that says nothing we know is our own fault; the setting `on_internal_error` says what becomes of the call.
cdef inline bint is_sound(const Verdict* verdict) noexcept nogil:
    return verdict.action <= ACTION_DROP and (verdict.action != ACTION_REJECT or 300 <= verdict.status <= 699)
