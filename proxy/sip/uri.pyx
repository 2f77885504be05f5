"""URIs: sip, sips, tel and urn:service are understood, every other scheme is named OTHER and left alone."""

from libc.string cimport memchr

from proxy.sip.address cimport Address, parse_ip
from proxy.sip.grammar cimport (
    CLASS_HOST,
    CLASS_NOT_URI,
    equal_literal,
    parse_decimal,
    sip_equal_nocase,
    sip_is,
    skip_ipv6,
)


cdef bint parse_uri(const uint8_t* data, uint32_t start, uint32_t end, Uri* uri) noexcept nogil:
    cdef uint32_t at = start
    cdef uint32_t i
    uri.whole.start, uri.whole.size = start, end - start
    uri.user.start = uri.host.start = uri.parameters.start = start
    uri.user.size = uri.host.size = uri.parameters.size = 0
    uri.port = -1
    uri.has_headers = 0
    for i in range(start, end):
        if sip_is(data[i], CLASS_NOT_URI):
            return False
    while at < end and data[at] != 58:
        at += 1
    if at == end or at == start:
        return False
    uri.scheme = scheme_of(data + start, at - start)
    at += 1
    if uri.scheme == SCHEME_TEL:
        return parse_tel(data, at, end, uri)
    if uri.scheme == SCHEME_OTHER:
        return True
    if uri.scheme == SCHEME_URN_SERVICE:
        if end - at <= 8 or not sip_equal_nocase(data + at, b"service:", 8):
            uri.scheme = SCHEME_OTHER
        else:
            uri.user.start, uri.user.size = at + 8, end - at - 8
        return True
    return parse_sip(data, at, end, uri)


cdef uint8_t scheme_at(const uint8_t* data, Slice uri) noexcept nogil:
    cdef const void* colon = memchr(data + uri.start, 58, uri.size)
    if colon == NULL:
        return SCHEME_OTHER
    return scheme_of(data + uri.start, <uint32_t>(<const uint8_t*>colon - data) - uri.start)


cdef uint8_t scheme_of(const uint8_t* name, uint32_t size) noexcept nogil:
    if equal_literal(name, size, b"sip"):
        return SCHEME_SIP
    if equal_literal(name, size, b"sips"):
        return SCHEME_SIPS
    if equal_literal(name, size, b"tel"):
        return SCHEME_TEL
    if equal_literal(name, size, b"urn"):
        return SCHEME_URN_SERVICE
    return SCHEME_OTHER


cdef bint parse_tel(const uint8_t* data, uint32_t at, uint32_t end, Uri* uri) noexcept nogil:
    uri.user.start, uri.user.size = at, end - at
    cdef const void* semicolon = memchr(data + at, 59, end - at)
    if semicolon != NULL:
        uri.parameters.start = <uint32_t>(<const uint8_t*>semicolon - data) + 1
        uri.parameters.size = end - uri.parameters.start
    return at < end


cdef bint parse_sip(const uint8_t* data, uint32_t at, uint32_t end, Uri* uri) noexcept nogil:
    cdef const void* found = memchr(data + at, 64, end - at)
    cdef const void* colon
    cdef uint32_t host_at, separator
    cdef Address address
    if found != NULL:
        separator = <uint32_t>(<const uint8_t*>found - data)
        colon = memchr(data + at, 58, separator - at)
        uri.user.start = at
        uri.user.size = (<uint32_t>(<const uint8_t*>colon - data) if colon != NULL else separator) - at
        if uri.user.size == 0:
            return False
        at = separator + 1
    host_at = at
    if at < end and data[at] == 91:
        at = skip_ipv6(data, at, end)
        # Three colons in a row are two readings (RFC 5118 section 4.10): no address, no URI.
        if at == 0 or not parse_ip(data + host_at, at - host_at, &address):
            return False
    else:
        while at < end and sip_is(data[at], CLASS_HOST):
            at += 1
    uri.host.start, uri.host.size = host_at, at - host_at
    if uri.host.size == 0:
        return False
    if at < end and data[at] == 58:
        at += 1
        separator = at
        while at < end and data[at] != 59 and data[at] != 63:
            at += 1
        uri.port = <int>parse_decimal(data + separator, at - separator, 65535)
        if uri.port < 0:
            return False
    if at == end:
        return True
    if data[at] == 63:
        uri.has_headers = 1
        return True
    if data[at] != 59:
        return False
    found = memchr(data + at, 63, end - at)
    uri.has_headers = found != NULL
    uri.parameters.start = at + 1
    uri.parameters.size = (<uint32_t>(<const uint8_t*>found - data) if found != NULL else end) - at - 1
    return True


cdef bint find_parameter(
    const uint8_t* data, Slice parameters, const char* name, uint32_t name_size, Slice* value
) noexcept nogil:
    cdef uint32_t at = parameters.start
    cdef uint32_t end = parameters.start + parameters.size
    cdef uint32_t begin, stop, equals
    while at < end:
        begin = at
        while at < end and data[at] != 59:
            at += 1
        stop = at
        at += 1
        equals = begin
        while equals < stop and data[equals] != 61:
            equals += 1
        if equals - begin == name_size and sip_equal_nocase(data + begin, name, name_size):
            value.start = equals + 1 if equals < stop else stop
            value.size = stop - value.start
            return True
    return False
