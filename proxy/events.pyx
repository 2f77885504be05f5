"""Event records as control reads them: batches of the C `Event`, and what is counted of them."""

from typing import NamedTuple

cimport cython

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from engine._decision cimport ACTION_DROP, BASIS_COUNT, MAX_REASONS, NO_LABEL, NO_RULE
from proxy.events cimport EVENT_CALL_ID, EVENT_ENDED, EVENT_SCREENED, EVENT_TEXT, NO_GATEWAY, Event

cdef enum:
    ACTIONS = ACTION_DROP + 1

EVENT_BYTES = sizeof(Event)
ACTION_NAMES = ("accept", "tag", "divert", "reject", "drop")
DIVERSION_NAMES = (
    "", "unknown", "unconditional", "user-busy", "no-answer", "deflection", "unavailable", "other"
)
BASIS_NAMES = ("none", "analytics", "dno", "invalid", "subscriber", "policy", "overload", "security")


class EventRecord(NamedTuple):
    """One `Event` in Python; reasons are (index of the name, points, what it asks for)."""

    type: int
    time_us: int
    call: int
    call_id: bytes = b""
    generation: int = 1
    trunk: int = 0
    caller: int = 0
    callee: int = 0
    caller_text: bytes = b""
    callee_text: bytes = b""
    user_agent: bytes = b""
    source_ip: bytes = b"\x7f\x00\x00\x01"
    source_port: int = 5060
    gateway: int = NO_GATEWAY
    status: int = 0
    setup_ms: int = 0
    ring_ms: int = 0
    talk_ms: int = 0
    released_by: int = 0
    action: int = 0
    basis: int = 0
    verdict_status: int = 0
    rule: int = NO_RULE
    score: int = 0
    label: int = NO_LABEL
    observed: int = 0
    observed_rule: int = NO_RULE
    redress: int = 0
    diverter: int = 0
    diversion: int = 0
    unwanted: bool = False
    reasons: tuple = ()

    def pack(self) -> bytes:
        cdef Event event
        memset(&event, 0, sizeof(Event))
        event.type, event.trunk, event.generation = self.type, self.trunk, self.generation
        event.time_us, event.call, event.caller, event.callee = self.time_us, self.call, self.caller, self.callee
        event.status, event.source_port, event.gateway = self.status, self.source_port, self.gateway
        event.released_by, event.setup_ms = self.released_by, self.setup_ms
        event.ring_ms, event.talk_ms = self.ring_ms, self.talk_ms
        event.source_family = 4 if len(self.source_ip) == 4 else 6
        memcpy(event.source_ip, PyBytes_AS_STRING(self.source_ip), 4 if event.source_family == 4 else 16)
        event.verdict.action, event.verdict.basis, event.verdict.status = self.action, self.basis, self.verdict_status
        event.verdict.rule, event.verdict.score, event.verdict.label = self.rule, self.score, self.label
        event.verdict.observed, event.verdict.redress = self.observed, self.redress
        event.verdict.observed_rule = self.observed_rule
        event.diverter, event.diversion, event.unwanted = self.diverter, self.diversion, self.unwanted
        event.verdict.reasons_count = min(len(self.reasons), MAX_REASONS)
        for i, (name, points, asked) in enumerate(self.reasons[:MAX_REASONS]):
            event.verdict.reasons[i].name, event.verdict.reasons[i].points = name, points
            event.verdict.asked[i] = asked
        event.caller_length = _copy_text(event.caller_text, EVENT_TEXT, self.caller_text)
        event.callee_length = _copy_text(event.callee_text, EVENT_TEXT, self.callee_text)
        event.user_agent_length = _copy_text(event.user_agent, EVENT_TEXT, self.user_agent)
        event.call_id_length = _copy_text(event.call_id, EVENT_CALL_ID, self.call_id)
        return PyBytes_FromStringAndSize(<const char*>&event, sizeof(Event))


@cython.final
cdef class VerdictTally:
    """Calls counted by (action, basis), ended calls by class of their final status."""
    cdef uint64_t decided[ACTIONS][BASIS_COUNT]
    cdef uint64_t ended[7]

    def __cinit__(self):
        memset(self.decided, 0, sizeof(self.decided))
        memset(self.ended, 0, sizeof(self.ended))

    cdef void count(self, const Event* event) noexcept:
        if event.type == EVENT_SCREENED:
            self.decided[min(event.verdict.action, ACTION_DROP)][min(event.verdict.basis, BASIS_COUNT - 1)] += 1
        elif event.type == EVENT_ENDED:
            self.ended[min(event.status // 100, 6)] += 1

    def verdicts(self):
        return {
            (action, basis): self.decided[i][j]
            for i, action in enumerate(ACTION_NAMES)
            for j, basis in enumerate(BASIS_NAMES)
        }

    def ended_calls(self):
        return {("none" if i == 0 else f"{i}xx"): self.ended[i] for i in range(7)}


@cython.final
cdef class EventBatch:
    def __cinit__(self, bytes data not None):
        if len(data) % sizeof(Event):
            raise ValueError(f"{len(data)} bytes are no whole number of {sizeof(Event)}-byte events")
        self.data = data
        self.events = <const Event*>PyBytes_AS_STRING(data)
        self.count = len(data) // sizeof(Event)

    def __len__(self):
        return self.count

    def __iter__(self):
        for i in range(self.count):
            yield _record(&self.events[i])

    def generations(self):
        cdef set found = set()
        cdef uint32_t last = 0
        for i in range(self.count):
            if i == 0 or self.events[i].generation != last:
                last = self.events[i].generation
                found.add(last)
        return found

    def forwarded(self):
        cdef const Event* event
        for i in range(self.count):
            event = &self.events[i]
            if (event.type == EVENT_SCREENED and event.status == 0) or (event.type == EVENT_ENDED and event.unwanted):
                call_id = event.call_id[:min(event.call_id_length, EVENT_CALL_ID)]
                yield call_id, event.caller, event.callee, event.time_us, event.type == EVENT_ENDED

    def tally(self, VerdictTally tally not None):
        for i in range(self.count):
            tally.count(&self.events[i])


cdef uint8_t _copy_text(char* out, Py_ssize_t size, bytes text) except? 255:
    cdef Py_ssize_t length = min(<Py_ssize_t>len(text), size)
    memcpy(out, PyBytes_AS_STRING(text), length)
    return <uint8_t>length


cdef object _record(const Event* event):
    return EventRecord(
        type=event.type,
        time_us=event.time_us,
        call=event.call,
        call_id=event.call_id[:min(event.call_id_length, EVENT_CALL_ID)],
        generation=event.generation,
        trunk=event.trunk,
        caller=event.caller,
        callee=event.callee,
        caller_text=event.caller_text[:min(event.caller_length, EVENT_TEXT)],
        callee_text=event.callee_text[:min(event.callee_length, EVENT_TEXT)],
        user_agent=event.user_agent[:min(event.user_agent_length, EVENT_TEXT)],
        source_ip=(<const char*>event.source_ip)[:4 if event.source_family == 4 else 16],
        source_port=event.source_port,
        gateway=event.gateway,
        status=event.status,
        setup_ms=event.setup_ms,
        ring_ms=event.ring_ms,
        talk_ms=event.talk_ms,
        released_by=event.released_by,
        action=event.verdict.action,
        basis=event.verdict.basis,
        verdict_status=event.verdict.status,
        rule=event.verdict.rule,
        score=event.verdict.score,
        label=event.verdict.label,
        observed=event.verdict.observed,
        observed_rule=event.verdict.observed_rule,
        redress=event.verdict.redress,
        diverter=event.diverter,
        diversion=event.diversion,
        unwanted=bool(event.unwanted),
        reasons=tuple(
            (event.verdict.reasons[i].name, event.verdict.reasons[i].points, event.verdict.asked[i])
            for i in range(min(event.verdict.reasons_count, MAX_REASONS))
        ),
    )
