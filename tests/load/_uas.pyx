"""The answering endpoint: rings, answers or rejects every call, and waits for the caller to hang up.

Final responses are repeated until their ACK comes (RFC 3261 sections 13.3.1.4 and 17.2.1). A To tag tells the calling
endpoint whether the call arrived with a label: `labelled.…` or `plain.…`; no proxy may change a tag.
"""

from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

cimport cython

from tests.load._datagrams cimport (
    monotonic_us,
    port_claim,
    port_close,
    port_commit,
    port_flush,
    port_length,
    port_open,
    port_receive,
    port_wait,
)
from tests.load._message cimport (
    METHOD_ACK,
    METHOD_BYE,
    METHOD_CANCEL,
    METHOD_INVITE,
    METHOD_OPTIONS,
    Slice,
    put,
    put_decimal,
    put_hex,
    put_line,
    put_slice,
    scan,
)
from tests.load._timer_wheel cimport wheel_arm, wheel_close, wheel_disarm, wheel_open, wheel_pop

from tests.load.description import session_description

cdef enum State:
    FREE = 0
    RINGING = 1
    ANSWERED = 2      # 200 sent, ACK awaited
    CONFIRMED = 3
    REJECTED = 4      # 3xx-6xx sent, ACK awaited

cdef enum:
    ROUNDS = 8                       # batches received before timers and the stop flag are looked at
    IDLE_US = 20000
    LONGEST_TALK_US = 600000000      # a confirmed call whose BYE never comes is forgotten

cdef int64_t T2_US = 4000000
cdef uint64_t SPREAD = <uint64_t>0x9E3779B97F4A7C15   # 2**64 divided by the golden ratio: neighbours fall far apart


cdef uint64_t hash_of(Slice text) noexcept nogil:
    """FNV-1a, finished so that the low bits depend on every byte."""
    cdef uint64_t value = <uint64_t>0xcbf29ce484222325
    cdef size_t i
    for i in range(text.length):
        value = (value ^ <unsigned char>text.start[i]) * <uint64_t>0x100000001b3
    return value ^ (value >> 29)


cdef char *put_status(char *at, int status) noexcept nogil:
    at = put(at, b"SIP/2.0 ", 8)
    at = put_decimal(at, status)
    if status == 180:
        return put(at, b" Ringing\r\n", 10)
    if status == 200:
        return put(at, b" OK\r\n", 5)
    if status == 487:
        return put(at, b" Request Terminated\r\n", 21)
    if status < 300:
        return put(at, b" Progress\r\n", 11)
    return put(at, b" Rejected\r\n", 11)


cdef char *put_tag(char *at, bint labelled, uint64_t key) noexcept nogil:
    at = put(at, b";tag=labelled.", 14) if labelled else put(at, b";tag=plain.", 11)
    return put_hex(put_hex(at, <uint32_t>(key >> 32)), <uint32_t>key)


cdef char *put_head(char *at, Message *message, uint64_t key) noexcept nogil:
    """The headers that a response copies from its request (RFC 3261 sections 8.2.6.2 and 12.1.1)."""
    cdef int i
    for i in range(message.vias_count):
        at = put_line(at, b"Via: ", 5, message.vias[i])
    if message.method == METHOD_INVITE:
        for i in range(message.record_routes_count):
            at = put_line(at, b"Record-Route: ", 14, message.record_routes[i])
    at = put_line(at, b"From: ", 6, message.caller)
    at = put_slice(put(at, b"To: ", 4), message.callee)
    if not message.callee_tagged:
        at = put_tag(at, message.labelled, key)
    at = put(at, b"\r\n", 2)
    at = put_line(at, b"Call-ID: ", 9, message.call_id)
    return put_line(at, b"CSeq: ", 6, message.cseq)


cdef size_t head_bound(Message *message) noexcept nogil:
    """At least the bytes that `put_head` will write."""
    cdef size_t bound = message.caller.length + message.callee.length + message.call_id.length + message.cseq.length
    cdef int i
    for i in range(message.vias_count):
        bound += message.vias[i].length + 7
    for i in range(message.record_routes_count):
        bound += message.record_routes[i].length + 16
    return bound + 80


@cython.final
cdef class Uas:
    def __cinit__(self, sock, *, str contact, double ring_ms=0.0, int reject_status=0, int reject_every=1,
                  int drop_every=0, double t1_ms=500.0, int32_t capacity=32768):
        cdef int32_t i
        if reject_status and not 300 <= reject_status <= 699:
            raise ValueError(f"reject_status {reject_status}: expected 300 to 699")
        if capacity < 1 or reject_every < 1 or drop_every < 0:
            raise ValueError("capacity and reject_every begin at 1, drop_every at 0")
        self._socket = sock
        self._ring_us = <int64_t>(ring_ms * 1000)
        self._t1_us = <int64_t>(t1_ms * 1000)
        self._reject_status = reject_status
        self._reject_every = reject_every
        self._drop_every = drop_every
        body = session_description(contact)
        self._tail_text = (
            f"Contact: <sip:callee@{contact}>\r\n"
            "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n"
            "Content-Type: application/sdp\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        self._tail.start = self._tail_text
        self._tail.length = len(self._tail_text)
        self._port = port_open(sock.fileno())
        self._answers = <Answer *>calloc(capacity, sizeof(Answer))
        self._bucket_mask = (1 << capacity.bit_length()) - 1
        self._buckets = <int32_t *>malloc((self._bucket_mask + 1) * sizeof(int32_t))
        if self._port is NULL or self._answers is NULL or self._buckets is NULL:
            raise MemoryError
        if wheel_open(&self._wheel, capacity, monotonic_us()) < 0:
            raise MemoryError
        memset(self._buckets, 0xFF, (self._bucket_mask + 1) * sizeof(int32_t))
        for i in range(capacity):
            self._answers[i].chained = i + 1 if i + 1 < capacity else -1

    def __dealloc__(self):
        wheel_close(&self._wheel)
        free(self._buckets)
        free(self._answers)
        port_close(self._port)

    def run(self):
        with nogil:
            self._loop()

    def stop(self):
        self._stop = True

    @property
    def counts(self):
        counts = dict(self._counts)
        counts["sent"] = self._port.sent
        counts["received"] = self._port.received
        counts["refused"] = self._port.refused
        return counts

    cdef void _loop(self) noexcept nogil:
        while not self._stop:
            port_wait(self._port, 1000 if self._wheel.armed else IDLE_US)
            self.serve()

    cdef void serve(self) noexcept nogil:
        """What is waiting and what is due, without waiting."""
        cdef int i, count, _
        cdef int32_t call
        cdef int64_t now_us
        for _ in range(ROUNDS):
            count = port_receive(self._port)
            if count == 0:
                break
            now_us = monotonic_us()
            for i in range(count):
                self._handle(self._port.receive_bytes[i], port_length(self._port, i), &self._port.sources[i], now_us)
            port_flush(self._port)
        now_us = monotonic_us()
        call = wheel_pop(&self._wheel, now_us)
        while call >= 0:
            self._expire(call, now_us)
            call = wheel_pop(&self._wheel, now_us)
        port_flush(self._port)

    cdef void _handle(self, const char *data, int length, const Address *source, int64_t now_us) noexcept nogil:
        cdef Message message
        self._seen += 1
        # Not every N-th exactly: where INVITE and ACK alternate, that could hit INVITEs alone for a whole run.
        if self._drop_every and ((<uint64_t>self._seen * SPREAD) >> 33) % <uint64_t>self._drop_every == 0:
            self._counts.dropped += 1
            return
        if scan(data, length, &message) < 0 or message.status:
            self._counts.unreadable += 1
        elif message.method == METHOD_INVITE:
            self._invited(&message, source, now_us)
        elif message.method == METHOD_ACK:
            self._acknowledged(&message, now_us)
        elif message.method == METHOD_BYE:
            self._ended(&message, source)
        elif message.method == METHOD_CANCEL:
            self._cancelled(&message, source, now_us)
        elif message.method == METHOD_OPTIONS:
            self._counts.options += 1
            self._reply(&message, source, 200)
        else:
            self._reply(&message, source, 405)

    cdef void _invited(self, Message *message, const Address *source, int64_t now_us) noexcept nogil:
        cdef uint64_t key = hash_of(message.call_id)
        cdef int32_t call = self._find(key)
        if call < 0:
            self._begin(message, key, source, now_us)
            return
        self._counts.invites_repeated += 1
        if self._answers[call].state == RINGING:
            self._respond(call, 180)
        elif self._answers[call].state != CONFIRMED:
            self._respond(call, self._answers[call].status)

    cdef void _begin(self, Message *message, uint64_t key, const Address *source, int64_t now_us) noexcept nogil:
        cdef Answer *answer
        cdef int32_t call = -1
        if head_bound(message) <= HEAD_BYTES:
            call = self._take(key)
        if call < 0:
            self._counts.full += 1
            self._reply(message, source, 500)
            return
        self._counts.invites += 1
        self._counts.labelled += message.labelled
        answer = &self._answers[call]
        answer.peer = source[0]
        answer.head_length = put_head(answer.head, message, key) - answer.head
        if self._reject_status and self._counts.invites % self._reject_every == 0:
            self._counts.rejected += 1
            self._finalise(call, self._reject_status, now_us)
            return
        answer.state = RINGING
        self._respond(call, 180)
        if self._ring_us:
            wheel_arm(&self._wheel, call, now_us + self._ring_us)
        else:
            self._counts.answered += 1
            self._finalise(call, 200, now_us)

    cdef void _finalise(self, int32_t call, int status, int64_t now_us) noexcept nogil:
        cdef Answer *answer = &self._answers[call]
        answer.state = ANSWERED if status == 200 else REJECTED
        answer.status = status
        answer.interval_us = self._t1_us
        answer.give_up_us = now_us + 64 * self._t1_us
        self._respond(call, status)
        wheel_arm(&self._wheel, call, now_us + answer.interval_us)

    cdef void _acknowledged(self, Message *message, int64_t now_us) noexcept nogil:
        cdef int32_t call = self._find(hash_of(message.call_id))
        self._counts.acks += 1
        if call < 0:
            return
        if self._answers[call].state == REJECTED:
            self._release(call)
        elif self._answers[call].state == ANSWERED:
            self._answers[call].state = CONFIRMED
            wheel_arm(&self._wheel, call, now_us + LONGEST_TALK_US)

    cdef void _cancelled(self, Message *message, const Address *source, int64_t now_us) noexcept nogil:
        cdef int32_t call = self._find(hash_of(message.call_id))
        if call < 0:
            self._reply(message, source, 481)
            return
        self._reply(message, source, 200)
        if self._answers[call].state == RINGING:
            self._counts.cancelled += 1
            self._finalise(call, 487, now_us)

    cdef void _ended(self, Message *message, const Address *source) noexcept nogil:
        """A BYE without a call is one repeated: its 200 was lost on the way, and it gets another."""
        cdef int32_t call = self._find(hash_of(message.call_id))
        self._reply(message, source, 200)
        if call >= 0:
            self._counts.byes += 1
            self._release(call)

    cdef void _expire(self, int32_t call, int64_t now_us) noexcept nogil:
        cdef Answer *answer = &self._answers[call]
        if answer.state == RINGING:
            self._counts.answered += 1
            self._finalise(call, 200, now_us)
        elif answer.state == CONFIRMED:
            self._release(call)
        elif self._wheel.deadline_us[call] >= answer.give_up_us:
            self._counts.unacknowledged += 1
            self._release(call)
        else:
            self._counts.retransmissions += 1
            self._respond(call, answer.status)
            answer.interval_us = min(2 * answer.interval_us, T2_US)
            wheel_arm(&self._wheel, call, self._wheel.deadline_us[call] + answer.interval_us)

    cdef void _respond(self, int32_t call, int status) noexcept nogil:
        cdef Answer *answer = &self._answers[call]
        cdef char *start = port_claim(self._port)
        cdef char *at = put(put_status(start, status), answer.head, answer.head_length)
        if status == 200:
            at = put_slice(at, self._tail)
        else:
            at = put(at, b"Content-Length: 0\r\n\r\n", 21)
        port_commit(self._port, at - start, &answer.peer)

    cdef void _reply(self, Message *message, const Address *source, int status) noexcept nogil:
        """A response to a request that opens no call here."""
        cdef char *start
        cdef char *at
        if head_bound(message) > HEAD_BYTES:
            self._counts.unreadable += 1
            return
        start = port_claim(self._port)
        at = put_head(put_status(start, status), message, hash_of(message.call_id))
        at = put(at, b"Content-Length: 0\r\n\r\n", 21)
        port_commit(self._port, at - start, source)

    cdef int32_t _find(self, uint64_t key) noexcept nogil:
        cdef int32_t call = self._buckets[key & self._bucket_mask]
        while call >= 0 and self._answers[call].key != key:
            call = self._answers[call].chained
        return call

    cdef int32_t _take(self, uint64_t key) noexcept nogil:
        """A call of its own for a new Call-ID; -1 when all are in use."""
        cdef int32_t call = self._free
        cdef int32_t *bucket = &self._buckets[key & self._bucket_mask]
        if call < 0:
            return -1
        self._free = self._answers[call].chained
        self._answers[call].key = key
        self._answers[call].chained = bucket[0]
        bucket[0] = call
        return call

    cdef void _release(self, int32_t call) noexcept nogil:
        cdef int32_t *link = &self._buckets[self._answers[call].key & self._bucket_mask]
        wheel_disarm(&self._wheel, call)
        while link[0] != call:
            link = &self._answers[link[0]].chained
        link[0] = self._answers[call].chained
        self._answers[call].state = FREE
        self._answers[call].chained = self._free
        self._free = call
