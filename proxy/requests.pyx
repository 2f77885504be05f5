"""Request processing (RFC 3261 sections 16.3, 16.10, 17.2): what each request is, and what becomes of it.

Repeats, ACK and CANCEL are answered from the server transaction of what they belong to. A new request is validated,
and is part of a dialog, a call attempt, or forwarded as it is.
"""

from engine._fastpath cimport OUTCOME_REFUSED
from proxy.counters cimport (
    ACKS,
    BAD_MESSAGES,
    CANCELS,
    IN_DIALOG,
    METHOD_REFUSED,
    RESENT,
    RETRANSMISSIONS,
    UNKNOWN_SOURCE,
)
from proxy.forwarding cimport standard_reason
from proxy.loops cimport breadth_of, has_looped, loop_part
from proxy.outbox cimport Writer, put, writer_over
from proxy.routing_table cimport PEER_TRUNK, PEER_UNKNOWN
from proxy.sip.grammar cimport sip_equal_nocase
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
    METHOD_PUBLISH,
    METHOD_REFER,
    METHOD_REGISTER,
    METHOD_SUBSCRIBE,
)
from proxy.sip.transaction cimport (
    DO_RESEND,
    INPUT_ACK,
    INPUT_REQUEST,
    SERVER_SILENT,
    STATE_ACCEPTED,
    step,
)
from proxy.sip.uri cimport SCHEME_OTHER

# Out-of-dialog methods that a call gateway has no use for; closed by default (403). Unknown methods are relayed
# (RFC 3261 section 16.3: a proxy must not refuse a method because it does not know it).
cdef bint is_closed_method(uint8_t method) noexcept nogil:
    return (
        method == METHOD_REGISTER or method == METHOD_MESSAGE or method == METHOD_SUBSCRIBE
        or method == METHOD_PUBLISH or method == METHOD_REFER or method == METHOD_INFO or method == METHOD_NOTIFY
    )


cdef class RequestProcessing(CallAttempts):
    """Requests of trunks, gateways and the far ends of dialogs."""

    cdef void on_request(self, Incoming* incoming) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef uint32_t server
        self.router.read_routes(incoming.message, incoming.listener, &incoming.route)
        if incoming.peer.kind == PEER_UNKNOWN and not (message.to_tag.size and incoming.route.has_cookie):
            self.count(UNKNOWN_SOURCE)
            if self.router.routing.redirects and message.method == METHOD_INVITE:
                incoming.key = 0         # who asks from an unknown address is told once a datagram, and nothing is kept
                self.answer(incoming, 403, b"Forbidden")
            return
        if incoming.route.has_cookie:
            self.note_dialog(incoming)
        if incoming.route.worker != self.worker and 0 <= incoming.route.worker < self.workers:
            self.hand_over(message, <uint8_t>incoming.route.worker, incoming.listener, incoming.source)
            return
        if message.method == METHOD_ACK:
            self.on_ack(incoming)
        elif message.method == METHOD_CANCEL:
            self.on_cancel(incoming)
        else:
            server = self.transactions.find_server(incoming.key)
            if server:
                self.on_repeat(server)
            elif not self.answer_again(incoming):
                self.on_new_request(incoming)

    cdef void on_repeat(self, uint32_t server) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        self.count(RETRANSMISSIONS)
        if step(s.machine, s.state, INPUT_REQUEST).actions & DO_RESEND and s.response.data != NULL:
            self.out.copy(s.response.data, s.response.size, s.listener, &s.peer)
            self.count(RESENT)

    # An ACK of one of our own or passed-on 300-699 ends here, also of one that has no transaction (RFC 3261 section
    # 8.2.7); that of a 2xx is a request of its own.
    cdef void on_ack(self, Incoming* incoming) noexcept nogil:
        cdef uint32_t server = self.transactions.find_server(incoming.key)
        cdef bint is_own = self.is_own_tag(incoming.message, incoming.key)
        cdef uint8_t state
        self.count(ACKS)
        if is_own:
            self.note_ack(incoming, server)
        if server:
            state = self.transactions.servers[server].state
            self.apply_server(server, INPUT_ACK, incoming.now_us)
            if state != STATE_ACCEPTED:
                return
        if incoming.message.to_tag.size and not is_own and not self.is_own_tag(incoming.message, 0):
            self.forward_stateless(incoming)

    # RFC 3261 section 16.10. The 200 is the same for every repeat, so the CANCEL needs no transaction of its own.
    cdef void on_cancel(self, Incoming* incoming) noexcept nogil:
        cdef uint32_t server = self.transactions.find_server(incoming.key)
        self.count(CANCELS)
        if server == 0:
            if self.sticky.find(incoming.key, incoming.now_us) == NULL:
                self.forward_stateless(incoming)
            return
        if self.transactions.servers[server].flags & SERVER_SILENT:
            return
        self.answer(incoming, 200, b"OK")
        self.cancel_request(server, incoming.message, incoming.now_us)

    cdef void on_new_request(self, Incoming* incoming) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef uint16_t status = self.fault_of(message)
        cdef int listener
        if status == 420:
            self.answer_with(incoming, 420, b"Bad Extension", write_unsupported(message, self.extra, sizeof(self.extra)))
            return
        if status == 0 and incoming.route.malformed:
            status = 400
        if status == 0:
            status = self.return_of(incoming)
        if status:
            if status >= 300:
                self.count(BAD_MESSAGES)
            self.answer(incoming, status, standard_reason(status))
            return
        if incoming.peer.kind == PEER_TRUNK and self.router.is_redirected(incoming.peer.index):
            self.on_question(incoming)
        elif message.to_tag.size and message.method == METHOD_INVITE and not self.is_known_dialog(incoming):
            self.on_invite_of_no_dialog(incoming)
        elif message.to_tag.size:
            self.count(IN_DIALOG)
            if message.method == METHOD_BYE:
                self.on_bye(incoming)
            self.forward_stateful(incoming, 0)
        elif incoming.peer.kind != PEER_TRUNK:
            self.count(METHOD_REFUSED)
            self.answer(incoming, 403, b"Forbidden")
        elif message.method == METHOD_OPTIONS and message.request_uri.user.size == 0 and self.router.is_own_host(
            message, &message.request_uri, &listener
        ):
            self.answer(incoming, 200, b"OK")
        elif is_closed_method(message.method) or self.steers(incoming):
            self.count(METHOD_REFUSED)
            self.answer(incoming, 403, b"Forbidden")
        elif message.method == METHOD_INVITE:
            self.on_invite(incoming)
        elif self.admits_new(incoming):
            self.forward_stateful(incoming, 0)

    # In redirect mode an INVITE asks for a verdict, OPTIONS whether we are there, and there is nothing else to say.
    cdef void on_question(self, Incoming* incoming) noexcept nogil:
        cdef const Message* message = incoming.message
        if message.to_tag.size:
            self.answer(incoming, 481, standard_reason(481))
        elif message.method == METHOD_INVITE:
            self.on_invite(incoming)
        elif message.method == METHOD_OPTIONS:
            self.answer(incoming, 200, b"OK")
        else:
            self.count(METHOD_REFUSED)
            self.answer(incoming, 403, b"Forbidden")

    # A Route of its own in a new request chooses the next hop past the trunk's gateway: only a trusted peer may.
    cdef bint steers(self, Incoming* incoming) noexcept nogil:
        return incoming.route.rest.header >= 0 and not self.router.routing.trunks[incoming.peer.index].trusted

    cdef bint is_known_dialog(self, Incoming* incoming) noexcept nogil:
        return incoming.route.has_cookie or self.router.calls.find(incoming.message) != 0

    # To-tags are free to invent: without proof of a dialog this would be a call that nobody has screened. A trusted
    # trunk, which may choose next hops, has it screened as the new call that it is here; anybody else is refused.
    cdef void on_invite_of_no_dialog(self, Incoming* incoming) noexcept nogil:
        if incoming.peer.kind == PEER_TRUNK and self.router.routing.trunks[incoming.peer.index].trusted:
            self.on_invite(incoming)
        else:
            self.answer(incoming, 481, standard_reason(481))

    # RFC 3261 section 16.3: the status that refuses this request, 0 = none.
    cdef uint16_t fault_of(self, const Message* message) noexcept nogil:
        if message.request_uri.scheme == SCHEME_OTHER:
            return 416
        if message.max_forwards == 0:
            return 200 if message.method == METHOD_OPTIONS else 483
        if message.has_proxy_require:
            return 420
        return 0

    # RFC 5393 sections 4.2 and 5.3.3: a request that has come back as it was, or may be forked no more.
    cdef uint16_t return_of(self, Incoming* incoming) noexcept nogil:
        cdef uint32_t peer = <uint32_t>incoming.peer.kind << 16 | incoming.peer.index
        if breadth_of(incoming.message) == 0:
            return 440
        return 482 if has_looped(incoming.message, loop_part(incoming.message, peer, self.router.secret)) else 0

    cdef void on_bye(self, Incoming* incoming) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef uint32_t index = self.router.calls.find(message)
        cdef Call* call
        cdef uint64_t tag
        if index == 0:
            return
        call = &self.router.calls.calls[index]
        tag = self.router.calls.tag_hash(message.data + message.from_tag.start, message.from_tag.size)
        if refuses_as_unwanted(message):
            self.screening.observe(&call.event, call.policy_trunk, OUTCOME_REFUSED, incoming.now_us)
        # The call record goes only after the BYE has found its way by it.
        call.event.released_by = 1 if tag == call.caller_tag else 2


# RFC 3261 section 20.40: Unsupported lists what Proxy-Require asked for.
cdef uint32_t write_unsupported(const Message* message, uint8_t* out, uint32_t room) noexcept nogil:
    cdef Writer lines = writer_over(out, room)
    cdef int i
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
