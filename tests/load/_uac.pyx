"""The calling endpoint: places calls from a deck at a given rate, or keeps a number of them in flight.

A response finds its call without a table, by the identifiers that `_requests` writes; one that comes after its call is
over finds none. A rejection repeated by the network is acknowledged again even then (RFC 3261 section 17.1.1.3).
Nothing is sent outside the loopback network.
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
from tests.load._dialog cimport learn_dialog
from tests.load._histogram cimport counts_record
from tests.load._message cimport METHOD_BYE, METHOD_CANCEL, METHOD_INVITE, scan, slice_of
from tests.load._requests cimport (
    NUMBER_BYTES,
    parse_branch,
    put_ack_of_rejection,
    put_cancel,
    put_in_dialog,
    put_invite,
    scrambled,
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
    ROUNDS = 8                   # batches received before timers and due calls are looked at
    MOST_AT_ONCE = 256           # calls placed before responses are looked at
    IDLE_US = 5000
    STEP_US = 1000               # the timer wheel's

cdef int64_t T2_US = 4000000
cdef int64_t FOREVER_US = (<int64_t>1 << 62)


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
        self._caller.run = time.monotonic_ns() & 0xFFFFFFFF
        self._caller.host = slice_of(self._host_text)
        self._caller.local = slice_of(self._local_text)
        self._caller.target_host = slice_of(self._target_text)
        self._caller.invite_tail = slice_of(self._invite_tail_text)

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
        return f"{self._caller.run:08x}"

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
        cdef int i, count, _
        cdef int64_t now_us
        for _ in range(ROUNDS):
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
        call.cancel_answered = call.dialog.labelled = False
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
        cdef uint32_t slot, generation
        if parse_branch(message.branch, self._caller.run, &slot, &generation) < 0 or slot >= <uint32_t>self._capacity:
            return -1
        if self._calls[slot].generation != generation or self._calls[slot].state == IDLE:
            return -1
        return <int32_t>slot

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
        if learn_dialog(&call.dialog, message, &self._target) < 0:
            self._counts.unexpected += 1
            self._finish(slot, 0, now_us)
            return
        self._send_in_dialog(slot, False)
        call.state = TALKING
        if talk_us:
            wheel_arm(&self._wheel, slot, now_us + talk_us)
        else:
            self._hang_up(slot, now_us)

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
            self._labelled[family] += call.dialog.labelled
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
        record.labelled = call.dialog.labelled
        self._records_written += 1

    cdef void _send_invite(self, int32_t slot) noexcept nogil:
        cdef Call *call = &self._calls[slot]
        cdef char *start = port_claim(self._port)
        cdef char *end = put_invite(start, &self._caller, &self._deck[call.entry], scrambled(slot, call.generation))
        port_commit(self._port, end - start, &self._target)

    cdef void _send_cancel(self, int32_t slot) noexcept nogil:
        cdef Call *call = &self._calls[slot]
        cdef char *start = port_claim(self._port)
        cdef char *end = put_cancel(start, &self._caller, &self._deck[call.entry], scrambled(slot, call.generation))
        port_commit(self._port, end - start, &self._target)

    cdef void _send_in_dialog(self, int32_t slot, bint ending) noexcept nogil:
        """ACK of a 2xx, or BYE."""
        cdef Call *call = &self._calls[slot]
        cdef char *start = port_claim(self._port)
        cdef char *end = put_in_dialog(
            start, &self._caller, &self._deck[call.entry], scrambled(slot, call.generation), &call.dialog, ending
        )
        port_commit(self._port, end - start, &call.dialog.next_hop)

    cdef void _acknowledge_rejection(self, Message *message) noexcept nogil:
        cdef char *start = port_claim(self._port)
        port_commit(self._port, put_ack_of_rejection(start, &self._caller, message) - start, &self._target)
