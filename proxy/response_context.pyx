"""The response context (RFC 3261 section 16.7): what the branches of a request have brought, and their CANCELs.

A server transaction is the context. Its branches are its client transactions; the best final response is kept in it
until no branch can bring another.
"""

from proxy.best_response cimport is_better, is_challenge, write_with_challenges
from proxy.counters cimport INTERNAL_ERRORS
from proxy.early_dialogs cimport early_dialog, wants_199, write_199
from proxy.forwarding cimport write_cancel
from proxy.memory cimport keep, release
from proxy.outbox cimport OutMessage, Writer, literal, put, put_decimal, writer_over
from proxy.router cimport NextHop
from proxy.sip.message cimport HEADER_REASON, METHOD_CANCEL, parse_message
from proxy.sip.timers cimport LENGTH_64T1, LENGTH_LINGER_64T1
from proxy.sip.transaction cimport (
    CLIENT_CANCEL,
    CLIENT_CANCEL_SENT,
    CLIENT_CANCEL_WANTED,
    INPUT_FINAL,
    INVITE_CLIENT,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    NO_GATEWAY,
    SERVER_CANCELLED,
    STATE_COMPLETED,
    STATE_PROCEEDING,
    STATE_TRYING,
    ClientTransaction,
    ServerTransaction,
)

cdef enum:
    REASON_ROOM = 64         # of a Reason line of our own


cdef class ResponseContext(TransactionLayer):
    """Keeps the best final response of a request, sends it, and cancels branches."""

    cdef void note_final(
        self, uint32_t server, uint32_t client, uint16_t status, const Message* message
    ) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef Writer writer
        if not is_better(status, s.best_status):
            if message != NULL and is_challenge(status) and is_challenge(s.best_status):
                self.add_challenges(server, message)
            return
        s.best_status = status
        release(&self.transactions.memory, &s.best)
        if message == NULL:
            return
        self.out.begin(&writer)
        self.write_passed(&writer, server, client, message)
        if not writer.full:
            keep(&self.transactions.memory, writer.start, <uint32_t>(writer.at - writer.start), &s.best)

    cdef void tell_early_end(self, uint32_t server, uint32_t client, const Message* message) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef ClientTransaction* c = &self.transactions.clients[client]
        cdef Writer writer
        cdef OutMessage* sent
        cdef const char* reason
        if c.early == 0 or c.early != early_dialog(message):
            return
        c.early = 0
        if parse_message(c.message.data, c.message.size, &self.kept, &reason) != 0 or not wants_199(&self.kept):
            return
        self.out.begin(&writer)
        write_199(&writer, message)
        sent = self.out.commit(&writer, s.listener, &s.peer)
        if sent != NULL:
            self.transactions.keep_response(server, sent.data, sent.size)

    # RFC 3261 section 16.7 step 7. If there is no room for them, the best stays as it is.
    cdef void add_challenges(self, uint32_t server, const Message* message) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef Writer writer
        cdef const char* reason
        if s.best.data == NULL or parse_message(s.best.data, s.best.size, &self.kept, &reason) != 0:
            return
        self.out.begin(&writer)
        write_with_challenges(&writer, &self.kept, message)
        if writer.full:
            return
        release(&self.transactions.memory, &s.best)
        keep(&self.transactions.memory, writer.start, <uint32_t>(writer.at - writer.start), &s.best)

    # A 503 is not passed on: upstream must not take this proxy for the one that is out (section 16.7 step 6). A
    # non-INVITE that nobody answered stays unanswered (RFC 4320 section 4.2).
    cdef uint16_t send_best(self, uint32_t server, uint32_t client, int64_t now_us) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef uint16_t status = s.best_status
        cdef bint is_own = s.best.data == NULL or status == 503
        if s.machine == NON_INVITE_SERVER and status == 408:
            self.absorb(server, now_us)
            return 0
        if not is_own:
            self.send_kept(server, now_us)
            return status
        if s.flags & SERVER_CANCELLED:
            status = 487
        elif status != 408:
            status = 603 if status >= 600 else 500
        self.answer_for(server, client, status, now_us)
        return status

    cdef void send_kept(self, uint32_t server, int64_t now_us) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        self.out.copy(s.best.data, s.best.size, s.listener, &s.peer)
        s.status = s.best_status
        release(&self.transactions.memory, &s.response)
        s.response = s.best
        s.best.data = NULL
        self.apply_server(server, INPUT_FINAL, now_us)

    # An answer of our own; a transaction that cannot be answered does not stay open.
    cdef void answer_for(self, uint32_t server, uint32_t client, uint16_t status, int64_t now_us) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        self.answer_from_kept(server, &self.transactions.clients[client], status, now_us)
        if s.state == STATE_PROCEEDING or s.state == STATE_TRYING:
            self.on_local_final(server, status, now_us)
            self.transactions.end_server(server)

    # No answer, and none to repeats either.
    cdef void absorb(self, uint32_t server, int64_t now_us) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        self.transactions.disarm_server(server, 0)
        release(&self.transactions.memory, &s.response)
        release(&self.transactions.memory, &s.best)
        s.state = STATE_COMPLETED
        self.transactions.arm_server(server, 1, LENGTH_LINGER_64T1, now_us)

    cdef void cancel_request(self, uint32_t server, const Message* cancel, int64_t now_us) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        if s.state != STATE_PROCEEDING or s.flags & SERVER_CANCELLED:
            return
        s.flags |= SERVER_CANCELLED
        self.keep_reason(server, cancel)
        self.cancel_branches(server, now_us)

    cdef void keep_reason(self, uint32_t server, const Message* cancel) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef Writer lines = writer_over(self.extra, sizeof(self.extra))
        cdef int i
        for i in range(cancel.header_count):
            if cancel.headers[i].name == HEADER_REASON:
                put(
                    &lines, cancel.data + cancel.headers[i].start, cancel.headers[i].end - cancel.headers[i].start
                )
        if not lines.full and lines.at > lines.start:
            keep(&self.transactions.memory, lines.start, <uint32_t>(lines.at - lines.start), &s.reason)

    # Every branch without a final response; those that are silent so far at their first provisional one.
    cdef void cancel_branches(self, uint32_t server, int64_t now_us) noexcept nogil:
        cdef uint32_t client = self.transactions.servers[server].client
        while client:
            self.cancel_client(client, now_us)
            client = self.transactions.clients[client].sibling

    # RFC 3261 section 9.1: only once a provisional response has come; until then it is remembered.
    cdef void cancel_client(self, uint32_t client, int64_t now_us) noexcept nogil:
        cdef ClientTransaction* c = &self.transactions.clients[client]
        cdef ClientTransaction* cancelling
        cdef uint32_t cancel
        cdef NextHop next_hop
        cdef Writer writer
        cdef OutMessage* sent
        cdef Text lines
        cdef const char* reason
        cdef uint8_t room[REASON_ROOM]
        if c.machine != INVITE_CLIENT or c.flags & CLIENT_CANCEL_SENT:
            return
        if c.state == STATE_TRYING:
            c.flags |= CLIENT_CANCEL_WANTED
            return
        if c.state != STATE_PROCEEDING:
            return
        if parse_message(c.message.data, c.message.size, &self.kept, &reason) != 0:
            self.count(INTERNAL_ERRORS)
            return
        c.flags |= CLIENT_CANCEL_SENT
        self.transactions.arm_client(client, 1, LENGTH_64T1, now_us)
        lines = self.cancel_reason(self.server_of(c), room, REASON_ROOM)
        cancel = self.transactions.open_client(NON_INVITE_CLIENT)
        self.out.begin(&writer)
        write_cancel(&writer, &self.kept, lines.data, lines.size)
        sent = self.out.commit(&writer, c.listener, &c.destination)
        if cancel == 0:
            return
        next_hop.destination = c.destination
        next_hop.listener = c.listener
        next_hop.gateway = NO_GATEWAY
        next_hop.target = 0
        next_hop.secure = False
        cancelling = &self.transactions.clients[cancel]
        cancelling.flags = CLIENT_CANCEL
        if self.start_client(0, &next_hop, sent, cancel, METHOD_CANCEL, now_us):
            cancelling.server = client
            c.cancel = cancel

    # Why a branch is cancelled (RFC 3326): what the caller said, that another has answered, that another has declined.
    cdef Text cancel_reason(self, uint32_t server, uint8_t* room, uint32_t size) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef Writer line = writer_over(room, size)
        cdef Text lines
        if server and s.flags & SERVER_CANCELLED:
            lines.data, lines.size = s.reason.data, s.reason.size
            return lines
        if server and 200 <= s.status < 300:
            literal(&line, b"Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n")
        elif server and s.best_status >= 600:
            literal(&line, b"Reason: SIP;cause=")
            put_decimal(&line, s.best_status)
            literal(&line, b"\r\n")
        lines.data, lines.size = line.start, <uint32_t>(line.at - line.start)
        return lines
