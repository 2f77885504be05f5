"""Request processing (RFC 3261 sections 16.3, 16.10, 17.2): what each request is, and what becomes of it.

Repeats, ACK and CANCEL are answered from the server transaction of what they belong to. A new request is validated,
and is part of a dialog, a call attempt, or forwarded as it is.
"""

from engine._outcomes cimport OUTCOME_REFUSED
from libc.stdint cimport int16_t
from libc.string cimport memcpy, strlen
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
from proxy.methods cimport is_denied
from proxy.outbox cimport Writer, put, writer_over
from proxy.routing_table cimport PEER_TRUNK, PEER_UNKNOWN
from proxy.sip.grammar cimport sip_equal_nocase
from proxy.sip.message cimport (
    HEADER_PROXY_REQUIRE,
    HEADER_REASON,
    METHOD_ACK,
    METHOD_BYE,
    METHOD_CANCEL,
    METHOD_INVITE,
    METHOD_OPTIONS,
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

# RFC 3261 section 11.2.
cdef const char* CAPABILITIES = (
    b"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, REFER, SUBSCRIBE, NOTIFY, MESSAGE\r\n"
    b"Accept: application/sdp\r\nAccept-Encoding: identity\r\nAccept-Language: en\r\n"
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
            self.hand_over(
                message, <uint8_t>incoming.route.worker, incoming.listener, incoming.source, trunk_number(incoming)
            )
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
        cdef uint32_t unsupported
        if status == 420:
            unsupported = write_unsupported(message, self.extra, sizeof(self.extra))
            self.answer_with(incoming, 420, b"Bad Extension", unsupported)
            return
        if status == 0 and incoming.route.malformed:
            status = 400
        if status == 0:
            status = self.return_of(incoming)
        if status == 200:
            self.answer_options(incoming)
            return
        if status:
            self.count(BAD_MESSAGES)
            self.answer(incoming, status, standard_reason(status))
            return
        if incoming.peer.kind == PEER_TRUNK and self.router.is_redirected(incoming.peer.index):
            self.on_question(incoming)
        elif message.to_tag.size and self.needs_dialog(incoming) and not self.is_known_dialog(incoming):
            self.on_request_of_no_dialog(incoming)
        elif message.to_tag.size:
            self.count(IN_DIALOG)
            if message.method == METHOD_BYE:
                self.on_bye(incoming)
            self.forward_stateful(incoming, 0)
        elif self.is_ping(message):
            self.answer_options(incoming)
        elif incoming.peer.kind != PEER_TRUNK or self.is_closed(incoming) or self.steers(incoming):
            self.count(METHOD_REFUSED)
            self.answer(incoming, 403, b"Forbidden")
        elif message.method == METHOD_INVITE:
            self.on_invite(incoming)
        elif self.admits_new(incoming):
            self.forward_stateful(incoming, 0)

    # OPTIONS for this proxy itself.
    cdef bint is_ping(self, const Message* message) noexcept nogil:
        cdef int listener
        return message.method == METHOD_OPTIONS and message.request_uri.user.size == 0 and self.router.is_own_host(
            message, &message.request_uri, &listener
        )

    cdef void answer_options(self, Incoming* incoming) noexcept nogil:
        cdef uint32_t size = <uint32_t>strlen(CAPABILITIES)
        memcpy(self.extra, CAPABILITIES, size)
        self.answer_with(incoming, 200, b"OK", size)

    # Denied to this peer outside a dialog.
    cdef bint is_closed(self, Incoming* incoming) noexcept nogil:
        return incoming.peer.kind == PEER_TRUNK and is_denied(
            &self.router.routing.trunks[incoming.peer.index].denied, incoming.message
        )

    cdef bint needs_dialog(self, Incoming* incoming) noexcept nogil:
        return incoming.message.method == METHOD_INVITE or self.is_closed(incoming)

    # In redirect mode an INVITE asks for a verdict, OPTIONS whether we are there, and there is nothing else to say.
    cdef void on_question(self, Incoming* incoming) noexcept nogil:
        cdef const Message* message = incoming.message
        if message.to_tag.size:
            self.answer(incoming, 481, standard_reason(481))
        elif message.method == METHOD_INVITE:
            self.on_invite(incoming)
        elif message.method == METHOD_OPTIONS:
            self.answer_options(incoming)
        else:
            self.count(METHOD_REFUSED)
            self.answer(incoming, 403, b"Forbidden")

    # A Route of its own in a new request chooses the next hop past the trunk's gateway: only a trusted peer may.
    cdef bint steers(self, Incoming* incoming) noexcept nogil:
        return incoming.route.rest.header >= 0 and not self.router.routing.trunks[incoming.peer.index].trusted

    cdef bint is_known_dialog(self, Incoming* incoming) noexcept nogil:
        return incoming.route.has_cookie or self.router.calls.find(incoming.message) != 0

    # To-tags are free to invent: without proof of a dialog an INVITE would be a call that nobody has screened, and any
    # other that needs one a way around the denied methods. A trusted trunk, which may choose next hops, has an INVITE
    # screened as the new call that it is here; all else is refused.
    cdef void on_request_of_no_dialog(self, Incoming* incoming) noexcept nogil:
        if incoming.message.method == METHOD_INVITE and incoming.peer.kind == PEER_TRUNK and (
            self.router.routing.trunks[incoming.peer.index].trusted
        ):
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
            call.event.unwanted = True
        # The call record goes only after the BYE has found its way by it.
        call.event.released_by = 1 if tag == call.caller_tag else 2


cdef inline int16_t trunk_number(const Incoming* incoming) noexcept nogil:
    return <int16_t>incoming.peer.index if incoming.peer.kind == PEER_TRUNK else -1


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
