"""Route rows on their way out: a range of the received values, and perhaps one more behind them."""

from proxy.outbox cimport literal, put
from proxy.sip.message cimport HEADER_ROUTE, Header


cdef void write_route_row(Writer* writer, const Message* message, int index, const RouteEdit* edit) noexcept nogil:
    cdef const Header* header = &message.headers[index]
    cdef uint32_t start = edit.first.at if index == edit.first.header else header.value
    cdef uint32_t end = edit.last_end if index == edit.last_header else header.value_end
    if 0 <= edit.first.header <= index and start < end:
        put(writer, message.data + header.start, header.value - header.start)
        put(writer, message.data + start, end - start)
        put(writer, message.data + header.value_end, header.end - header.value_end)
    if edit.append != NULL and is_last_row(message, index):
        literal(writer, b"Route: <")
        put(writer, edit.append, edit.append_size)
        literal(writer, b">\r\n")


cdef bint is_last_row(const Message* message, int index) noexcept nogil:
    cdef int i
    for i in range(index + 1, message.header_count):
        if message.headers[i].name == HEADER_ROUTE:
            return False
    return True
