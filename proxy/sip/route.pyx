"""Route values, read one by one."""

from proxy.sip.grammar cimport skip_blank
from proxy.sip.message cimport HEADER_ROUTE
from proxy.sip.name_addr cimport parse_name_addr


cdef RouteCursor first_route(const Message* message) noexcept nogil:
    cdef RouteCursor cursor
    cursor.header = message.route_header
    cursor.at = message.headers[cursor.header].value if cursor.header >= 0 else 0
    return cursor


cdef int read_route(const Message* message, RouteCursor cursor, NameAddr* value) noexcept nogil:
    if cursor.header < 0:
        return 0
    if not parse_name_addr(message.data, cursor.at, message.headers[cursor.header].value_end, False, value):
        return -1
    return 1 if value.bracketed else -1


cdef RouteCursor next_route(const Message* message, RouteCursor cursor, const NameAddr* value) noexcept nogil:
    cdef uint32_t end = message.headers[cursor.header].value_end
    cdef RouteCursor following
    cdef int i
    following.header = cursor.header
    following.at = skip_blank(message.data, value.end + 1, end)
    if value.end < end and following.at < end:
        return following
    for i in range(cursor.header + 1, message.header_count):
        if message.headers[i].name == HEADER_ROUTE:
            following.header = i
            following.at = message.headers[i].value
            return following
    following.header = -1
    following.at = 0
    return following
