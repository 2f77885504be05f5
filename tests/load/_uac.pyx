"""The calling endpoint: places calls from a deck at a given rate, or keeps a number of them in flight.

Every identifier of a call (branch, From tag, Call-ID) holds slot and generation of the slot, so a response finds its call
without a table, and one that comes after its call is over finds none. They are scrambled, reversibly: a proxy that hashes
identifiers shall find them as random as anybody's. The ACK of a rejection is written from the
response alone, so a rejection repeated by the network is acknowledged again even then (RFC 3261 section 17.1.1.3).
Loose routers only: a Route without `lr` is treated like one with it. Nothing is sent outside the loopback network.
"""

from libc.stdlib cimport calloc, free, malloc

cimport cython

import time

from tests.load._datagrams cimport (
    address_of,
    is_loopback,
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
from tests.load._histogram cimport counts_record
from tests.load._message cimport (
    METHOD_BYE,
    METHOD_CANCEL,
    METHOD_INVITE,
    MAX_LINES,
    parse_hex,
    put,
    put_hex,
    put_slice,
    scan,
    uri_address,
    uri_in,
)
from tests.load._timer_wheel cimport wheel_arm, wheel_close, wheel_disarm, wheel_open, wheel_pop
from tests.load._uas cimport Uas

from tests.load.description import session_description

cdef enum State:
    IDLE = 0
    CALLING = 1       # INVITE sent, nothing heard: Timer A repeats it
    PROCEEDING = 2    # a provisional response came
    CANCELLING = 3
    TALKING = 4       # ACK sent
    ENDING = 5        # BYE sent: Timer E repeats it

cdef enum:
    IDENTITY_LENGTH = 24
    BRANCH_LENGTH = 7 + IDENTITY_LENGTH + 1
    ROUNDS = 8                   # batches received before timers and due calls are looked at
    MOST_AT_ONCE = 256           # calls placed before responses are looked at
    IDLE_US = 5000
    STEP_US = 1000               # the timer wheel's

cdef int64_t T2_US = 4000000
cdef int64_t FOREVER_US = (<int64_t>1 << 62)

cdef uint64_t SCRAMBLE = 0x9E3779B97F4A7C15
cdef uint64_t UNSCRAMBLE = 0xF1DE83E19937733D       # SCRAMBLE * UNSCRAMBLE = 1 modulo 2**64


cdef inline uint64_t scrambled(uint32_t slot, uint32_t generation) noexcept nogil:
    cdef uint64_t value = <uint64_t>slot << 32 | generation
    value = (value ^ (value >> 32)) * SCRAMBLE
    return (value ^ (value >> 32)) * SCRAMBLE


cdef inline uint64_t unscrambled(uint64_t value) noexcept nogil:
    value *= UNSCRAMBLE
    value = (value ^ (value >> 32)) * UNSCRAMBLE
    return value ^ (value >> 32)


@cython.final
cdef class Uac:
    def __cinit__(self, sock, *, tuple target, bytes deck, list talk_ms, list cancel_ms, int first=0, int stride=1,
                  double t1_ms=500.0, double ring_limit_s=64.0, int32_t capacity=32768, bint record=False):
        if not deck or len(deck) % sizeof(DeckEntry):
            raise ValueError("deck: expected whole entries, at least one")
        if not 0 < len(talk_ms) == len(cancel_ms) <= MAX_FAMILIES:
            raise ValueError(f"talk_ms and cancel_ms: one value a family, at most {MAX_FAMILIES}")
        if capacity < 1 or stride < 1 or first < 0:
            raise ValueError("capacity and stride begin at 1, first at 0")
        self._socket = sock
        self._deck_bytes = deck
        self._deck = <const DeckEntry *><const char *>deck
        self._deck_count = <uint32_t>(len(deck) // sizeof(DeckEntry))
        self._deck_at = first % self._deck_count
        self._deck_stride = stride % self._deck_count
        self._check_deck(len(talk_ms))
        for i, (talk, cancel) in enumerate(zip(talk_ms, cancel_ms)):
            self._families[i].talk_us = <int64_t>(talk * 1000)
            self._families[i].cancel_us = -1 if cancel is None else <int64_t>(cancel * 1000)
        self._write_constants(sock.getsockname(), target)
        self._t1_us = <int64_t>(t1_ms * 1000)
        self._ring_limit_us = <int64_t>(ring_limit_s * 1e6)
        self._run = time.monotonic_ns() & 0xFFFFFFFF
        self._clock_offset_us = time.time_ns() // 1000 - monotonic_us()
        self.ringing_us = Histogram()
        self.final_us = Histogram()
        self._recording = record
        self._allocate(capacity)

    def __dealloc__(self):
        wheel_close(&self._wheel)
        free(self._records)
        free(self._calls)
        port_close(self._port)

    def _check_deck(self, int families):
        cdef uint32_t i
        for i in range(self._deck_count):
            if self._deck[i].family >= families:
                raise ValueError(f"deck entry {i}: family {self._deck[i].family} of {families}")
            if self._deck[i].caller_length > NUMBER_BYTES or self._deck[i].callee_length > NUMBER_BYTES:
                raise ValueError(f"deck entry {i}: a number has at most {NUMBER_BYTES} characters")

    def _write_constants(self, tuple local, tuple target):
        host = target[0].encode()
        if address_of(&self._target, host, len(host), target[1]) < 0:
            raise ValueError(f"target {target[0]}: expected a numeric address")
        if not is_loopback(&self._target):
            raise ValueError(f"target {target[0]}: only the loopback network is called")
        own = f"[{local[0]}]" if ":" in local[0] else local[0]
        other = f"[{target[0]}]" if ":" in target[0] else target[0]
        body = session_description(f"{own}:{local[1]}")
        self._host_text = own.encode()
        self._local_text = f"{own}:{local[1]}".encode()
        self._target_text = f"{other}:{target[1]}".encode()
        self._invite_tail_text = (
            f"Contact: <sip:caller@{own}:{local[1]};transport=udp>\r\n"
            "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n"
            "Supported: replaces, norefersub\r\n"
            "Accept: application/sdp\r\n"
            "User-Agent: callsieve load harness\r\n"
            "Content-Disposition: session\r\n"
            "Content-Type: application/sdp\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        self._host.start, self._host.length = self._host_text, len(self._host_text)
        self._local.start, self._local.length = self._local_text, len(self._local_text)
        self._target_host.start, self._target_host.length = self._target_text, len(self._target_text)
        self._invite_tail.start, self._invite_tail.length = self._invite_tail_text, len(self._invite_tail_text)

    def _allocate(self, int32_t capacity):
        cdef int32_t i
        self._capacity = capacity
        self._port = port_open(self._socket.fileno())
        self._calls = <Call *>calloc(capacity, sizeof(Call))
        self._records = <Record *>malloc(RECORDS * sizeof(Record)) if self._recording else NULL
        if self._port is NULL or self._calls is NULL or (self._recording and self._records is NULL):
            raise MemoryError
        if wheel_open(&self._wheel, capacity, monotonic_us()) < 0:
            raise MemoryError
        for i in range(capacity):
            self._calls[i].next_free = i + 1 if i + 1 < capacity else -1

    def run(self, *, double rate_per_s=0.0, int in_flight=0, int64_t calls=0, double duration_s=0.0,
            double drain_s=5.0, Uas partner=None):
        if (rate_per_s > 0) == (in_flight > 0):
            raise ValueError("expected either rate_per_s or in_flight")
        if calls <= 0 and duration_s <= 0:
            raise ValueError("expected an end: calls or duration_s")
        self._begun_us = monotonic_us()
        self._rate_per_s = max(1, <int64_t>rate_per_s) if rate_per_s > 0 else 0
        self._in_flight = min(in_flight, self._capacity)
        self._calls_limit = calls if calls > 0 else FOREVER_US
        self._placing_until_us = self._begun_us + <int64_t>(duration_s * 1e6) if duration_s > 0 else FOREVER_US
        with nogil:
            self._loop(<int64_t>(drain_s * 1e6), partner)

    def stop(self):
        self._stop = True

    @property
    def counts(self):
        counts = dict(self._counts)
        counts["active"] = self._active
        counts["sent"] = self._port.sent
        counts["received"] = self._port.received
        counts["refused"] = self._port.refused
        return counts

    def statuses(self, int family):
        return {status: self._statuses[family][status] for status in range(STATUSES) if self._statuses[family][status]}

    def labelled(self, int family):
        return self._labelled[family]

    @property
    def run_id(self):
        return f"{self._run:08x}"

    def take_records(self):
        cdef uint64_t written = self._records_written
        cdef uint64_t first = self._records_taken % RECORDS, count = written - self._records_taken
        cdef uint64_t straight = min(count, RECORDS - first)
        if count == 0:
            return b""
        taken = (<const char *>&self._records[first])[:straight * sizeof(Record)]
        if count > straight:
            taken += (<const char *>self._records)[:(count - straight) * sizeof(Record)]
        self._records_taken = written
        return taken

    cdef void _loop(self, int64_t drain_us, Uas partner) noexcept nogil:
        cdef int64_t now_us = monotonic_us(), drain_until_us = FOREVER_US
        cdef bint spinning = partner is not None
        while True:
            if self._placing(now_us):
                self._place_due(now_us)
            elif drain_until_us == FOREVER_US:
                drain_until_us = now_us + drain_us
            self._fire_due(now_us)
            if drain_until_us != FOREVER_US and (self._active == 0 or now_us >= drain_until_us):
                break
            if spinning:
                partner.serve()
            else:
                port_wait(self._port, self._wait_us(now_us))
            self._read_waiting()
            now_us = monotonic_us()
        self._abandon()

    cdef void _fire_due(self, int64_t now_us) noexcept nogil:
        cdef int32_t slot = wheel_pop(&self._wheel, now_us)
        while slot >= 0:
            self._expire(slot, now_us)
            slot = wheel_pop(&self._wheel, now_us)
        port_flush(self._port)

    cdef void _read_waiting(self) noexcept nogil:
        cdef int i, count, rounds
        cdef int64_t now_us
        for rounds in range(ROUNDS):
            count = port_receive(self._port)
            if count == 0:
                return
            now_us = monotonic_us()
            for i in range(count):
                self._handle(self._port.receive_bytes[i], port_length(self._port, i), now_us)
            port_flush(self._port)

    cdef bint _placing(self, int64_t now_us) noexcept nogil:
        return (not self._stop and now_us < self._placing_until_us
                and <int64_t>self._counts.placed < self._calls_limit)

    cdef int64_t _wait_us(self, int64_t now_us) noexcept nogil:
        """Until the next call is due, or the timer wheel's next step."""
        cdef int64_t due_us, wait_us = STEP_US if self._wheel.armed else IDLE_US
        if self._rate_per_s and self._placing(now_us) and self._free >= 0:
            due_us = self._begun_us + <int64_t>(self._counts.placed * 1000000 // self._rate_per_s)
            wait_us = min(wait_us, max(due_us - now_us, 0))
        return wait_us

    cdef void _place_due(self, int64_t now_us) noexcept nogil:
        cdef int64_t due
        if self._rate_per_s:
            due = (now_us - self._begun_us) * self._rate_per_s // 1000000 + 1 - <int64_t>self._counts.placed
        else:
            due = self._in_flight - self._active
        due = min(due, MOST_AT_ONCE, self._calls_limit - <int64_t>self._counts.placed)
        while due > 0:
            if self._free < 0:
                self._counts.postponed += 1
                return
            self._place(now_us)
            due -= 1

    cdef void _place(self, int64_t now_us) noexcept nogil:
        cdef int32_t slot = self._free
        cdef Call *call = &self._calls[slot]
        self._free = call.next_free
        self._active += 1
        self._counts.placed += 1
        call.generation += 1
        call.entry = self._deck_at
        self._deck_at = (self._deck_at + self._deck_stride) % self._deck_count
        call.state = CALLING
        call.cancel_answered = call.labelled = False
        call.status = 0
        call.started_us = now_us
        call.rung_us = call.finalised_us = call.ended_us = 0
        call.interval_us = self._t1_us
        call.give_up_us = now_us + 64 * self._t1_us
        self._send_invite(slot)
        wheel_arm(&self._wheel, slot, now_us + call.interval_us)

    cdef void _abandon(self) noexcept nogil:
        """What is unfinished when the run is over is lost."""
        cdef int32_t slot
        cdef int64_t now_us = monotonic_us()
        for slot in range(self._capacity):
            if self._calls[slot].state != IDLE:
                self._finish(slot, 0, now_us)

    cdef void _handle(self, const char *data, int length, int64_t now_us) noexcept nogil:
        cdef Message message
        cdef int32_t slot
        if scan(data, length, &message) < 0 or message.status == 0:
            self._counts.unexpected += 1
            return
        slot = self._call_of(&message)
        if message.method == METHOD_INVITE:
            if message.status >= 300:
                self._acknowledge_rejection(&message)
            if slot < 0:
                self._counts.responses_repeated += message.status >= 300
                self._counts.unexpected += message.status < 300
                return
            self._invite_answered(slot, &message, now_us)
        elif slot < 0:
            self._counts.unexpected += 1
        elif message.method == METHOD_BYE and self._calls[slot].state == ENDING and message.status >= 200:
            self._finish(slot, self._calls[slot].status, now_us)
        elif message.method == METHOD_CANCEL and message.status >= 200:
            self._calls[slot].cancel_answered = True

    cdef int32_t _call_of(self, Message *message) noexcept nogil:
        """The call whose transaction the response answers; -1 when it is over or never was."""
        cdef uint32_t run, high, low, slot, generation
        cdef uint64_t identity
        cdef const char *at = message.branch.start + 7
        if message.branch.length != BRANCH_LENGTH:
            return -1
        if parse_hex(at, &run) < 0 or parse_hex(at + 8, &high) < 0 or parse_hex(at + 16, &low) < 0:
            return -1
        identity = unscrambled(<uint64_t>high << 32 | low)
        slot, generation = <uint32_t>(identity >> 32), <uint32_t>identity
        if run != self._run or slot >= <uint32_t>self._capacity or self._calls[slot].generation != generation:
            return -1
        return <int32_t>slot if self._calls[slot].state != IDLE else -1

    cdef void _invite_answered(self, int32_t slot, Message *message, int64_t now_us) noexcept nogil:
        cdef Call *call = &self._calls[slot]
        if call.state == TALKING or call.state == ENDING:
            if 200 <= message.status < 300:
                self._counts.responses_repeated += 1
                self._send_in_dialog(slot, False)
            return
        if message.status > 100 and call.rung_us == 0:
            call.rung_us = now_us
            counts_record(self.ringing_us.counts, now_us - call.started_us)
        if message.status < 200:
            if call.state == CALLING:
                call.state = PROCEEDING
                call.give_up_us = now_us + self._ring_limit_us
                self._await_answer(slot, now_us)
            return
        call.finalised_us = now_us
        call.status = <uint16_t>message.status
        counts_record(self.final_us.counts, now_us - call.started_us)
        if message.status < 300:
            self._established(slot, message, now_us)
        else:
            self._finish(slot, message.status, now_us)

    cdef void _established(self, int32_t slot, Message *message, int64_t now_us) noexcept nogil:
        cdef Call *call = &self._calls[slot]
        cdef int64_t talk_us = self._families[self._deck[call.entry].family].talk_us
        if self._learn_dialog(call, message) < 0:
            self._counts.unexpected += 1
            self._finish(slot, 0, now_us)
            return
        self._send_in_dialog(slot, False)
        call.state = TALKING
        if talk_us:
            wheel_arm(&self._wheel, slot, now_us + talk_us)
        else:
            self._hang_up(slot, now_us)

    cdef int _learn_dialog(self, Call *call, Message *message) noexcept nogil:
        """Remote target and route set of RFC 3261 section 12.1.2; -1 when they are unusable or too long."""
        cdef Slice target = uri_in(message.contact), first
        cdef Slice values[MAX_LINES]
        cdef int i, count = split_routes(message, values)
        cdef char *at = call.routes
        if not 0 < target.length <= TARGET_BYTES or message.callee.length > CALLEE_BYTES or count < 0:
            return -1
        call.target_length = put_slice(call.target, target) - call.target
        call.callee_length = put_slice(call.callee, message.callee) - call.callee
        call.labelled = is_labelled(message.callee)
        for i in range(count - 1, -1, -1):
            if at + values[i].length + 11 > call.routes + ROUTES_BYTES:
                return -1
            at = put(at, b"Route: ", 7) if i == count - 1 else put(at, b", ", 2)
            at = put_slice(at, values[i])
        if count:
            at = put(at, b"\r\n", 2)
        call.routes_length = at - call.routes
        first = uri_in(values[count - 1]) if count else target
        if uri_address(first, &call.next_hop) < 0:
            call.next_hop = self._target                # a name: the proxy that the call goes through
        return 0 if is_loopback(&call.next_hop) else -1

    cdef void _hang_up(self, int32_t slot, int64_t now_us) noexcept nogil:
        cdef Call *call = &self._calls[slot]
        call.state = ENDING
        call.ended_us = now_us
        call.interval_us = self._t1_us
        call.give_up_us = now_us + 64 * self._t1_us
        self._send_in_dialog(slot, True)
        wheel_arm(&self._wheel, slot, now_us + call.interval_us)

    cdef void _expire(self, int32_t slot, int64_t now_us) noexcept nogil:
        cdef Call *call = &self._calls[slot]
        if call.state == TALKING:
            self._hang_up(slot, now_us)
            return
        if self._wheel.deadline_us[slot] >= call.give_up_us:      # however late we come to look at it
            self._finish(slot, 0, now_us)
            return
        if call.state == PROCEEDING:
            call.state = CANCELLING
            call.interval_us = self._t1_us
            call.give_up_us = self._wheel.deadline_us[slot] + 64 * self._t1_us
            self._send_cancel(slot)
        elif call.state == CALLING:
            self._counts.invites_repeated += 1
            call.interval_us *= 2
            self._send_invite(slot)
        elif call.state == ENDING:
            self._counts.byes_repeated += 1
            call.interval_us = min(2 * call.interval_us, T2_US)
            self._send_in_dialog(slot, True)
        elif not call.cancel_answered:
            self._counts.cancels_repeated += 1
            call.interval_us = min(2 * call.interval_us, T2_US)
            self._send_cancel(slot)
        wheel_arm(&self._wheel, slot, min(self._wheel.deadline_us[slot] + call.interval_us, call.give_up_us))

    cdef void _await_answer(self, int32_t slot, int64_t now_us) noexcept nogil:
        """Ringing: until the caller loses patience and cancels, or the longest time that a call may ring."""
        cdef Call *call = &self._calls[slot]
        cdef int64_t cancel_us = self._families[self._deck[call.entry].family].cancel_us
        if cancel_us < 0:
            wheel_arm(&self._wheel, slot, call.give_up_us)
        else:
            wheel_arm(&self._wheel, slot, max(call.started_us + cancel_us, now_us))

    cdef void _finish(self, int32_t slot, int status, int64_t now_us) noexcept nogil:
        """The call is over: `status` is the INVITE's final one, 0 when the call was lost."""
        cdef Call *call = &self._calls[slot]
        cdef uint8_t family = self._deck[call.entry].family
        wheel_disarm(&self._wheel, slot)
        self._statuses[family][status] += 1
        self._counts.finished += 1
        if status == 0:
            self._counts.lost += 1
        elif status < 300:
            self._counts.answered += 1
            self._labelled[family] += call.labelled
        else:
            self._counts.rejected += 1
        if call.finalised_us == 0:
            call.finalised_us = now_us
        if self._recording:
            self._record(slot, status)
        call.state = IDLE
        call.next_free = self._free
        self._free = slot
        self._active -= 1

    cdef void _record(self, int32_t slot, int status) noexcept nogil:
        cdef Call *call = &self._calls[slot]
        cdef Record *record = &self._records[self._records_written % RECORDS]
        if self._records_written - self._records_taken == RECORDS:
            self._counts.records_missed += 1
            return
        record.started_us = call.started_us + self._clock_offset_us
        record.identity = scrambled(slot, call.generation)
        record.entry = call.entry
        record.ring_us = <uint32_t>(call.finalised_us - call.started_us)
        record.talk_us = <uint32_t>(call.ended_us - call.finalised_us) if call.ended_us else 0
        record.status = <uint16_t>status
        record.labelled = call.labelled
        self._records_written += 1

    cdef void _send_invite(self, int32_t slot) noexcept nogil:
        cdef char *start = port_claim(self._port)
        cdef char *at = put(start, b"INVITE ", 7)
        at = put(self._put_request_uri(at, slot), b" SIP/2.0\r\n", 10)
        at = self._put_via(at, slot, c"i")
        at = self._put_caller(at, slot)
        at = self._put_request_uri(put(at, b"To: <", 5), slot)
        at = self._put_call_id(put(at, b">\r\n", 3), slot)
        at = put(at, b"CSeq: 1 INVITE\r\n", 16)
        if self._deck[self._calls[slot].entry].withheld:
            at = put(at, b"Privacy: id\r\n", 13)
        at = put_slice(at, self._invite_tail)
        port_commit(self._port, at - start, &self._target)

    cdef void _send_cancel(self, int32_t slot) noexcept nogil:
        """Everything but the method equals the INVITE's (RFC 3261 section 9.1)."""
        cdef char *start = port_claim(self._port)
        cdef char *at = put(start, b"CANCEL ", 7)
        at = put(self._put_request_uri(at, slot), b" SIP/2.0\r\n", 10)
        at = self._put_via(at, slot, c"i")
        at = self._put_caller(at, slot)
        at = self._put_request_uri(put(at, b"To: <", 5), slot)
        at = self._put_call_id(put(at, b">\r\n", 3), slot)
        at = put(at, b"CSeq: 1 CANCEL\r\nContent-Length: 0\r\n\r\n", 37)
        port_commit(self._port, at - start, &self._target)

    cdef void _send_in_dialog(self, int32_t slot, bint ending) noexcept nogil:
        """ACK of a 2xx, or BYE: along the route set to the callee's Contact (RFC 3261 section 12.2.1.1)."""
        cdef Call *call = &self._calls[slot]
        cdef char *start = port_claim(self._port)
        cdef char *at = put(start, b"BYE ", 4) if ending else put(start, b"ACK ", 4)
        at = put(put(at, call.target, call.target_length), b" SIP/2.0\r\n", 10)
        at = self._put_via(at, slot, c"b" if ending else c"a")
        at = put(at, call.routes, call.routes_length)
        at = self._put_caller(at, slot)
        at = put(put(at, b"To: ", 4), call.callee, call.callee_length)
        at = self._put_call_id(put(at, b"\r\n", 2), slot)
        at = put(at, b"CSeq: 2 BYE\r\n", 13) if ending else put(at, b"CSeq: 1 ACK\r\n", 13)
        at = put(at, b"User-Agent: callsieve load harness\r\nContent-Length: 0\r\n\r\n", 57)
        port_commit(self._port, at - start, &call.next_hop)

    cdef void _acknowledge_rejection(self, Message *message) noexcept nogil:
        """Request-URI, branch, From, Call-ID of the INVITE, To of the response; the INVITE's To is its Request-URI."""
        cdef char *start = port_claim(self._port)
        cdef char *at = put_slice(put(start, b"ACK ", 4), uri_in(message.callee))
        at = put(at, b" SIP/2.0\r\nVia: SIP/2.0/UDP ", 27)
        at = put(put_slice(at, self._local), b";rport;branch=", 14)
        at = put(put_slice(at, message.branch), b"\r\nMax-Forwards: 70\r\nFrom: ", 26)
        at = put(put_slice(at, message.caller), b"\r\nTo: ", 6)
        at = put(put_slice(at, message.callee), b"\r\nCall-ID: ", 11)
        at = put_slice(at, message.call_id)
        at = put(at, b"\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n", 36)
        port_commit(self._port, at - start, &self._target)

    cdef char *_put_identity(self, char *at, int32_t slot) noexcept nogil:
        cdef uint64_t identity = scrambled(slot, self._calls[slot].generation)
        at = put_hex(put_hex(at, self._run), <uint32_t>(identity >> 32))
        return put_hex(at, <uint32_t>identity)

    cdef char *_put_via(self, char *at, int32_t slot, char kind) noexcept nogil:
        """Via with the branch of one transaction: `i` INVITE, `a` ACK of a 2xx, `b` BYE; and Max-Forwards."""
        at = put_slice(put(at, b"Via: SIP/2.0/UDP ", 17), self._local)
        at = self._put_identity(put(at, b";rport;branch=z9hG4bK", 21), slot)
        at[0] = kind
        return put(at + 1, b"\r\nMax-Forwards: 70\r\n", 20)

    cdef char *_put_caller(self, char *at, int32_t slot) noexcept nogil:
        """From; a withheld number as RFC 3323 section 4.1.1.3 has it."""
        cdef const DeckEntry *entry = &self._deck[self._calls[slot].entry]
        if entry.withheld:
            at = put(at, b'From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=', 56)
        else:
            at = put(put(at, b"From: <sip:", 11), entry.caller, entry.caller_length)
            at = put_slice(put(at, b"@", 1), self._host)
            at = put(at, b";user=phone>;tag=", 17)
        return put(self._put_identity(at, slot), b"\r\n", 2)

    cdef char *_put_request_uri(self, char *at, int32_t slot) noexcept nogil:
        cdef const DeckEntry *entry = &self._deck[self._calls[slot].entry]
        at = put(put(at, b"sip:", 4), entry.callee, entry.callee_length)
        return put_slice(put(at, b"@", 1), self._target_host)

    cdef char *_put_call_id(self, char *at, int32_t slot) noexcept nogil:
        at = self._put_identity(put(at, b"Call-ID: ", 9), slot)
        at = put_slice(put(at, b"@", 1), self._host)
        return put(at, b"\r\n", 2)


cdef bint is_labelled(Slice callee) noexcept nogil:
    """Whether the harness's own answering endpoint saw a label: its To tag says so."""
    cdef const char *mark = b";tag=labelled."
    cdef size_t i, length = 14
    if callee.length < length:
        return False
    for i in range(callee.length - length + 1):
        if callee.start[i] == c";":
            return equal_bytes(callee.start + i, mark, length)
    return False


cdef bint equal_bytes(const char *a, const char *b, size_t length) noexcept nogil:
    cdef size_t i
    for i in range(length):
        if a[i] != b[i]:
            return False
    return True


cdef int split_routes(Message *message, Slice *values) noexcept nogil:
    """The Record-Route values in their order: several may share a line. How many, or -1 when they are too many."""
    cdef int line, count = 0
    cdef const char *at
    cdef const char *end
    cdef const char *stop
    for line in range(message.record_routes_count):
        at = message.record_routes[line].start
        end = at + message.record_routes[line].length
        while at < end:
            if count == MAX_LINES:
                return -1
            stop = value_end(at, end)
            values[count].start = at
            values[count].length = stop - at
            count += 1
            at = stop
            while at < end and at[0] in (c",", c" ", c"\t"):
                at += 1
    return count


cdef const char *value_end(const char *at, const char *end) noexcept nogil:
    """The comma that ends a name-addr value, or `end`: within angle brackets or quotes a comma separates nothing."""
    cdef bint quoted = False, bracketed = False
    while at < end and (quoted or bracketed or at[0] != c","):
        if at[0] == c'"':
            quoted = not quoted
        elif not quoted and at[0] in (c"<", c">"):
            bracketed = at[0] == c"<"
        at += 1
    return at
