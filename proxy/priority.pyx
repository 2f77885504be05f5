"""Which new requests are of category 2 (RFC 7339 section 5.10.1); what is within a dialog always is."""

from engine._dial_plan cimport normalize
from engine._numbers cimport number_is_emergency
from proxy.sip.grammar cimport Slice
from proxy.sip.identity cimport called_user
from proxy.sip.message cimport HEADER_RESOURCE_PRIORITY
from proxy.sip.uri cimport SCHEME_URN_SERVICE
from proxy.trust_border cimport RIGHT_PRIORITY


cdef bint has_priority(const Message* message, const TrunkEntry* trunk) noexcept nogil:
    return is_emergency(message, trunk) or (trunk.rights & RIGHT_PRIORITY and names_priority(message))


cdef bint is_emergency(const Message* message, const TrunkEntry* trunk) noexcept nogil:
    cdef Slice callee
    if message.request_uri.scheme == SCHEME_URN_SERVICE:
        return True
    callee = called_user(message)
    return number_is_emergency(normalize(trunk.dial_plan, message.data + callee.start, callee.size))


cdef bint names_priority(const Message* message) noexcept nogil:
    cdef int i
    for i in range(message.header_count):
        if message.headers[i].name == HEADER_RESOURCE_PRIORITY:
            return True
    return False
