"""The top Via: who answers go back to, and which transaction they belong to."""

from libc.string cimport memset

from proxy.sip.address cimport Address, parse_ip
from proxy.sip.grammar cimport (
    CLASS_DIGIT,
    CLASS_HOST,
    CLASS_TOKEN,
    equal_literal,
    parse_decimal,
    sip_equal_nocase,
    sip_is,
    skip_blank,
    skip_ipv6,
    skip_quoted,
    skip_token,
)


cdef bint parse_via(const uint8_t* data, uint32_t start, uint32_t end, Via* via) noexcept nogil:
    cdef uint32_t at
    memset(via, 0, sizeof(Via))
    via.port = -1
    at = parse_protocol(data, start, end, via)
    if at == 0:
        return False
    at = parse_sent_by(data, at, end, via)
    if at == 0:
        return False
    while True:
        at = skip_blank(data, at, end)
        if at == end or data[at] == 44:
            break
        if data[at] != 59:
            return False
        at = parse_via_parameter(data, at, end, via)
        if at == 0:
            return False
    via.is_last = at == end
    via.whole.start = start
    via.whole.size = at - start
    return True


# "SIP / 2.0 / UDP": blanks around the slashes are legal. Offset behind it, 0 = malformed.
cdef uint32_t parse_protocol(const uint8_t* data, uint32_t at, uint32_t end, Via* via) noexcept nogil:
    cdef uint32_t begin = at
    at = skip_token(data, at, end)
    if not equal_literal(data + begin, at - begin, b"sip"):
        return 0
    at = skip_slash(data, at, end)
    begin = at
    at = skip_token(data, at, end)
    if not equal_literal(data + begin, at - begin, b"2.0"):
        return 0
    at = skip_slash(data, at, end)
    if at == 0:
        return 0
    via.transport.start = at
    at = skip_token(data, at, end)
    via.transport.size = at - via.transport.start
    begin = at
    at = skip_blank(data, at, end)
    return at if via.transport.size and at > begin else 0


cdef uint32_t skip_slash(const uint8_t* data, uint32_t at, uint32_t end) noexcept nogil:
    at = skip_blank(data, at, end)
    if at == end or data[at] != 47:
        return end           # nothing parses from there
    return skip_blank(data, at + 1, end)


cdef uint32_t parse_sent_by(const uint8_t* data, uint32_t at, uint32_t end, Via* via) noexcept nogil:
    cdef uint32_t begin = at
    cdef Address address
    if at < end and data[at] == 91:
        at = skip_ipv6(data, at, end)
        if at == 0 or not parse_ip(data + begin, at - begin, &address):
            return 0
    else:
        while at < end and sip_is(data[at], CLASS_HOST):
            at += 1
    via.host.start = begin
    via.host.size = at - begin
    if via.host.size == 0:
        return 0
    begin = skip_blank(data, at, end)
    if begin == end or data[begin] != 58:
        return at
    at = skip_blank(data, begin + 1, end)
    begin = at
    while at < end and sip_is(data[at], CLASS_DIGIT):
        at += 1
    via.port = <int>parse_decimal(data + begin, at - begin, 65535)
    return at if via.port >= 0 else 0


# One ";name[=value]" that opens at `at`. Offset behind it, 0 = malformed.
cdef uint32_t parse_via_parameter(const uint8_t* data, uint32_t at, uint32_t end, Via* via) noexcept nogil:
    cdef uint32_t opening = at
    cdef uint32_t name, name_size, value, value_end
    name = skip_blank(data, at + 1, end)
    at = skip_token(data, name, end)
    name_size = at - name
    if name_size == 0:
        return 0
    value = value_end = at
    at = skip_blank(data, at, end)
    if at < end and data[at] == 61:
        value = skip_blank(data, at + 1, end)
        value_end = skip_parameter_value(data, value, end)
        if value_end <= value:
            return 0
        at = value_end
    else:
        at = value
    if name_size == 6 and sip_equal_nocase(data + name, b"branch", 6):
        if via.branch.size or value_end == value:
            return 0
        via.branch.start, via.branch.size = value, value_end - value
    elif name_size == 5 and sip_equal_nocase(data + name, b"rport", 5):
        if via.rport.size:
            return 0
        via.rport.start, via.rport.size = opening, at - opening
        via.rport_empty = value_end == value
    elif name_size == 8 and sip_equal_nocase(data + name, b"received", 8):
        if via.received.size:
            return 0
        via.received.start, via.received.size = opening, at - opening
    elif name_size >= 2 and sip_equal_nocase(data + name, b"oc", 2) and (name_size == 2 or data[name + 2] == 45):
        via.has_overload = True
    return at


# token, host (IPv6 with or without brackets, RFC 5118 section 4.5) or quoted-string.
cdef uint32_t skip_parameter_value(const uint8_t* data, uint32_t at, uint32_t end) noexcept nogil:
    if at < end and data[at] == 34:
        return skip_quoted(data, at, end)
    while at < end and (sip_is(data[at], CLASS_TOKEN) or data[at] == 58 or data[at] == 91 or data[at] == 93):
        at += 1
    return at


cdef bint has_cookie(const uint8_t* data, const Via* via) noexcept nogil:
    return via.branch.size > 7 and sip_equal_nocase(data + via.branch.start, b"z9hg4bk", 7)
