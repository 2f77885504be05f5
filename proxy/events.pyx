"""Event records as control reads them: batches of the C `Event`, written as JSON lines without a Python object a call.

A line is put together in a buffer on the stack from pieces that are bounded by construction: wire texts by the size of
the record, names by MAX_NAME. Names come ready as JSON from the generation that decided the call.
"""

import json
from typing import NamedTuple

cimport cython

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset, strlen

from engine._decision cimport (
    ACTION_DROP,
    ASKED_IN_VAIN,
    BASIS_COUNT,
    KIND_INVALID,
    KIND_NONE,
    MAX_REASONS,
    NO_LABEL,
    NO_RULE,
    number_t,
)
from engine._numbers cimport number_kind, number_text
from proxy.events cimport EVENT_CALL_ID, EVENT_ENDED, EVENT_SCREENED, EVENT_TEXT, Event

cdef extern from "arpa/inet.h" nogil:
    int AF_INET6
    const char* inet_ntop(int family, const void* address, char* out, unsigned int size)

cdef enum:
    NO_GATEWAY = 0xFFFF
    ACTIONS = ACTION_DROP + 1
    DIVERSIONS = 8
    MAX_NAME = 128                  # characters of a name that a line shows
    GENERATIONS = 4                 # whose names are kept: a call may outlive a reload or two
    NAME_BYTES = 6 * MAX_NAME + 2   # as JSON, every character escaped
    WIRE_BYTES = 6 * (3 * EVENT_TEXT + EVENT_CALL_ID)
    LINE_BYTES = 1024 + WIRE_BYTES + (6 + MAX_REASONS) * (NAME_BYTES + 64)
    SCRATCH_BYTES = 65536

EVENT_BYTES = sizeof(Event)
ACTION_NAMES = ("accept", "tag", "divert", "reject", "drop")
DIVERSION_NAMES = (
    "", "unknown", "unconditional", "user-busy", "no-answer", "deflection", "unavailable", "other"
)
BASIS_NAMES = ("none", "analytics", "dno", "invalid", "subscriber", "policy", "overload", "security")

cdef const char** ACTION_JSON = [b'"accept"', b'"tag"', b'"divert"', b'"reject"', b'"drop"']
cdef const char** BASIS_JSON = [
    b'"none"', b'"analytics"', b'"dno"', b'"invalid"', b'"subscriber"', b'"policy"', b'"overload"', b'"security"'
]
# In the order of DiversionReason (proxy/sip/diversion.pxd); the first is for a call that nobody diverted.
cdef const char** DIVERSION_JSON = [
    b"null", b'"unknown"', b'"unconditional"', b'"user-busy"', b'"no-answer"', b'"deflection"', b'"unavailable"', b'"other"'
]
cdef const char** RELEASED_JSON = [b"null", b'"caller"', b'"callee"']
cdef const char* HEX = b"0123456789abcdef"
cdef const char* BASE32 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"   # RFC 4648 section 6


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
        event.released_by, event.ring_ms, event.talk_ms = self.released_by, self.ring_ms, self.talk_ms
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


# ---------------------------------------------------------------------------------------------------------- names

@cython.final
cdef class NameList:
    """Names as JSON strings, found by index."""
    cdef list texts
    cdef const char** pointers
    cdef Py_ssize_t* lengths
    cdef Py_ssize_t count

    def __cinit__(self, names):
        self.texts = [json.dumps(name[:MAX_NAME], ensure_ascii=False).encode("utf-8", "replace") for name in names]
        self.count = len(self.texts)
        self.pointers = <const char**>PyMem_Malloc(max(self.count, 1) * sizeof(char*))
        self.lengths = <Py_ssize_t*>PyMem_Malloc(max(self.count, 1) * sizeof(Py_ssize_t))
        if not self.pointers or not self.lengths:
            raise MemoryError
        for i in range(self.count):
            text = self.texts[i]
            self.pointers[i], self.lengths[i] = PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)

    def __dealloc__(self):
        PyMem_Free(self.pointers)
        PyMem_Free(self.lengths)

    cdef uint8_t* put(self, uint8_t* at, uint32_t index) noexcept:
        if index < self.count:
            memcpy(at, self.pointers[index], self.lengths[index])
            return at + self.lengths[index]
        # The generation is no longer known: its index is all that is left to say.
        return put_text(put_unsigned(put_text(at, b'"#'), index), b'"')


@cython.final
cdef class GenerationNames:
    """What the indices of one generation's events stand for."""
    cdef uint32_t generation
    cdef NameList trunks, gateways, rules, reasons, labels

    def __cinit__(self, generation, trunks, gateways, rules, reasons, labels):
        self.generation = generation
        self.trunks, self.gateways = NameList(trunks), NameList(gateways)
        self.rules, self.reasons, self.labels = NameList(rules), NameList(reasons), NameList(labels)


@cython.final
cdef class EventNames:
    cdef bytes node
    cdef bint mask_numbers
    cdef list generations        # newest first
    cdef GenerationNames unknown

    def __init__(self, node, *, mask_numbers=False):
        self.node = json.dumps(node[:MAX_NAME], ensure_ascii=False).encode("utf-8", "replace")
        self.mask_numbers = mask_numbers
        self.generations = []
        self.unknown = GenerationNames(0, (), (), (), (), ())

    def add(self, generation, *, trunks, gateways, rules, reasons, labels):
        added = GenerationNames(generation, trunks, gateways, rules, reasons, labels)
        kept = [names for names in self.generations if (<GenerationNames>names).generation != added.generation]
        self.generations = [added, *kept][:GENERATIONS]

    def knows(self, uint32_t generation):
        return self.of(generation) is not self.unknown

    cdef GenerationNames of(self, uint32_t generation):
        cdef GenerationNames names
        for names in self.generations:
            if names.generation == generation:
                return names
        return self.unknown


# -------------------------------------------------------------------------------------------------------- batches

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
    cdef bytes data
    cdef const Event* events
    cdef Py_ssize_t count

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

    def write_decisions(self, EventNames names not None, bytearray out not None):
        return self.write(EVENT_SCREENED, names, out)

    def write_calls(self, EventNames names not None, bytearray out not None):
        return self.write(EVENT_ENDED, names, out)

    cdef Py_ssize_t write(self, uint16_t type, EventNames names, bytearray out) except -1:
        cdef uint8_t scratch[SCRATCH_BYTES]
        cdef uint8_t* at = scratch
        cdef GenerationNames generation = None
        cdef Py_ssize_t lines = 0
        cdef const Event* event
        for i in range(self.count):
            event = &self.events[i]
            if event.type != type:
                continue
            if generation is None or generation.generation != event.generation:
                generation = names.of(event.generation)
            if type == EVENT_SCREENED:
                at = put_decision(at, event, names, generation)
            else:
                at = put_call(at, event, names, generation)
            lines += 1
            if at - scratch > SCRATCH_BYTES - LINE_BYTES:
                append(out, scratch, at - scratch)
                at = scratch
        append(out, scratch, at - scratch)
        return lines


cdef int append(bytearray out, const uint8_t* text, Py_ssize_t length) except -1:
    cdef Py_ssize_t before = PyByteArray_GET_SIZE(out)
    PyByteArray_Resize(out, before + length)
    memcpy(PyByteArray_AS_STRING(out) + before, text, length)
    return 0


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


# ---------------------------------------------------------------------------------------------------------- lines

cdef uint8_t* put_decision(
    uint8_t* at, const Event* event, EventNames names, GenerationNames generation
) noexcept:
    at = put_time(put_text(at, b'{"time":"'), event.time_us)
    at = put_text(at, b'","node":')
    memcpy(at, PyBytes_AS_STRING(names.node), PyBytes_GET_SIZE(names.node))
    at = put_ids(at + PyBytes_GET_SIZE(names.node), event, generation)
    at = put_source(put_text(at, b',"source":"'), event)
    at = put_number(put_text(at, b'","caller":'), event.caller, names.mask_numbers)
    at = put_text(at, b',"presented":')
    at = put_wire(at, event.caller_text, min(event.caller_length, EVENT_TEXT), names.mask_numbers)
    at = put_callee(put_text(at, b',"callee":'), event, names.mask_numbers)
    at = put_text(at, b',"diverted_by":')
    if event.diversion == 0:
        at = put_text(at, b"null")
    else:
        at = put_number(at, event.diverter, names.mask_numbers)
    at = put_text(put_text(at, b',"diversion":'), DIVERSION_JSON[min(event.diversion, DIVERSIONS - 1)])
    at = put_text(at, b',"user_agent":')
    at = put_wire(at, event.user_agent, min(event.user_agent_length, EVENT_TEXT), False)
    at = put_text(put_text(at, b',"action":'), ACTION_JSON[min(event.verdict.action, ACTION_DROP)])
    at = put_unsigned_or_null(put_text(at, b',"status":'), event.status)
    at = put_text(put_text(at, b',"basis":'), BASIS_JSON[min(event.verdict.basis, BASIS_COUNT - 1)])
    at = put_rule(put_text(at, b',"rule":'), event.verdict.rule, generation)
    at = put_unsigned(put_text(at, b',"score":'), event.verdict.score)
    at = put_text(at, b',"label":')
    at = put_text(at, b"null") if event.verdict.label == NO_LABEL else generation.labels.put(at, event.verdict.label)
    at = put_reasons(put_text(at, b',"reasons":['), event, generation)
    at = put_text(at, b'],"redress_id":')
    if event.verdict.redress:
        at = put_text(put_redress(put_text(at, b'"'), event.verdict.redress), b'"')
    else:
        at = put_text(at, b"null")
    at = put_text(put_text(at, b',"observed":'), ACTION_JSON[min(event.verdict.observed, ACTION_DROP)])
    at = put_rule(put_text(at, b',"observed_rule":'), event.verdict.observed_rule, generation)
    at = put_gateway(put_text(at, b',"gateway":'), event, generation)
    at = put_unsigned(put_text(at, b',"generation":'), event.generation)
    return put_text(at, b"}\n")


cdef uint8_t* put_call(uint8_t* at, const Event* event, EventNames names, GenerationNames generation) noexcept:
    at = put_time(put_text(at, b'{"time":"'), event.time_us)
    at = put_ids(put_text(at, b'"'), event, generation)
    at = put_number(put_text(at, b',"caller":'), event.caller, names.mask_numbers)
    at = put_callee(put_text(at, b',"callee":'), event, names.mask_numbers)
    at = put_gateway(put_text(at, b',"gateway":'), event, generation)
    at = put_unsigned_or_null(put_text(at, b',"status":'), event.status)
    at = put_seconds(put_text(at, b',"ring_s":'), event.ring_ms)
    at = put_seconds(put_text(at, b',"talk_s":'), event.talk_ms)
    at = put_text(put_text(at, b',"released_by":'), RELEASED_JSON[event.released_by if event.released_by < 3 else 0])
    at = put_text(put_text(at, b',"action":'), ACTION_JSON[min(event.verdict.action, ACTION_DROP)])
    return put_text(at, b"}\n")


cdef uint8_t* put_ids(uint8_t* at, const Event* event, GenerationNames generation) noexcept:
    at = put_hex(put_text(at, b',"call":"'), event.call)
    at = put_wire(put_text(at, b'","call_id":'), event.call_id, min(event.call_id_length, EVENT_CALL_ID), False)
    return generation.trunks.put(put_text(at, b',"trunk":'), event.trunk)


cdef uint8_t* put_gateway(uint8_t* at, const Event* event, GenerationNames generation) noexcept:
    return put_text(at, b"null") if event.gateway == NO_GATEWAY else generation.gateways.put(at, event.gateway)


cdef uint8_t* put_rule(uint8_t* at, uint16_t rule, GenerationNames generation) noexcept:
    return put_text(at, b"null") if rule == NO_RULE else generation.rules.put(at, rule)


cdef uint8_t* put_reasons(uint8_t* at, const Event* event, GenerationNames generation) noexcept:
    cdef uint8_t asked
    for i in range(min(event.verdict.reasons_count, MAX_REASONS)):
        if i:
            at = put_text(at, b",")
        at = generation.reasons.put(put_text(at, b'{"name":'), event.verdict.reasons[i].name)
        at = put_text(at, b',"points":')
        at = put_signed(at, event.verdict.reasons[i].points)
        asked = event.verdict.asked[i]
        if asked & ~ASKED_IN_VAIN:
            at = put_text(put_text(at, b',"asks":'), ACTION_JSON[min(asked & ~ASKED_IN_VAIN, ACTION_DROP)])
        if asked & ASKED_IN_VAIN:
            at = put_text(at, b',"observed":true')
        at = put_text(at, b"}")
    return at


# --------------------------------------------------------------------------------------------------------- pieces

cdef inline uint8_t* put_text(uint8_t* at, const char* text) noexcept nogil:
    cdef size_t length = strlen(text)
    memcpy(at, text, length)
    return at + length


cdef uint8_t* put_unsigned(uint8_t* at, uint64_t value) noexcept nogil:
    cdef uint8_t digits[20]
    cdef int start = 20
    while True:
        start -= 1
        digits[start] = <uint8_t>(c'0' + value % 10)
        value //= 10
        if not value:
            break
    memcpy(at, digits + start, 20 - start)
    return at + 20 - start


cdef uint8_t* put_signed(uint8_t* at, int value) noexcept nogil:
    return put_unsigned(put_text(at, b"-"), -value) if value < 0 else put_unsigned(at, value)


cdef uint8_t* put_unsigned_or_null(uint8_t* at, uint64_t value) noexcept nogil:
    return put_unsigned(at, value) if value else put_text(at, b"null")


cdef inline uint8_t* put_digits(uint8_t* at, uint32_t value, int width) noexcept nogil:
    cdef int i
    for i in range(width - 1, -1, -1):
        at[i] = <uint8_t>(c'0' + value % 10)
        value //= 10
    return at + width


cdef uint8_t* put_seconds(uint8_t* at, uint32_t milliseconds) noexcept nogil:
    return put_digits(put_text(put_unsigned(at, milliseconds // 1000), b"."), milliseconds % 1000, 3)


cdef uint8_t* put_hex(uint8_t* at, uint64_t value) noexcept nogil:
    cdef int i
    for i in range(16):
        at[i] = HEX[(value >> (60 - 4 * i)) & 15]
    return at + 16


cdef uint8_t* put_redress(uint8_t* at, uint64_t value) noexcept nogil:
    cdef int i
    for i in range(12):
        at[i] = BASE32[(value >> (59 - 5 * i)) & 31]
    at[12] = BASE32[(value << 1) & 31]
    return at + 13


cdef uint8_t* put_time(uint8_t* at, int64_t time_us) noexcept nogil:
    # Days to year, month, day in the proleptic Gregorian calendar, with years that begin on 1 March so that the
    # leap day is a year's last: day of the 400-year era -> year of the era -> day of the year -> month.
    cdef int64_t seconds = time_us // 1_000_000
    cdef uint32_t days = <uint32_t>(seconds // 86400) + 719468     # from 0000-03-01 to 1970-01-01
    cdef uint32_t second = <uint32_t>(seconds % 86400)
    cdef uint32_t era_day = days % 146097
    cdef uint32_t era_year = (era_day - era_day // 1460 + era_day // 36524 - era_day // 146096) // 365
    cdef uint32_t year_day = era_day - (365 * era_year + era_year // 4 - era_year // 100)
    cdef uint32_t march_month = (5 * year_day + 2) // 153
    cdef uint32_t day = year_day - (153 * march_month + 2) // 5 + 1
    cdef uint32_t month = march_month + 3 if march_month < 10 else march_month - 9
    cdef uint32_t year = days // 146097 * 400 + era_year + (1 if month <= 2 else 0)
    at = put_digits(put_text(put_digits(at, year, 4), b"-"), month, 2)
    at = put_digits(put_text(put_digits(put_text(at, b"-"), day, 2), b"T"), second // 3600, 2)
    at = put_digits(put_text(at, b":"), second // 60 % 60, 2)
    at = put_digits(put_text(at, b":"), second % 60, 2)
    return put_text(put_digits(put_text(at, b"."), <uint32_t>(time_us % 1_000_000), 6), b"Z")


cdef uint8_t* put_source(uint8_t* at, const Event* event) noexcept nogil:
    cdef int i
    if event.source_family == 4:
        for i in range(4):
            at = put_unsigned(put_text(at, b".") if i else at, event.source_ip[i])
    else:
        at = put_text(at, b"[")
        inet_ntop(AF_INET6, event.source_ip, <char*>at, 46)
        at = put_text(at + strlen(<const char*>at), b"]")
    return put_unsigned(put_text(at, b":"), event.source_port)


cdef uint8_t* put_number(uint8_t* at, number_t number, bint mask) noexcept nogil:
    cdef uint8_t text[24]
    cdef int length = number_text(number, text)
    if mask:
        mask_digits(text, length)
    at = put_text(at, b'"')
    memcpy(at, text, length)
    return put_text(at + length, b'"')


cdef uint8_t* put_callee(uint8_t* at, const Event* event, bint mask) noexcept nogil:
    if number_kind(event.callee) == KIND_NONE or number_kind(event.callee) == KIND_INVALID:
        return put_wire(at, event.callee_text, min(event.callee_length, EVENT_TEXT), mask)
    return put_number(at, event.callee, mask)


cdef uint8_t* put_wire(uint8_t* at, const char* text, Py_ssize_t length, bint mask) noexcept nogil:
    """Bytes from the wire as a JSON string (RFC 8259 section 7).

    Control characters are escaped, those of ISO 6429 and DEL too; each ill-formed UTF-8 sequence becomes U+FFFD.
    """
    cdef uint8_t copy[EVENT_CALL_ID]
    cdef const uint8_t* source = <const uint8_t*>text
    cdef Py_ssize_t i = 0
    cdef int size
    if mask:
        memcpy(copy, text, length)
        mask_digits(copy, length)
        source = copy
    at = put_text(at, b'"')
    while i < length:
        if 0x20 <= source[i] < 0x7F and source[i] != c'"' and source[i] != c'\\':
            at[0] = source[i]
            at += 1
            i += 1
        elif source[i] < 0x80:
            at = put_escaped(at, source[i])
            i += 1
        else:
            size = utf8_size(source + i, length - i)
            if size == 2 and source[i] == 0xC2 and source[i + 1] < 0xA0:
                at = put_escaped(at, source[i + 1])      # U+0080 to U+009F: terminals act on them
                i += 2
            elif size > 0:
                memcpy(at, source + i, size)
                at += size
                i += size
            else:
                at = put_text(at, b"\xef\xbf\xbd")
                i -= size
    return put_text(at, b'"')


cdef uint8_t* put_escaped(uint8_t* at, uint8_t byte) noexcept nogil:
    if byte == c'"' or byte == c'\\':
        at[0], at[1] = c'\\', byte
        return at + 2
    at = put_text(at, b"\\u00")
    at[0], at[1] = HEX[byte >> 4], HEX[byte & 15]
    return at + 2


cdef int utf8_size(const uint8_t* text, Py_ssize_t length) noexcept nogil:
    """Bytes of the well-formed sequence at `text` (Unicode 15 table 3-7), or minus those of its ill-formed start."""
    cdef uint8_t lead = text[0], low = 0x80, high = 0xBF
    cdef int size, i
    if 0xC2 <= lead <= 0xDF:
        size = 2
    elif 0xE0 <= lead <= 0xEF:
        size = 3
        if lead == 0xE0:
            low = 0xA0
        elif lead == 0xED:
            high = 0x9F
    elif 0xF0 <= lead <= 0xF4:
        size = 4
        if lead == 0xF0:
            low = 0x90
        elif lead == 0xF4:
            high = 0x8F
    else:
        return -1
    for i in range(1, size):
        if i >= length or not low <= text[i] <= high:
            return -i
        low, high = 0x80, 0xBF
    return size


cdef void mask_digits(uint8_t* text, Py_ssize_t length) noexcept nogil:
    """The last four digits of every number in `text` become x; visual separators (RFC 3966) do not end a number."""
    cdef Py_ssize_t i
    cdef int masked = 0
    for i in range(length - 1, -1, -1):
        if c'0' <= text[i] <= c'9':
            if masked < 4:
                text[i] = c'x'
                masked += 1
        elif text[i] not in (c'-', c'.', c'(', c')', c' '):
            masked = 0
