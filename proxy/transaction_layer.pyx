"""The transaction layer: the state machines of `proxy.sip.transaction` acted out (RFC 3261 section 17, RFC 6026).

It keeps, repeats, acknowledges and cancels messages and answers requests of its own accord. Which response is passed
on, and where a request goes, is decided above.
"""

from libc.string cimport memcpy, memset, strlen
from proxy.counters cimport INTERNAL_ERRORS, NO_ACK, RESENT
from proxy.forwarding cimport (
    Answer,
    standard_reason,
    write_ack,
    write_answer,
    write_response,
)
from proxy.memory cimport keep, release
from proxy.outbox cimport Writer
from proxy.overload_server cimport OverloadReply
from proxy.sip.grammar cimport parse_hex
from proxy.sip.keyed_hash cimport KeyedHash, keyed_hash_add, keyed_hash_begin, keyed_hash_end, keyed_hash_word
from proxy.sip.message cimport METHOD_INVITE, parse_message
from proxy.sip.timers cimport (
    LENGTH_16T1,
    LENGTH_2T1,
    LENGTH_32T1,
    LENGTH_4T1,
    LENGTH_64T1,
    LENGTH_AT_ONCE,
    LENGTH_C,
    LENGTH_COUNT,
    LENGTH_FAILOVER,
    LENGTH_LATE_TRYING,
    LENGTH_LINGER_64T1,
    LENGTH_LINGER_T4,
    LENGTH_NONE,
    LENGTH_T1,
    LENGTH_T2,
    LENGTH_TRYING,
    doubled,
    next_deadline,
    pop_due,
)
from proxy.sip.transport cimport is_reliable
from proxy.sip.transaction cimport (
    ARM_LINGER,
    ARM_LINGER_T4,
    ARM_RETRANSMIT,
    ARM_TIMEOUT,
    DO_PASS,
    DO_RESEND,
    END,
    INPUT_1XX,
    INPUT_2XX,
    INPUT_FINAL,
    INPUT_LINGER,
    INPUT_RETRANSMIT,
    INPUT_TIMEOUT,
    INVITE_SERVER,
    NEXT_RETRANSMIT,
    NON_INVITE_CLIENT,
    NO_GATEWAY,
    STATE_ACCEPTED,
    STATE_COMPLETED,
    STATE_FREE,
    STATE_PROCEEDING,
    STATE_TRYING,
    STOP_RETRANSMIT,
    Step,
    step,
)
from proxy.trust_border cimport Border

from array import array

T1_US = 500_000
T2_US = 4_000_000
T4_US = 5_000_000


cdef array_of_lengths(timers):
    """Length of every timer in microseconds, by TimerLength."""
    lengths = array("q", [0] * LENGTH_COUNT)
    lengths[LENGTH_TRYING] = timers.trying_ms * 1000
    lengths[LENGTH_T1] = T1_US
    lengths[LENGTH_2T1] = 2 * T1_US
    lengths[LENGTH_4T1] = 4 * T1_US
    lengths[LENGTH_T2] = T2_US
    lengths[LENGTH_16T1] = 16 * T1_US
    lengths[LENGTH_32T1] = 32 * T1_US
    lengths[LENGTH_LATE_TRYING] = T2_US - T1_US
    lengths[LENGTH_FAILOVER] = timers.failover_ms * 1000
    lengths[LENGTH_64T1] = lengths[LENGTH_LINGER_64T1] = 64 * T1_US
    lengths[LENGTH_LINGER_T4] = T4_US
    lengths[LENGTH_AT_ONCE] = 0
    lengths[LENGTH_C] = timers.timer_c_s * 1_000_000
    return lengths


cdef class TransactionLayer:
    """One worker's transactions. What they mean for calls the classes above say, in the three `on_` methods."""

    def __init__(self, Router router not None, *, bytes secret, Counters counters not None, capacity, timers,
                 str server_header):
        self.router = router
        self.counters = counters
        self.counts = counters.values
        self.transactions = Transactions(
            capacity.transactions, capacity.transaction_bytes, secret[:16], array_of_lengths(timers)
        )
        memcpy(self.secret, <const char*>secret, 16)
        self.load = OverloadServer()
        self.server_header = router.text(server_header.encode("ascii"))

    # What a transaction tells the layer above. A class of its own must answer; here nobody asks.

    cdef void on_local_final(self, uint32_t server, uint16_t status, int64_t now_us) noexcept nogil:
        pass

    cdef void on_target_silent(self, uint32_t client, int64_t now_us) noexcept nogil:
        pass

    cdef void on_client_timeout(self, uint32_t client, int64_t now_us) noexcept nogil:
        pass

    cdef void count(self, int counter) noexcept nogil:
        self.counts[counter] += 1

    # An answer to a request that only lives on in the client transaction it was sent by.
    cdef void answer_from_kept(
        self, uint32_t server, const ClientTransaction* client, uint16_t status, int64_t now_us
    ) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef const char* reason = standard_reason(status)
        cdef const char* fault
        cdef Answer answer
        cdef Writer writer
        cdef OutMessage* sent
        if client.message.data == NULL:
            return
        if parse_message(client.message.data, client.message.size, &self.kept, &fault) != 0:
            self.count(INTERNAL_ERRORS)
            return
        memset(&answer, 0, sizeof(Answer))
        answer.status = status
        answer.reason = <const uint8_t*>reason
        answer.reason_size = <uint32_t>strlen(reason)
        answer.to_tag = 0 if status == 100 else self.local_tag(s.key, &self.kept)
        answer.skip_top_via = True
        answer.overload = self.load.reply(s.overload)
        if status > 100 and self.server_header.size:
            answer.server = self.server_header.data
            answer.server_size = self.server_header.size
        self.out.begin(&writer)
        write_answer(&writer, &self.kept, &answer)
        sent = self.out.commit(&writer, s.listener, &s.peer)
        if sent == NULL:
            return
        s.status = status
        self.transactions.keep_response(server, sent.data, sent.size)
        self.apply_server(server, INPUT_1XX if status < 200 else INPUT_FINAL, now_us)
        if status >= 200:
            self.on_local_final(server, status, now_us)

    # The same for every answer to one request (RFC 3261 section 8.2.6.2), and not to be guessed.
    cdef uint64_t local_tag(self, uint64_t key, const Message* message) noexcept nogil:
        cdef KeyedHash hash_
        keyed_hash_begin(&hash_, self.secret)
        keyed_hash_word(&hash_, key)
        keyed_hash_add(&hash_, message.data + message.call_id.start, message.call_id.size)
        keyed_hash_add(&hash_, message.data + message.from_tag.start, message.from_tag.size)
        return keyed_hash_end(&hash_) | 1

    cdef bint is_own_tag(self, const Message* message, uint64_t key) noexcept nogil:
        cdef uint64_t tag
        if message.to_tag.size != 16 or not parse_hex(message.data + message.to_tag.start, 16, &tag):
            return False
        return tag == self.local_tag(key, message)

    # The request is on its way: its client transaction keeps it, with the timers of RFC 3261 section 17.1.
    cdef bint start_client(
        self, uint32_t server, const NextHop* next_hop, OutMessage* sent, uint32_t client, uint8_t method,
        int64_t now_us
    ) noexcept nogil:
        cdef ClientTransaction* c = &self.transactions.clients[client]
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef uint8_t timeout = LENGTH_64T1
        if sent == NULL or not keep(&self.transactions.memory, sent.data, sent.size, &c.message):
            self.transactions.end_client(client)
            if sent != NULL:
                self.out.count -= 1      # nothing was built after it
            return False
        c.destination = next_hop.destination
        c.listener = next_hop.listener
        c.routing = self.router.routing.generation
        c.gateway = next_hop.gateway
        c.target = next_hop.target
        c.method = method
        c.secure = next_hop.secure
        c.retransmit = LENGTH_T1
        c.reliable = is_reliable(self.router.listeners[next_hop.listener].transport)
        sent.token = <uint64_t>client << 32 | c.generation
        if server:
            self.transactions.attach(client, server)
            if next_hop.gateway != NO_GATEWAY or next_hop.name:
                s.tried |= <uint64_t>1 << next_hop.target
                if method == METHOD_INVITE and self.router.has_alternative(next_hop, s.tried):
                    timeout = LENGTH_FAILOVER
        if not c.reliable:
            self.transactions.arm_client(client, 0, LENGTH_T1, now_us)
        self.transactions.arm_client(client, 1, timeout, now_us)
        return True

    # The ACK takes the place of the request: repeats of the final response are answered with it (timer D).
    cdef void acknowledge(self, uint32_t client, const Message* message) noexcept nogil:
        cdef ClientTransaction* c = &self.transactions.clients[client]
        cdef Writer writer
        cdef OutMessage* sent
        cdef const char* reason
        if parse_message(c.message.data, c.message.size, &self.kept, &reason) != 0:
            self.count(INTERNAL_ERRORS)
            return
        self.out.begin(&writer)
        write_ack(&writer, &self.kept, message)
        sent = self.out.commit(&writer, c.listener, &c.destination)
        release(&self.transactions.memory, &c.message)
        if sent != NULL:
            keep(&self.transactions.memory, sent.data, sent.size, &c.message)

    # The response without its top Via, to where the request came from. False: the server transaction is past it.
    cdef bint pass_response(
        self, uint32_t server, uint32_t client, const Message* message, int64_t now_us
    ) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef uint8_t input = INPUT_1XX if message.status < 200 else INPUT_2XX if message.status < 300 else INPUT_FINAL
        cdef Writer writer
        cdef OutMessage* sent
        if not step(s.machine, s.state, input).actions & DO_PASS:
            return False
        self.out.begin(&writer)
        self.write_passed(&writer, server, client, message)
        sent = self.out.commit(&writer, s.listener, &s.peer)
        s.status = message.status
        release(&self.transactions.memory, &s.response)
        if sent != NULL and not (s.machine == INVITE_SERVER and input == INPUT_2XX):
            self.transactions.keep_response(server, sent.data, sent.size)
        self.apply_server(server, input, now_us)
        return True

    # As it goes from this branch to the caller.
    cdef void write_passed(
        self, Writer* writer, uint32_t server, uint32_t client, const Message* message
    ) noexcept nogil:
        cdef const ServerTransaction* s = &self.transactions.servers[server]
        cdef const ClientTransaction* c = &self.transactions.clients[client]
        cdef Border border
        cdef OverloadReply overload = self.load.reply(s.overload)
        cdef bint crosses = self.router.open_response_border(
            message, &c.destination, c.listener, &s.peer, s.listener, &border
        )
        write_response(writer, message, &border if crosses else NULL, &overload)

    # The server transaction a client transaction works for, 0 if it is gone.
    cdef uint32_t server_of(self, const ClientTransaction* client) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[client.server]
        if client.server == 0 or s.generation != client.server_generation or s.state == STATE_FREE:
            return 0
        return client.server

    cdef void apply_server(self, uint32_t server, uint8_t input, int64_t now_us) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef Step following = step(s.machine, s.state, input)
        cdef uint8_t linger
        s.state = following.next
        if following.actions & (STOP_RETRANSMIT | DO_PASS):
            self.transactions.disarm_server(server, 0)
        if following.actions & ARM_RETRANSMIT and not s.reliable:
            s.retransmit = LENGTH_T1
            self.transactions.arm_server(server, 0, LENGTH_T1, now_us)
        if following.actions & NEXT_RETRANSMIT:
            s.retransmit = doubled(s.retransmit, True)
            self.transactions.arm_server(server, 0, s.retransmit, now_us)
        if following.actions & ARM_TIMEOUT:
            self.transactions.arm_server(server, 1, LENGTH_64T1, now_us)
        if following.actions & ARM_LINGER:
            linger = LENGTH_AT_ONCE if s.reliable and s.state == STATE_COMPLETED else LENGTH_LINGER_64T1
            self.transactions.arm_server(server, 1, linger, now_us)
        if following.actions & ARM_LINGER_T4:
            self.transactions.arm_server(server, 1, LENGTH_AT_ONCE if s.reliable else LENGTH_LINGER_T4, now_us)
            release(&self.transactions.memory, &s.response)
        if following.actions & END:
            s.state = STATE_TRYING       # end_server wants an open one
            self.transactions.end_server(server)

    cdef void apply_client_timers(self, uint32_t client, uint16_t actions, int64_t now_us) noexcept nogil:
        cdef const ClientTransaction* c = &self.transactions.clients[client]
        cdef uint8_t linger = LENGTH_AT_ONCE if c.reliable and c.state == STATE_COMPLETED else LENGTH_NONE
        if actions & STOP_RETRANSMIT and c.state != STATE_TRYING:
            self.transactions.disarm_client(client, 0)
        if actions & ARM_LINGER:
            self.transactions.disarm_client(client, 0)
            self.transactions.arm_client(client, 1, linger if linger else LENGTH_LINGER_64T1, now_us)
        if actions & ARM_LINGER_T4:
            self.transactions.disarm_client(client, 0)
            self.transactions.arm_client(client, 1, linger if linger else LENGTH_LINGER_T4, now_us)

    cdef int64_t deadline(self) noexcept nogil:
        return next_deadline(&self.transactions.timers)

    cdef void fire_timers(self, int64_t now_us) noexcept nogil:
        cdef uint32_t node
        cdef uint8_t length
        while self.out.count < self.out.limit - 8:
            node = pop_due(&self.transactions.timers, now_us, &length)
            if node == 0:
                return
            if node & 2:
                self.fire_client(node >> 2, node & 1, length, now_us)
            else:
                self.fire_server(node >> 2, node & 1, now_us)

    cdef void fire_server(self, uint32_t server, int which, int64_t now_us) noexcept nogil:
        cdef ServerTransaction* s = &self.transactions.servers[server]
        cdef Step following
        if which == 0 and (s.state == STATE_PROCEEDING or s.state == STATE_TRYING):
            if s.response.data == NULL and s.client:
                self.answer_from_kept(server, &self.transactions.clients[s.client], 100, now_us)
            return
        if which == 0:
            following = step(s.machine, s.state, INPUT_RETRANSMIT)
            if following.actions & DO_RESEND:
                self.count(RESENT)
                self.out.copy(s.response.data, s.response.size, s.listener, &s.peer)
                self.apply_server(server, INPUT_RETRANSMIT, now_us)
        elif s.machine == INVITE_SERVER and s.state == STATE_COMPLETED:
            self.count(NO_ACK)
            self.apply_server(server, INPUT_TIMEOUT, now_us)
        else:
            self.apply_server(server, INPUT_LINGER, now_us)

    cdef void fire_client(self, uint32_t client, int which, uint8_t length, int64_t now_us) noexcept nogil:
        cdef ClientTransaction* c = &self.transactions.clients[client]
        if which == 0:
            if step(c.machine, c.state, INPUT_RETRANSMIT).actions & DO_RESEND:
                self.count(RESENT)
                self.out.copy(c.message.data, c.message.size, c.listener, &c.destination)
                # Timer E runs at T2 once a provisional response has come (RFC 3261 section 17.1.2.2).
                c.retransmit = (
                    LENGTH_T2 if c.state == STATE_PROCEEDING else doubled(c.retransmit, c.machine == NON_INVITE_CLIENT)
                )
                self.transactions.arm_client(client, 0, c.retransmit, now_us)
        elif c.state == STATE_COMPLETED or c.state == STATE_ACCEPTED:
            self.transactions.end_client(client)
        elif length == LENGTH_FAILOVER:
            self.on_target_silent(client, now_us)
        else:
            self.on_client_timeout(client, now_us)
