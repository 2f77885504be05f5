"""The trunk group that a call came in by, as a gateway that serves several of them says it in Contact (RFC 4904)."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr

from proxy.sip.message cimport Header
from proxy.sip.name_addr cimport NameAddr, parse_name_addr
from proxy.sip.uri cimport SCHEME_SIP, SCHEME_SIPS, Uri, find_parameter, parse_uri


# A group without its context means nothing (section 4.3): they come together or not at all.
cdef bint originating_group(const Message* message, Slice* group, Slice* context) noexcept nogil:
    cdef const Header* header
    cdef const void* semicolon
    cdef NameAddr value
    cdef Uri uri
    cdef Slice parameters
    if message.contact_header < 0:
        return False
    header = &message.headers[message.contact_header]
    if not parse_name_addr(message.data, header.value, header.value_end, False, &value):
        return False
    if not parse_uri(message.data, value.uri.start, value.uri.start + value.uri.size, &uri):
        return False
    if uri.user.size == 0 or (uri.scheme != SCHEME_SIP and uri.scheme != SCHEME_SIPS):
        return False
    semicolon = memchr(message.data + uri.user.start, 59, uri.user.size)
    if semicolon == NULL:
        return False
    parameters.start = <uint32_t>(<const uint8_t*>semicolon - message.data) + 1
    parameters.size = uri.user.start + uri.user.size - parameters.start
    return (
        find_parameter(message.data, parameters, b"tgrp", 4, group)
        and find_parameter(message.data, parameters, b"trunk-context", 13, context)
    )
