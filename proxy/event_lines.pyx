"""Events as JSON lines, written without a Python object a call.

A line is put together in a buffer on the stack from pieces that are bounded by construction: wire texts by the size of
the record, names by MAX_NAME. Names come ready as JSON from the generation that decided the call.
"""

import json

cimport cython

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, strlen

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
from proxy.events cimport EVENT_CALL_ID, EVENT_ENDED, EVENT_SCREENED, EVENT_TEXT, NO_GATEWAY, Event, EventBatch
from proxy.json_line cimport (
    mask_digits,
    put_hex,
    put_seconds,
    put_signed,
    put_text,
    put_time,
    put_unsigned,
    put_unsigned_or_null,
    put_wire,
)

cdef extern from "arpa/inet.h" nogil:
    int AF_INET6
    const char* inet_ntop(int family, const void* address, char* out, unsigned int size)

cdef enum:
    DIVERSIONS = 8
    MAX_NAME = 128                  # characters of a name that a line shows
    GENERATIONS = 4                 # whose names are kept: a call may outlive a reload or two
    NAME_BYTES = 6 * MAX_NAME + 2   # as JSON, every character escaped
    WIRE_BYTES = 6 * (3 * EVENT_TEXT + EVENT_CALL_ID)
    LINE_BYTES = 1024 + WIRE_BYTES + (6 + MAX_REASONS) * (NAME_BYTES + 64)
    SCRATCH_BYTES = 65536

cdef const char** ACTION_JSON = [b'"accept"', b'"tag"', b'"divert"', b'"reject"', b'"drop"']
cdef const char** BASIS_JSON = [
    b'"none"', b'"analytics"', b'"dno"', b'"invalid"', b'"subscriber"', b'"policy"', b'"overload"', b'"security"'
]
# In the order of DiversionReason (proxy/sip/diversion.pxd); the first is for a call that nobody diverted.
cdef const char** DIVERSION_JSON = [
    b"null", b'"unknown"', b'"unconditional"', b'"user-busy"', b'"no-answer"', b'"deflection"',
    b'"unavailable"', b'"other"'
]
cdef const char** RELEASED_JSON = [b"null", b'"caller"', b'"callee"']
cdef const char* BASE32 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"   # RFC 4648 section 6


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


def write_decisions(EventBatch batch not None, EventNames names not None, bytearray out not None):
    return write(batch, EVENT_SCREENED, names, out)


def write_calls(EventBatch batch not None, EventNames names not None, bytearray out not None):
    return write(batch, EVENT_ENDED, names, out)


cdef Py_ssize_t write(EventBatch batch, uint16_t type, EventNames names, bytearray out) except -1:
    cdef uint8_t scratch[SCRATCH_BYTES]
    cdef uint8_t* at = scratch
    cdef GenerationNames generation = None
    cdef Py_ssize_t lines = 0
    cdef const Event* event
    for i in range(batch.count):
        event = &batch.events[i]
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
    at = put_text(at, b',"setup_s":')
    at = put_seconds(at, event.setup_ms) if event.setup_ms else put_text(at, b"null")
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


cdef uint8_t* put_redress(uint8_t* at, uint64_t value) noexcept nogil:
    cdef int i
    for i in range(12):
        at[i] = BASE32[(value >> (59 - 5 * i)) & 31]
    at[12] = BASE32[(value << 1) & 31]
    return at + 13


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
