# The Route values of a request, as one list across header rows (RFC 3261 sections 7.3.1, 16.4).

from libc.stdint cimport int32_t, uint32_t

from proxy.sip.message cimport Message
from proxy.sip.name_addr cimport NameAddr

cdef struct RouteCursor:
    int32_t header           # index of the row, -1 = behind the last
    uint32_t at              # offset of the next value in it

cdef RouteCursor first_route(const Message* message) noexcept nogil
# The value at the cursor. 1: read; 0: there is none; -1: malformed.
cdef int read_route(const Message* message, RouteCursor cursor, NameAddr* value) noexcept nogil
# The cursor behind that value.
cdef RouteCursor next_route(const Message* message, RouteCursor cursor, const NameAddr* value) noexcept nogil
