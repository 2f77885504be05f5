"""Reads SIP messages far enough for an endpoint: who, which dialog, which transaction, which way back.

It trusts the proxy under test to send well-formed messages: header lines are not unfolded, and what an endpoint does
not act on is not looked at. Whatever it cannot read is an error that the endpoint counts.
"""

from libc.string cimport memchr, memcmp

from tests.load._datagrams cimport address_of

cdef extern from "<strings.h>" nogil:
    int strncasecmp(const char *a, const char *b, size_t n)

cdef extern from "<string.h>" nogil:
    void *memmem(const void *haystack, size_t haystack_length, const void *needle, size_t needle_length)

cdef enum:
    DEFAULT_PORT = 5060


cdef inline bint equals(const char *start, size_t length, const char *text, size_t text_length) noexcept nogil:
    return length == text_length and strncasecmp(start, text, text_length) == 0


cdef Method method_of(const char *start, size_t length) noexcept nogil:
    if length == 6 and memcmp(start, b"INVITE", 6) == 0:
        return METHOD_INVITE
    if length == 3 and memcmp(start, b"ACK", 3) == 0:
        return METHOD_ACK
    if length == 3 and memcmp(start, b"BYE", 3) == 0:
        return METHOD_BYE
    if length == 6 and memcmp(start, b"CANCEL", 6) == 0:
        return METHOD_CANCEL
    if length == 7 and memcmp(start, b"OPTIONS", 7) == 0:
        return METHOD_OPTIONS
    return METHOD_OTHER


cdef int scan_first_line(const char *line, size_t length, Message *message) noexcept nogil:
    cdef const char *blank
    if length >= 12 and memcmp(line, b"SIP/2.0 ", 8) == 0:
        message.status = (line[8] - c"0") * 100 + (line[9] - c"0") * 10 + (line[10] - c"0")
        return 0 if 100 <= message.status <= 699 else -1
    blank = <const char *>memchr(line, c" ", length)
    if blank is NULL or length < 8 or memcmp(line + length - 8, b" SIP/2.0", 8) != 0:
        return -1
    message.method = method_of(line, blank - line)
    return 0


cdef Slice parameter_of(Slice value, const char *name, size_t name_length) noexcept nogil:
    """The value of `name` (given with its ';' and '='); empty when it is not there."""
    cdef Slice found
    cdef const char *end = value.start + value.length
    cdef const char *at = <const char *>memmem(value.start, value.length, name, name_length)
    found.start = end
    found.length = 0
    if at is not NULL:
        found.start = at + name_length
        at = found.start
        while at < end and at[0] not in (c";", c",", c" ", c"\t", c">"):
            at += 1
        found.length = at - found.start
    return found


cdef void take_via(Message *message, Slice value) noexcept nogil:
    if message.vias_count == 0:
        message.branch = parameter_of(value, b";branch=", 8)
    message.vias[message.vias_count] = value
    message.vias_count += 1


cdef void take_cseq(Message *message, Slice value) noexcept nogil:
    cdef const char *blank = <const char *>memchr(value.start, c" ", value.length)
    message.cseq = value
    if message.status and blank is not NULL:
        message.method = method_of(blank + 1, value.length - (blank + 1 - value.start))


cdef int take_header(Message *message, const char *name, size_t length, Slice value) noexcept nogil:
    if equals(name, length, b"Via", 3) or equals(name, length, b"v", 1):
        if message.vias_count == MAX_LINES:
            return -1
        take_via(message, value)
    elif equals(name, length, b"From", 4) or equals(name, length, b"f", 1):
        message.caller = value
    elif equals(name, length, b"To", 2) or equals(name, length, b"t", 1):
        message.callee = value
        message.callee_tagged = parameter_of(value, b";tag=", 5).length > 0
    elif equals(name, length, b"Call-ID", 7) or equals(name, length, b"i", 1):
        message.call_id = value
    elif equals(name, length, b"CSeq", 4):
        take_cseq(message, value)
    elif equals(name, length, b"Contact", 7) or equals(name, length, b"m", 1):
        message.contact = value
    elif equals(name, length, b"Record-Route", 12):
        if message.record_routes_count == MAX_LINES:
            return -1
        message.record_routes[message.record_routes_count] = value
        message.record_routes_count += 1
    elif equals(name, length, b"X-Callsieve-Verdict", 19):
        message.labelled = value.length >= 3 and memcmp(value.start, b"tag", 3) == 0
    return 0


cdef inline Slice trimmed(const char *start, const char *end) noexcept nogil:
    cdef Slice value
    while start < end and start[0] in (c" ", c"\t"):
        start += 1
    while start < end and (end - 1)[0] in (c" ", c"\t", c"\r"):
        end -= 1
    value.start = start
    value.length = end - start
    return value


cdef int take_line(Message *message, const char *line, const char *end) noexcept nogil:
    cdef Slice name
    cdef const char *colon = <const char *>memchr(line, c":", end - line)
    if colon is NULL:
        return -1
    name = trimmed(line, colon)
    return take_header(message, name.start, name.length, trimmed(colon + 1, end))


cdef void clear(Message *message) noexcept nogil:
    cdef Slice empty
    empty.start = b""
    empty.length = 0
    message.status = 0
    message.method = METHOD_OTHER
    message.vias_count = message.record_routes_count = 0
    message.labelled = message.callee_tagged = False
    message.branch = message.caller = message.callee = empty
    message.call_id = message.cseq = message.contact = empty


cdef int scan(const char *data, size_t length, Message *message) noexcept nogil:
    """0 when the message can be acted on, else -1."""
    cdef const char *end = data + length
    cdef const char *line = data
    cdef const char *line_end = <const char *>memchr(data, c"\n", length)
    clear(message)
    if line_end is NULL or line_end == data or scan_first_line(line, line_end - line - 1, message) < 0:
        return -1
    while True:
        line = line_end + 1
        line_end = <const char *>memchr(line, c"\n", end - line)
        if line_end is NULL:
            return -1
        if line_end - line <= 1:
            break
        if take_line(message, line, line_end) < 0:
            return -1
    if message.vias_count == 0 or message.cseq.length == 0 or message.call_id.length == 0:
        return -1
    return 0 if message.caller.length and message.callee.length else -1


cdef Slice uri_in(Slice value) noexcept nogil:
    """The URI of a From, To, Contact or Route value: what stands in angle brackets, else all up to a parameter."""
    cdef Slice uri = value
    cdef const char *end = value.start + value.length
    cdef const char *opening = <const char *>memchr(value.start, c"<", value.length)
    cdef const char *closing
    if opening is not NULL:
        uri.start = opening + 1
        closing = <const char *>memchr(uri.start, c">", end - uri.start)
    else:
        closing = <const char *>memchr(value.start, c";", value.length)
    uri.length = (closing if closing is not NULL else end) - uri.start
    return uri


cdef int uri_address(Slice uri, Address *address) noexcept nogil:
    """Where a SIP URI with a numeric host points: 0, or -1 when the host is a name or the URI is none of SIP's."""
    cdef const char *end = uri.start + uri.length
    cdef const char *host = uri.start + 4
    cdef const char *host_end
    cdef const char *at
    cdef int port = DEFAULT_PORT
    if uri.length < 5 or strncasecmp(uri.start, b"sip:", 4) != 0:
        return -1
    at = <const char *>memchr(host, c"@", end - host)
    if at is not NULL:
        host = at + 1
    if host < end and host[0] == c"[":
        host += 1
        host_end = <const char *>memchr(host, c"]", end - host)
        if host_end is NULL:
            return -1
        at = host_end + 1
    else:
        host_end = host
        while host_end < end and host_end[0] not in (c":", c";", c"?"):
            host_end += 1
        at = host_end
    if at < end and at[0] == c":":
        port = 0
        at += 1
        while at < end and c"0" <= at[0] <= c"9" and port < 65536:
            port = port * 10 + at[0] - c"0"
            at += 1
    return address_of(address, host, host_end - host, port)


cdef char *put_hex(char *at, uint32_t value) noexcept nogil:
    """Eight hexadecimal digits."""
    cdef const char *digits = b"0123456789abcdef"
    cdef int i
    for i in range(8):
        at[i] = digits[(value >> (28 - 4 * i)) & 15]
    return at + 8


cdef char *put_decimal(char *at, uint32_t value) noexcept nogil:
    cdef char digits[10]
    cdef int count = 0
    while True:
        digits[count] = c"0" + <char>(value % 10)
        count += 1
        value //= 10
        if value == 0:
            break
    while count:
        count -= 1
        at[0] = digits[count]
        at += 1
    return at


cdef int parse_hex(const char *at, uint32_t *value) noexcept nogil:
    """Reads eight hexadecimal digits; -1 when they are not."""
    cdef int i
    cdef char digit
    cdef uint32_t sum = 0
    for i in range(8):
        digit = at[i]
        if c"0" <= digit <= c"9":
            sum = (sum << 4) | <uint32_t>(digit - c"0")
        elif c"a" <= digit <= c"f":
            sum = (sum << 4) | <uint32_t>(digit - c"a" + 10)
        else:
            return -1
    value[0] = sum
    return 0
