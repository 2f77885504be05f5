"""name-addr: display name, URI and header parameters of From, To, Route and the identity headers."""

from libc.string cimport memchr, memset

from proxy.sip.grammar cimport (
    CLASS_BLANK,
    CLASS_NOT_URI,
    is_control,
    sip_equal_nocase,
    sip_is,
    skip_blank,
    skip_quoted,
    skip_token,
)


cdef bint parse_name_addr(
    const uint8_t* data, uint32_t start, uint32_t end, bint single, NameAddr* value
) noexcept nogil:
    cdef uint32_t at = skip_blank(data, start, end)
    cdef uint32_t begin = at
    memset(value, 0, sizeof(NameAddr))
    value.display.start = at
    if at < end and data[at] == 34:
        at = skip_quoted(data, at, end)
        if at == 0:
            return False
        value.display.size = at - begin
        at = skip_blank(data, at, end)
        if at == end or data[at] != 60:
            return False
    else:
        at = find_bracket(data, at, end)
        if data[at] == 60 and at < end:
            value.display.size = trim_blank(data, begin, at) - begin
            if not is_display(data, begin, begin + value.display.size):
                return False
    if at < end and data[at] == 60:
        at = parse_bracketed(data, at, end, value)
    else:
        at = parse_bare(data, begin, end, value)
    if at == 0:
        return False
    return parse_parameters(data, at, end, single, value)


# Offset of '<' if one comes before anything that ends an addr-spec, else `end`.
cdef uint32_t find_bracket(const uint8_t* data, uint32_t at, uint32_t end) noexcept nogil:
    while at < end and data[at] != 60:
        if data[at] == 34 or data[at] == 44:
            return end
        at += 1
    return at


cdef uint32_t trim_blank(const uint8_t* data, uint32_t begin, uint32_t end) noexcept nogil:
    while end > begin and (sip_is(data[end - 1], CLASS_BLANK) or data[end - 1] == 13 or data[end - 1] == 10):
        end -= 1
    return end


cdef uint32_t value_end(const uint8_t* data, const NameAddr* value) noexcept nogil:
    return trim_blank(data, value.uri.start + value.uri.size, value.end)


# An unquoted display name should be a row of tokens; phones also write other letters there, which are harmless.
# Control bytes are not, nor what makes an addr-spec with parameters of it for another parser (: ; > and the backslash).
cdef bint is_display(const uint8_t* data, uint32_t at, uint32_t end) noexcept nogil:
    cdef uint8_t c
    while at < end:
        c = data[at]
        if is_control(c) and c != 13 and c != 10:
            return False
        if c == 58 or c == 59 or c == 62 or c == 92:
            return False
        at += 1
    return True


cdef uint32_t parse_bracketed(const uint8_t* data, uint32_t at, uint32_t end, NameAddr* value) noexcept nogil:
    cdef uint32_t begin = at + 1
    at = begin
    while at < end and data[at] != 62:
        if sip_is(data[at], CLASS_NOT_URI):
            return 0
        at += 1
    if at == end or at == begin:
        return 0
    value.uri.start, value.uri.size = begin, at - begin
    value.bracketed = 1
    return at + 1


# Without brackets, what follows ';' are header parameters (RFC 3261 section 20).
cdef uint32_t parse_bare(const uint8_t* data, uint32_t begin, uint32_t end, NameAddr* value) noexcept nogil:
    cdef uint32_t at = begin
    value.display.size = 0
    while at < end and data[at] != 59 and data[at] != 44 and not sip_is(data[at], CLASS_BLANK) and data[at] != 13:
        if data[at] < 32 or data[at] == 127 or data[at] == 34 or data[at] == 62 or data[at] == 63:
            return 0
        at += 1
    value.uri.start, value.uri.size = begin, at - begin
    return at if at > begin else 0


cdef bint parse_parameters(
    const uint8_t* data, uint32_t at, uint32_t end, bint single, NameAddr* value
) noexcept nogil:
    at = skip_blank(data, at, end)
    value.parameters.start = at + 1
    while at < end and data[at] == 59:
        at = skip_parameter(data, at, end)
        if at == 0:
            return False
        value.parameters.size = at - value.parameters.start
    value.end = at
    return at == end or (data[at] == 44 and not single)


# One ";name[=value]" that opens at `at`, and the blanks behind it. Offset behind it, 0 = malformed.
cdef uint32_t skip_parameter(const uint8_t* data, uint32_t at, uint32_t end) noexcept nogil:
    cdef uint32_t begin = skip_blank(data, at + 1, end)
    at = skip_token(data, begin, end)
    if at == begin:
        return 0
    at = skip_blank(data, at, end)
    if at == end or data[at] != 61:
        return at
    begin = skip_blank(data, at + 1, end)
    at = skip_value(data, begin, end)
    return skip_blank(data, at, end) if at > begin else 0


# A quoted-string, or anything up to a blank or a delimiter: tokens and hosts, and what phones take for them.
cdef uint32_t skip_value(const uint8_t* data, uint32_t at, uint32_t end) noexcept nogil:
    if at < end and data[at] == 34:
        return skip_quoted(data, at, end)
    while at < end and data[at] > 32 and data[at] != 127 and memchr(b'",;<>', data[at], 5) == NULL:
        at += 1
    return at


cdef bint header_parameter(
    const uint8_t* data, Slice parameters, const char* name, uint32_t name_size, Slice* value
) noexcept nogil:
    cdef uint32_t at = parameters.start
    cdef uint32_t end = parameters.start + parameters.size
    cdef uint32_t begin, stop
    while at < end:
        begin = skip_blank(data, at, end)
        at = skip_token(data, begin, end)
        stop = at
        at = skip_blank(data, at, end)
        value.start = value.size = 0
        if at < end and data[at] == 61:
            value.start = skip_blank(data, at + 1, end)
            at = skip_value(data, value.start, end)
            value.size = at - value.start
        if stop - begin == name_size and sip_equal_nocase(data + begin, name, name_size):
            return True
        while at < end and data[at] != 59:
            at += 1
        at += 1
    return False
