"""oc, oc-algo, oc-validity and oc-seq in Via headers (RFC 7339 sections 4 and 9)."""

from libc.string cimport memchr, memset

from proxy.outbox cimport literal, put, put_decimal
from proxy.sip.grammar cimport (
    CLASS_BLANK,
    CLASS_TOKEN,
    Slice,
    equal_literal,
    parse_decimal,
    sip_equal_nocase,
    sip_is,
    skip_blank,
    skip_quoted,
    skip_token,
)

cdef enum:
    SEQUENCE_FRACTION = 5    # digits behind the dot (RFC 7339 section 9)

cdef int64_t MAX_VALUE = 1_000_000_000
cdef int64_t MAX_SECONDS = 999_999_999_999

# One `;name[=value]` of a Via.
cdef struct Parameter:
    uint32_t start           # of the semicolon
    uint32_t end
    Slice name
    Slice value              # 0 bytes = none


cdef bint read_overload(const uint8_t* data, const Via* via, OverloadParameters* parameters) noexcept nogil:
    cdef uint32_t at = via.whole.start
    cdef uint32_t end = at + via.whole.size
    cdef Parameter parameter
    memset(parameters, 0, sizeof(OverloadParameters))
    parameters.value = parameters.validity_ms = -1
    while next_parameter(data, at, end, &parameter):
        at = parameter.end
        if is_overload(data, &parameter) and not read_parameter(data, &parameter, parameters):
            memset(parameters, 0, sizeof(OverloadParameters))
            return False
    return True


cdef bint read_parameter(
    const uint8_t* data, const Parameter* parameter, OverloadParameters* parameters
) noexcept nogil:
    cdef const uint8_t* name = data + parameter.name.start
    cdef uint32_t size = parameter.name.size
    cdef Slice value = parameter.value
    if size == 2:
        parameters.offered = True
        parameters.value = parse_decimal(data + value.start, value.size, MAX_VALUE)
        return value.size == 0 or parameters.value >= 0
    if equal_literal(name, size, b"oc-validity"):
        parameters.validity_ms = parse_decimal(data + value.start, value.size, MAX_VALUE)
        return parameters.validity_ms >= 0
    if equal_literal(name, size, b"oc-seq"):
        return read_sequence(data + value.start, value.size, &parameters.sequence)
    if equal_literal(name, size, b"oc-algo"):
        read_algorithms(data, value, parameters)
    return True


# "1282321615.782": seconds and a fraction whose digits are padded to five; the fraction may be missing.
cdef bint read_sequence(const uint8_t* text, uint32_t size, uint64_t* sequence) noexcept nogil:
    cdef const uint8_t* dot = <const uint8_t*>memchr(text, 46, size) if size else NULL
    cdef uint32_t whole = <uint32_t>(dot - text) if dot != NULL else size
    cdef uint32_t digits = size - whole - 1 if dot != NULL else 0
    cdef int64_t seconds = parse_decimal(text, whole, MAX_SECONDS)
    cdef int64_t fraction = parse_decimal(dot + 1, digits, 99_999) if dot != NULL else 0
    if seconds < 0 or fraction < 0 or digits > SEQUENCE_FRACTION:
        return False
    while dot != NULL and digits < SEQUENCE_FRACTION:
        fraction *= 10
        digits += 1
    sequence[0] = <uint64_t>seconds * 100_000 + <uint64_t>fraction
    return True


# "loss" or a list in quotes; names that nobody here knows are passed over.
cdef void read_algorithms(const uint8_t* data, Slice value, OverloadParameters* parameters) noexcept nogil:
    cdef uint32_t at = value.start
    cdef uint32_t end = at + value.size
    cdef uint32_t begin
    cdef uint8_t named
    while at < end:
        begin = at
        at = skip_token(data, at, end)
        named = ALGORITHM_NONE
        if equal_literal(data + begin, at - begin, b"loss"):
            named = ALGORITHM_LOSS
        elif equal_literal(data + begin, at - begin, b"rate"):
            named = ALGORITHM_RATE
        if named:
            parameters.algorithms |= 1 << named
            parameters.preferred = parameters.preferred if parameters.preferred else named
        at += at == begin or at < end


cdef bint mentions_overload(const uint8_t* data, uint32_t start, uint32_t end) noexcept nogil:
    cdef const uint8_t* at = data + start
    cdef const uint8_t* last = data + end
    while at < last:
        at = <const uint8_t*>memchr(at, 59, last - at)
        if at == NULL:
            return False
        at += 1
        while at < last and (sip_is(at[0], CLASS_BLANK) or at[0] == 13 or at[0] == 10):
            at += 1
        if at + 2 <= last and sip_equal_nocase(at, b"oc", 2):
            return True
    return False


cdef void put_without_overload(Writer* writer, const uint8_t* data, uint32_t start, uint32_t end) noexcept nogil:
    cdef uint32_t at = start
    cdef Parameter parameter
    while next_parameter(data, at, end, &parameter):
        at = parameter.end
        if is_overload(data, &parameter):
            put(writer, data + start, parameter.start - start)
            start = at
    put(writer, data + start, end - start)


cdef void put_overload(
    Writer* writer, uint8_t algorithm, uint32_t value, uint32_t validity_ms, uint64_t sequence
) noexcept nogil:
    cdef uint64_t fraction = sequence % 100_000
    cdef uint64_t unit = 10_000
    literal(writer, b";oc=")
    put_decimal(writer, value)
    literal(writer, b';oc-algo="rate"' if algorithm == ALGORITHM_RATE else b';oc-algo="loss"')
    literal(writer, b";oc-validity=")
    put_decimal(writer, validity_ms)
    literal(writer, b";oc-seq=")
    put_decimal(writer, sequence // 100_000)
    literal(writer, b".")
    while unit > fraction and unit > 1:
        literal(writer, b"0")
        unit //= 10
    put_decimal(writer, fraction)


cdef inline bint is_overload(const uint8_t* data, const Parameter* parameter) noexcept nogil:
    cdef const uint8_t* name = data + parameter.name.start
    cdef uint32_t size = parameter.name.size
    return size >= 2 and sip_equal_nocase(name, b"oc", 2) and (size == 2 or name[2] == 45)


# The next parameter from `at` on, wherever in one of several Via values. Values that the parser did not read (lower
# Vias) may be anything: what is no parameter is passed over.
cdef bint next_parameter(const uint8_t* data, uint32_t at, uint32_t end, Parameter* parameter) noexcept nogil:
    cdef uint32_t behind
    while at < end and data[at] != 59:
        behind = skip_quoted(data, at, end) if data[at] == 34 else 0
        at = behind if behind else at + 1
    if at >= end:
        return False
    parameter.start = at
    parameter.name.start = skip_blank(data, at + 1, end)
    at = skip_token(data, parameter.name.start, end)
    parameter.name.size = at - parameter.name.start
    parameter.end = at
    parameter.value.start = at
    parameter.value.size = 0
    at = skip_blank(data, at, end)
    if at < end and data[at] == 61:
        read_value(data, skip_blank(data, at + 1, end), end, parameter)
    return True


# A token, host or quoted-string; the quotes do not count to the value.
cdef void read_value(const uint8_t* data, uint32_t at, uint32_t end, Parameter* parameter) noexcept nogil:
    cdef uint32_t behind
    parameter.value.start = at
    if at < end and data[at] == 34:
        behind = skip_quoted(data, at, end)
        parameter.end = behind if behind else at + 1
        parameter.value.start = at + 1
        parameter.value.size = parameter.end - at - 2 if behind else 0
        return
    while at < end and (sip_is(data[at], CLASS_TOKEN) or data[at] == 58 or data[at] == 91 or data[at] == 93):
        at += 1
    parameter.value.size = at - parameter.value.start
    parameter.end = at


def read_via_overload(bytes via not None):
    """(offered, value, validity_ms, sequence, algorithms) of a Via value, None if unreadable; for tests."""
    cdef OverloadParameters parameters
    cdef Via parsed
    parsed.whole.start = 0
    parsed.whole.size = <uint32_t>len(via)
    if not read_overload(via, &parsed, &parameters):
        return None
    names = {name for bit, name in ((ALGORITHM_LOSS, "loss"), (ALGORITHM_RATE, "rate"))
             if parameters.algorithms >> bit & 1}
    return bool(parameters.offered), parameters.value, parameters.validity_ms, parameters.sequence, names


def without_overload(bytes values not None):
    """Via values without their overload control parameters; for tests."""
    cdef Writer writer
    cdef bytearray room = bytearray(len(values) + 1)
    cdef uint8_t* memory = room
    writer.start = writer.at = memory
    writer.end = memory + len(room)
    writer.full = False
    put_without_overload(&writer, values, 0, <uint32_t>len(values))
    return bytes(room[: writer.at - writer.start])
