"""Which new requests are of category 2 (RFC 7339 section 5.10.1); what is within a dialog always is."""

from engine._numbers cimport normalize, number_is_emergency
from libc.stdint cimport uint32_t
from proxy.sip.grammar cimport Slice, equal_token
from proxy.sip.identity cimport called_user
from proxy.sip.message cimport HEADER_OTHER, Header
from proxy.sip.uri cimport SCHEME_URN_SERVICE


cdef bint has_priority(const Message* message, const TrunkEntry* trunk) noexcept nogil:
    return is_emergency(message, trunk) or (trunk.trusted and names_priority(message))


cdef bint is_emergency(const Message* message, const TrunkEntry* trunk) noexcept nogil:
    cdef Slice callee
    if message.request_uri.scheme == SCHEME_URN_SERVICE:
        return True
    callee = called_user(message)
    return number_is_emergency(normalize(trunk.dial_plan, message.data + callee.start, callee.size))


cdef bint names_priority(const Message* message) noexcept nogil:
    cdef const Header* header
    cdef int i
    for i in range(message.header_count):
        header = &message.headers[i]
        if header.name == HEADER_OTHER and equal_token(
            message.data + header.start, name_size(message, header), b"resource-priority"
        ):
            return True
    return False


# The bytes before the colon; blanks may stand between the two.
cdef inline uint32_t name_size(const Message* message, const Header* header) noexcept nogil:
    cdef uint32_t at = header.start
    while at < header.end and message.data[at] != 58 and message.data[at] != 32 and message.data[at] != 9:
        at += 1
    return at - header.start
