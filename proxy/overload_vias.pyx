"""Vias of a response on its way up: what a next hop says of its load stays here, what we say of ours goes to the
client.

Overload control is hop by hop (RFC 7339 section 5.6): values for one client must not reach another.
"""

from libc.stdint cimport uint8_t, uint32_t

from proxy.outbox cimport put
from proxy.overload_parameters cimport ALGORITHM_NONE, mentions_overload, put_overload, put_without_overload
from proxy.sip.grammar cimport skip_blank
from proxy.sip.message cimport HEADER_VIA, Header
from proxy.sip.via cimport Via, parse_via


cdef bint brings_overload(const Message* message) noexcept nogil:
    cdef const Header* header = &message.headers[message.via_header]
    cdef uint32_t top_end = message.via.whole.start + message.via.whole.size
    cdef int i
    if mentions_overload(message.data, top_end, header.value_end):
        return True
    for i in range(message.via_header + 1, message.header_count):
        header = &message.headers[i]
        if header.name == HEADER_VIA and mentions_overload(message.data, header.value, header.value_end):
            return True
    return False


cdef void write_rest_of_row(Writer* writer, const Message* message, const OverloadReply* reply) noexcept nogil:
    cdef const Header* row = &message.headers[message.via_header]
    cdef uint32_t rest = message.via.whole.start + message.via.whole.size + 1
    put(writer, message.data + row.start, row.value - row.start)
    write_values(writer, message.data, skip_blank(message.data, rest, row.value_end), row.value_end, reply)
    put(writer, message.data + row.value_end, row.end - row.value_end)


cdef void write_via_row(Writer* writer, const Message* message, int header, const OverloadReply* reply) noexcept nogil:
    cdef const Header* row = &message.headers[header]
    put(writer, message.data + row.start, row.value - row.start)
    write_values(writer, message.data, row.value, row.value_end, reply)
    put(writer, message.data + row.value_end, row.end - row.value_end)


# reply: for the first of these values, which is our client's.
cdef void write_values(
    Writer* writer, const uint8_t* data, uint32_t start, uint32_t end, const OverloadReply* reply
) noexcept nogil:
    cdef Via client
    cdef uint32_t at = start
    if reply != NULL and reply.algorithm != ALGORITHM_NONE and parse_via(data, start, end, &client):
        at = start + client.whole.size
        put_without_overload(writer, data, start, at)
        put_overload(writer, reply.algorithm, reply.value, reply.validity_ms, reply.sequence)
    put_without_overload(writer, data, at, end)
