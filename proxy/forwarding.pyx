"""Messages on their way out.

A forwarded message is the received bytes with a few edits in order of offset: runs of untouched headers are copied
whole, so that every header a proxy does not own leaves byte for byte as it came (RFC 3261 section 16.6 step 1).
"""

from proxy.outbox cimport literal, put, put_decimal, put_hex
from proxy.overload_parameters cimport ALGORITHM_NONE, put_overload, put_without_overload
from proxy.overload_vias cimport brings_overload, write_rest_of_row, write_via_row
from proxy.route_edit cimport write_route_row
from proxy.sip.address cimport is_unicast, parse_ip, same_host, write_ip
from proxy.sip.grammar cimport Slice, skip_blank
from proxy.sip.message cimport (
    CONTENT_LENGTH_ABSENT,
    HEADER_MAX_BREADTH,
    HEADER_MAX_FORWARDS,
    HEADER_RECORD_ROUTE,
    HEADER_ROUTE,
    HEADER_VIA,
    Header,
)
from proxy.sip.transport cimport default_port, is_reliable
from proxy.sip.via cimport Via, parse_via
from proxy.trust_border cimport changes_at_border, write_across


cdef inline void put_slice(Writer* writer, const Message* message, Slice part) noexcept nogil:
    put(writer, message.data + part.start, part.size)


cdef inline void put_range(Writer* writer, const Message* message, uint32_t start, uint32_t end) noexcept nogil:
    put(writer, message.data + start, end - start)


cdef inline void put_header(Writer* writer, const Message* message, int index) noexcept nogil:
    put_range(writer, message, message.headers[index].start, message.headers[index].end)


cdef void write_request(Writer* writer, const Message* message, const Hop* hop) noexcept nogil:
    write_request_line(writer, message, hop.uri, hop.uri_size)
    write_own_via(writer, hop)
    put(writer, hop.extra, hop.extra_size)
    if message.max_forwards_header < 0:
        literal(writer, b"Max-Forwards: 70\r\n")
    write_missing_length(writer, message)
    if hop.max_breadth:
        literal(writer, b"Max-Breadth: ")
        put_decimal(writer, <uint64_t>hop.max_breadth)
        literal(writer, b"\r\n")
    cdef uint32_t run = message.headers_start
    cdef const Header* header
    cdef int i
    for i in range(message.header_count):
        header = &message.headers[i]
        if header.name == 0 or not edits_request_header(message, hop, i):
            continue
        put_range(writer, message, run, header.start)
        run = header.end
        write_edited_header(writer, message, hop, i)
    put_range(writer, message, run, message.size)


# What came in a datagram or a WebSocket message may do without a length, and may leave by a stream, where it may not
# (RFC 3261 sections 18.3, 20.14).
cdef void write_missing_length(Writer* writer, const Message* message) noexcept nogil:
    if message.content_length == CONTENT_LENGTH_ABSENT:
        literal(writer, b"Content-Length: ")
        put_decimal(writer, message.size - message.body)
        literal(writer, b"\r\n")


# METHOD URI SIP/2.0, the received spelling of everything that stays.
cdef void write_request_line(Writer* writer, const Message* message, const uint8_t* uri, uint32_t size) noexcept nogil:
    put_slice(writer, message, message.method_name)
    literal(writer, b" ")
    if uri == NULL:
        put_slice(writer, message, message.request_uri.whole)
    else:
        put(writer, uri, size)
    literal(writer, b" SIP/2.0\r\n")


cdef void write_own_via(Writer* writer, const Hop* hop) noexcept nogil:
    literal(writer, b"Via: ")
    put(writer, hop.via, hop.via_size)
    literal(writer, b";rport;branch=")
    put(writer, hop.branch, hop.branch_size)
    literal(writer, b"\r\n")


cdef bint edits_request_header(const Message* message, const Hop* hop, int index) noexcept nogil:
    cdef uint8_t name = message.headers[index].name
    if name == HEADER_VIA:
        return index == message.via_header and hop.source != NULL and needs_received(message, hop.source)
    if name == HEADER_MAX_FORWARDS:
        return True
    if name == HEADER_ROUTE:
        return hop.route_edit.active
    if name == HEADER_MAX_BREADTH:
        return hop.max_breadth != 0
    return changes_at_border(&hop.border, message, index)


# Writes what takes the header's place; nothing for one that goes.
cdef void write_edited_header(Writer* writer, const Message* message, const Hop* hop, int index) noexcept nogil:
    cdef const Header* header = &message.headers[index]
    if header.name == HEADER_VIA:
        write_received_via(writer, message, hop.source, NULL)
    elif header.name == HEADER_MAX_FORWARDS:
        literal(writer, b"Max-Forwards: ")
        put_decimal(writer, <uint64_t>hop.max_forwards)
        literal(writer, b"\r\n")
    elif header.name == HEADER_ROUTE:
        write_route_row(writer, message, index, &hop.route_edit)
    elif header.name != HEADER_MAX_BREADTH:
        write_across(writer, &hop.border, message, index)


# RFC 3261 section 18.2.1, RFC 3581 section 4: a client that asked for rport gets both; any other gets `received`
# when its sent-by is not the address it sent from. What the client claims of itself is overwritten.
cdef bint needs_received(const Message* message, const Address* source) noexcept nogil:
    cdef Address sent_by
    if message.via.rport.size or message.via.received.size or message.via.has_overload:
        return True
    if not parse_ip(message.data + message.via.host.start, message.via.host.size, &sent_by):
        return True
    return not same_host(&sent_by, source)


# What a client says of overload control is for us alone (RFC 7339 section 5.6).
cdef inline void put_via(Writer* writer, const Message* message, uint32_t start, uint32_t end) noexcept nogil:
    if message.via.has_overload:
        put_without_overload(writer, message.data, start, end)
    else:
        put_range(writer, message, start, end)


# overload: what the client is told in an answer, NULL in a request.
cdef void write_received_via(
    Writer* writer, const Message* message, const Address* source, const OverloadReply* overload
) noexcept nogil:
    cdef const Via* via = &message.via
    cdef const Header* header = &message.headers[message.via_header]
    cdef Slice first = via.rport
    cdef Slice second = via.received
    cdef uint32_t at = header.start
    cdef uint8_t ip[48]
    if second.size and (not first.size or second.start < first.start):
        first, second = second, first
    if first.size:
        put_via(writer, message, at, first.start)
        at = first.start + first.size
    if second.size:
        put_via(writer, message, at, second.start)
        at = second.start + second.size
    put_via(writer, message, at, via.whole.start + via.whole.size)
    literal(writer, b";received=")
    put(writer, ip, write_ip(source, ip))
    if via.rport.size:
        literal(writer, b";rport=")
        put_decimal(writer, source.port)
    if overload != NULL and overload.algorithm != ALGORITHM_NONE:
        put_overload(writer, overload.algorithm, overload.value, overload.validity_ms, overload.sequence)
    put_range(writer, message, via.whole.start + via.whole.size, header.end)


# Another Via below the top one, and one that an answer may go to.
cdef bint has_lower_via(const Message* message) noexcept nogil:
    cdef Via lower
    cdef uint32_t end = message.headers[message.via_header].value_end
    cdef uint32_t at
    cdef int i
    if not message.via.is_last:
        at = skip_blank(message.data, message.via.whole.start + message.via.whole.size + 1, end)
        return parse_via(message.data, at, end, &lower) and is_answerable(message, &lower)
    for i in range(message.via_header + 1, message.header_count):
        if message.headers[i].name == HEADER_VIA:
            at, end = message.headers[i].value, message.headers[i].value_end
            return parse_via(message.data, at, end, &lower) and is_answerable(message, &lower)
    return False


# Nothing goes where a Via names broadcast, multicast or no address at all (RFC 4475 section 3.3.10).
cdef bint is_answerable(const Message* message, const Via* via) noexcept nogil:
    cdef Address address
    cdef Slice host = via.host
    cdef uint32_t end = via.received.start + via.received.size
    if via.received.size:
        host.start = via.received.start
        while host.start < end and message.data[host.start] != 61:
            host.start += 1
        host.start = skip_blank(message.data, host.start + 1, end)
        host.size = end - host.start if host.start < end else 0
    return not parse_ip(message.data + host.start, host.size, &address) or is_unicast(&address)


cdef void write_response(
    Writer* writer, const Message* message, const Border* border, const OverloadReply* overload
) noexcept nogil:
    cdef bint edits_vias = overload.algorithm != ALGORITHM_NONE or brings_overload(message)
    cdef const OverloadReply* told = overload        # by the next Via, which is the client's
    cdef uint32_t run = message.start
    cdef const Header* header
    cdef int i
    for i in range(message.header_count):
        header = &message.headers[i]
        if i != message.via_header and not (edits_vias and header.name == HEADER_VIA) and (
            border == NULL or not changes_at_border(border, message, i)
        ):
            continue
        put_range(writer, message, run, header.start)
        run = header.end
        if i == message.via_header:
            if edits_vias and not message.via.is_last:
                write_rest_of_row(writer, message, told)
                told = NULL
            else:
                write_lower_vias(writer, message, header)
            write_missing_length(writer, message)
        elif header.name == HEADER_VIA:
            write_via_row(writer, message, i, told)
            told = NULL
        else:
            write_across(writer, border, message, i)
    put_range(writer, message, run, message.size)


# The rest of the row whose first Via goes; nothing if that was the only one in it.
cdef void write_lower_vias(Writer* writer, const Message* message, const Header* header) noexcept nogil:
    cdef uint32_t rest
    if message.via.is_last:
        return
    rest = skip_blank(message.data, message.via.whole.start + message.via.whole.size + 1, header.value_end)
    put_range(writer, message, header.start, header.value)
    put_range(writer, message, rest, header.end)


cdef void write_answer(Writer* writer, const Message* request, const Answer* answer) noexcept nogil:
    literal(writer, b"SIP/2.0 ")
    put_decimal(writer, answer.status)
    literal(writer, b" ")
    put(writer, answer.reason, answer.reason_size)
    literal(writer, b"\r\n")
    write_answer_vias(writer, request, answer)
    if request.from_header >= 0:
        put_header(writer, request, request.from_header)
    if request.to_header >= 0:
        write_answer_to(writer, request, answer)
    if request.call_id.size:
        literal(writer, b"Call-ID: ")
        put_slice(writer, request, request.call_id)
        literal(writer, b"\r\n")
    if request.cseq_header >= 0:
        put_header(writer, request, request.cseq_header)
    if answer.status == 100 and request.timestamp_header >= 0:
        put_header(writer, request, request.timestamp_header)
    put(writer, answer.extra, answer.extra_size)
    if answer.server != NULL:
        literal(writer, b"Server: ")
        put(writer, answer.server, answer.server_size)
        literal(writer, b"\r\n")
    literal(writer, b"Content-Length: 0\r\n\r\n")


cdef void write_answer_vias(Writer* writer, const Message* request, const Answer* answer) noexcept nogil:
    cdef bint told = answer.overload.algorithm == ALGORITHM_NONE or not answer.skip_top_via
    cdef int i
    for i in range(request.header_count):
        if request.headers[i].name != HEADER_VIA:
            continue
        if i != request.via_header and not told:
            write_via_row(writer, request, i, &answer.overload)
            told = True
        elif i != request.via_header:
            put_header(writer, request, i)
        elif answer.skip_top_via:
            write_lower_vias(writer, request, &request.headers[i])
        elif request.via.whole.size and answer.source != NULL and needs_received(request, answer.source):
            write_received_via(writer, request, answer.source, &answer.overload)
        else:
            put_header(writer, request, i)


cdef void write_answer_to(Writer* writer, const Message* request, const Answer* answer) noexcept nogil:
    cdef const Header* header = &request.headers[request.to_header]
    if request.to_tag.size or answer.to_tag == 0:
        put_range(writer, request, header.start, header.end)
        return
    put_range(writer, request, header.start, header.value_end)
    literal(writer, b";tag=")
    put_hex(writer, answer.to_tag, 16)
    literal(writer, b"\r\n")


cdef void write_ack(Writer* writer, const Message* request, const Message* response) noexcept nogil:
    write_sibling(writer, request, b"ACK", response)
    literal(writer, b"Content-Length: 0\r\n\r\n")


cdef void write_cancel(
    Writer* writer, const Message* request, const uint8_t* reason, uint32_t reason_size
) noexcept nogil:
    write_sibling(writer, request, b"CANCEL", request)
    put(writer, reason, reason_size)
    literal(writer, b"Content-Length: 0\r\n\r\n")


# What ACK and CANCEL share with their INVITE: Request-URI, top Via, Route, From, Call-ID, CSeq number. To comes from
# `to_from`: the response for an ACK, the INVITE for a CANCEL.
cdef void write_sibling(
    Writer* writer, const Message* request, const char* method, const Message* to_from
) noexcept nogil:
    cdef int i
    literal(writer, method)
    literal(writer, b" ")
    put_slice(writer, request, request.request_uri.whole)
    literal(writer, b" SIP/2.0\r\nVia: ")
    put_slice(writer, request, request.via.whole)
    literal(writer, b"\r\n")
    for i in range(request.header_count):
        if request.headers[i].name == HEADER_ROUTE:
            put_header(writer, request, i)
    put_header(writer, request, request.from_header)
    put_header(writer, to_from, to_from.to_header)
    literal(writer, b"Call-ID: ")
    put_slice(writer, request, request.call_id)
    literal(writer, b"\r\nCSeq: ")
    put_decimal(writer, request.cseq)
    literal(writer, b" ")
    literal(writer, method)
    literal(writer, b"\r\nMax-Forwards: 70\r\n")


cdef void write_retarget(Writer* writer, const Message* sent, const Hop* hop, int own_routes) noexcept nogil:
    cdef int first = 1       # behind our Via
    write_request_line(writer, sent, hop.uri, hop.uri_size)
    write_own_via(writer, hop)
    put(writer, hop.extra, hop.extra_size)
    while own_routes and first < sent.header_count and sent.headers[first].name == HEADER_RECORD_ROUTE:
        own_routes -= 1
        first += 1
    put_range(writer, sent, sent.headers[first - 1].end, sent.size)


cdef Address answer_address(const Message* request, const Address* source, uint8_t transport) noexcept nogil:
    cdef Address to = source[0]
    if is_reliable(transport) or not request.via.rport_empty:
        to.port = <uint16_t>(request.via.port if request.via.port > 0 else default_port(transport))
    return to


cdef const char* standard_reason(uint16_t status) noexcept nogil:
    if status == 100:
        return b"Trying"
    if status == 200:
        return b"OK"
    if status == 300:
        return b"Multiple Choices"
    if status == 302:
        return b"Moved Temporarily"
    if status == 400:
        return b"Bad Request"
    if status == 403:
        return b"Forbidden"
    if status == 404:
        return b"Not Found"
    if status == 405:
        return b"Method Not Allowed"
    if status == 408:
        return b"Request Timeout"
    if status == 416:
        return b"Unsupported URI Scheme"
    if status == 420:
        return b"Bad Extension"
    if status == 433:
        return b"Anonymity Disallowed"
    if status == 440:
        return b"Max-Breadth Exceeded"
    if status == 480:
        return b"Temporarily Unavailable"
    if status == 481:
        return b"Call/Transaction Does Not Exist"
    if status == 482:
        return b"Loop Detected"
    if status == 483:
        return b"Too Many Hops"
    if status == 486:
        return b"Busy Here"
    if status == 487:
        return b"Request Terminated"
    if status == 500:
        return b"Server Internal Error"
    if status == 503:
        return b"Service Unavailable"
    if status == 505:
        return b"Version Not Supported"
    if status == 513:
        return b"Message Too Large"
    if status == 603:
        return b"Decline"
    if status == 607:
        return b"Unwanted"
    if status == 608:
        return b"Rejected"
    return b"Rejected by Policy"
