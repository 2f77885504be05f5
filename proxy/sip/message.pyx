"""The head of a SIP message, parsed in one pass (RFC 3261 sections 7, 25.1).

Strict where a second parser could read a message differently: bare CR or LF, control bytes before a colon, a header of
single value that occurs twice, a Content-Length that lies. Headers that a proxy does not use are never looked into.
"""

from libc.stdint cimport INT32_MAX, int64_t
from libc.string cimport memchr

from proxy.sip.grammar cimport (
    CLASS_BLANK,
    CLASS_DIGIT,
    equal_token,
    parse_decimal,
    sip_equal_nocase,
    sip_is,
    sip_lower,
    skip_blank,
    skip_token,
)
from proxy.sip.name_addr cimport header_parameter, parse_name_addr
from proxy.sip.uri cimport parse_uri
from proxy.sip.via cimport parse_via


cdef int parse_message(const uint8_t* data, uint32_t size, Message* message, const char** reason) noexcept nogil:
    cdef int status = parse_head(data, size, message, reason)
    return status or check_body(message, reason)


cdef int parse_head(const uint8_t* data, uint32_t size, Message* message, const char** reason) noexcept nogil:
    cdef uint32_t start = 0
    cdef int status
    reason[0] = NULL
    reset(message)
    while start < size and (data[start] == 13 or data[start] == 10):
        start += 1
    message.data = data
    message.size = size
    message.start = start
    status = parse_start_line(message, start, reason)
    if status < 0:
        return status
    # Whatever can be read is read even behind a fault, so that the refusal carries Via, From, To, Call-ID and CSeq.
    cdef int head_status = parse_headers(message, reason)
    if head_status < 0:
        return head_status
    return status or head_status or check_mandatory(message, reason)


cdef void reset(Message* message) noexcept nogil:
    message.header_count = message.status = message.method = 0
    message.headers_start = message.head_end = message.body = 0
    message.call_id.size = message.cseq_method.size = message.from_tag.size = message.to_tag.size = 0
    message.via.whole.size = 0
    message.via_header = message.from_header = message.to_header = message.cseq_header = -1
    message.max_forwards_header = message.route_header = message.asserted_header = -1
    message.user_agent_header = message.privacy_header = message.timestamp_header = -1
    message.contact_header = message.diversion_header = -1
    message.max_forwards = -1
    message.content_length = CONTENT_LENGTH_ABSENT
    message.at_border = message.has_proxy_require = 0


# Offset of the LF that ends the line at `at`; 0 if there is none, or the line holds a bare CR or LF.
cdef uint32_t line_end(const uint8_t* data, uint32_t at, uint32_t size) noexcept nogil:
    cdef const uint8_t* lf = <const uint8_t*>memchr(data + at, 10, size - at)
    if lf == NULL or lf == data + at or (lf - 1)[0] != 13:
        return 0
    cdef uint32_t end = <uint32_t>(lf - data)
    if memchr(data + at, 13, end - 1 - at) != NULL:
        return 0
    return end


cdef int parse_start_line(Message* message, uint32_t start, const char** reason) noexcept nogil:
    cdef const uint8_t* data = message.data
    cdef uint32_t lf = line_end(data, start, message.size) if start < message.size else 0
    if lf == 0:
        return -1
    message.headers_start = lf + 1
    cdef uint32_t end = lf - 1
    if end - start > 8 and sip_equal_nocase(data + start, b"sip/2.0 ", 8):
        return parse_status_line(message, start, end)
    message.is_request = 1
    cdef uint32_t at = skip_token(data, start, end)
    if at == start or at == end or data[at] != 32:
        return -1
    message.method_name.start, message.method_name.size = start, at - start
    message.method = method_of(data + start, at - start)
    cdef uint32_t uri = at + 1
    at = end
    while at > uri and data[at - 1] != 32:
        at -= 1
    if at <= uri + 1:
        return -1
    if not (end - at == 7 and sip_equal_nocase(data + at, b"sip/2.0", 7)):
        if end - at > 4 and sip_equal_nocase(data + at, b"sip/", 4):
            fault(reason, b"Version Not Supported")
            return 505
        return fault(reason, b"Bad Start Line")
    if not parse_uri(data, uri, at - 1, &message.request_uri) or message.request_uri.has_headers:
        return fault(reason, b"Bad Request-URI")
    return 0


cdef int parse_status_line(Message* message, uint32_t start, uint32_t end) noexcept nogil:
    cdef const uint8_t* data = message.data
    message.is_request = 0
    if end - start < 12 or data[start + 11] != 32:
        return -1
    cdef int status = <int>parse_decimal(data + start + 8, 3, 699)
    if status < 100:
        return -1
    message.status = <uint16_t>status
    return 0


cdef int parse_headers(Message* message, const char** reason) noexcept nogil:
    cdef const uint8_t* data = message.data
    cdef uint32_t size = message.size
    cdef uint32_t at = message.headers_start
    cdef uint32_t lf, name_end, value
    cdef int status = 0
    cdef int outcome
    cdef bint is_open
    cdef Header* header
    while True:
        lf = line_end(data, at, size) if at < size else 0
        if lf == 0:
            message.head_end = message.body = size
            return status or fault(reason, b"Bad Line End")
        if lf == at + 1:
            message.head_end = at
            message.body = lf + 1
            return status
        if message.header_count == MAX_HEADERS:
            fault(reason, b"Too Many Headers")
            message.head_end = message.body = size
            return status or 513
        header = &message.headers[message.header_count]
        header.start = at
        value = at
        while value < lf and data[value] != 58:
            value += 1
        name_end = value
        while name_end > at and sip_is(data[name_end - 1], CLASS_BLANK):
            name_end -= 1
        header.name = header_name_of(data + at, name_end - at) if name_end > at else <uint8_t>HEADER_OTHER
        # Any other name has been compared whole.
        is_open = header.name == HEADER_OTHER or header.name == HEADER_CALLSIEVE or header.name == HEADER_CHARGING
        if value == lf or (is_open and not is_token(data, at, name_end)):
            return status or fault(reason, b"Bad Header Name")
        while lf + 1 < size and sip_is(data[lf + 1], CLASS_BLANK):
            lf = line_end(data, lf + 1, size)
            if lf == 0:
                message.head_end = message.body = size
                return status or fault(reason, b"Bad Line End")
        header.end = lf + 1
        header.value = skip_blank(data, value + 1, lf + 1)
        header.value_end = lf - 1
        while header.value_end > header.value and is_space(data[header.value_end - 1]):
            header.value_end -= 1
        if header.value > header.value_end:
            header.value = header.value_end
        if header.name != HEADER_OTHER:
            outcome = read_header(message, header, message.header_count, reason)
            if status == 0:
                status = outcome
        message.header_count += 1
        at = header.end


cdef bint is_token(const uint8_t* data, uint32_t at, uint32_t end) noexcept nogil:
    return end > at and skip_token(data, at, end) == end


cdef bint is_space(uint8_t c) noexcept nogil:
    return c == 32 or c == 9 or c == 13 or c == 10


# What each header that a proxy uses leaves in the message. Returns 0 or the status to answer.
cdef int read_header(Message* message, Header* header, int index, const char** reason) noexcept nogil:
    cdef const uint8_t* data = message.data
    cdef uint8_t name = header.name
    if name == HEADER_VIA:
        if message.via_header < 0:
            message.via_header = index
            if not parse_via(data, header.value, header.value_end, &message.via):
                message.via.whole.size = 0
                return fault(reason, b"Bad Via")
    elif name == HEADER_FROM:
        return read_party(message, header, index, &message.from_header, &message.from_, &message.from_tag, reason)
    elif name == HEADER_TO:
        return read_party(message, header, index, &message.to_header, &message.to, &message.to_tag, reason)
    elif name == HEADER_CALL_ID:
        if message.call_id.size:
            return fault(reason, b"Repeated Call-ID")
        if not is_call_id(data, header.value, header.value_end):
            return fault(reason, b"Bad Call-ID")
        message.call_id.start, message.call_id.size = header.value, header.value_end - header.value
    elif name == HEADER_CSEQ:
        return read_cseq(message, header, index, reason)
    elif name == HEADER_MAX_FORWARDS:
        return read_max_forwards(message, header, index, reason)
    elif name == HEADER_CONTENT_LENGTH:
        return read_content_length(message, header, reason)
    elif name == HEADER_ROUTE:
        if message.route_header < 0:
            message.route_header = index
    elif name == HEADER_ASSERTED_IDENTITY:
        message.at_border = 1
        if message.asserted_header < 0:
            message.asserted_header = index
    elif name == HEADER_USER_AGENT:
        message.user_agent_header = index
    elif name == HEADER_PRIVACY:
        if message.privacy_header < 0:
            message.privacy_header = index
    elif name == HEADER_TIMESTAMP:
        message.timestamp_header = index
    elif name == HEADER_PROXY_REQUIRE:
        message.has_proxy_require = 1
    elif name == HEADER_CONTACT:
        if message.contact_header < 0:
            message.contact_header = index
    elif name == HEADER_DIVERSION or name == HEADER_HISTORY_INFO:
        message.at_border = 1
        if message.diversion_header < 0:
            message.diversion_header = index
    elif name in (
        HEADER_CALLSIEVE, HEADER_PREFERRED_IDENTITY, HEADER_REMOTE_PARTY_ID, HEADER_REASON, HEADER_IDENTITY,
        HEADER_CALL_INFO, HEADER_RESOURCE_PRIORITY, HEADER_CHARGING, HEADER_ACCESS_NETWORK
    ):
        message.at_border = 1
    return 0


# The first fault found is the one named.
cdef int fault(const char** reason, const char* text) noexcept nogil:
    if reason[0] == NULL:
        reason[0] = text
    return 400


# One word, or two with an @ between them: printable, without blanks (RFC 3261 section 25.1).
cdef bint is_call_id(const uint8_t* data, uint32_t at, uint32_t end) noexcept nogil:
    cdef uint32_t begin = at
    while at < end and data[at] > 32 and data[at] != 127:
        at += 1
    return begin < at == end


cdef int read_party(
    Message* message, Header* header, int index, int32_t* place, NameAddr* party, Slice* tag, const char** reason
) noexcept nogil:
    if place[0] >= 0:
        return fault(reason, b"Repeated From or To")
    if not parse_name_addr(message.data, header.value, header.value_end, True, party):
        return fault(reason, b"Bad From or To")
    cdef Slice rest = party.parameters
    cdef Slice second
    if header_parameter(message.data, rest, b"tag", 3, tag):
        if tag.size == 0:
            return fault(reason, b"Empty Tag")
        rest.start = tag.start + tag.size
        rest.size = party.parameters.start + party.parameters.size - rest.start
        if header_parameter(message.data, rest, b"tag", 3, &second):
            tag.size = 0
            return fault(reason, b"Repeated Tag")
    else:
        tag.size = 0
    place[0] = index
    return 0


cdef int read_cseq(Message* message, Header* header, int index, const char** reason) noexcept nogil:
    cdef const uint8_t* data = message.data
    cdef uint32_t blank = header.value
    cdef int64_t number
    if message.cseq_header >= 0:
        return fault(reason, b"Repeated CSeq")
    while blank < header.value_end and not is_space(data[blank]):
        blank += 1
    number = parse_decimal(data + header.value, blank - header.value, 0xFFFFFFFF)
    message.cseq_method.start = skip_blank(data, blank, header.value_end)
    message.cseq_method.size = header.value_end - message.cseq_method.start
    if number < 0 or not is_token(data, message.cseq_method.start, header.value_end):
        message.cseq_method.size = 0
        return fault(reason, b"Bad CSeq")
    message.cseq = <uint32_t>number
    message.cseq_header = index
    return 0


# 0..255 (RFC 3261 section 20.22); a larger number is read as absent and replaced, nonsense is refused.
cdef int read_max_forwards(Message* message, Header* header, int index, const char** reason) noexcept nogil:
    if message.max_forwards_header >= 0:
        return fault(reason, b"Repeated Max-Forwards")
    cdef int64_t value = parse_decimal(message.data + header.value, header.value_end - header.value, 1 << 40)
    if value < 0:
        return fault(reason, b"Bad Max-Forwards")
    message.max_forwards_header = index
    message.max_forwards = <int32_t>value if value <= 255 else -1
    return 0


# A number too large to hold is larger than any message, and stays so.
cdef int read_content_length(Message* message, Header* header, const char** reason) noexcept nogil:
    cdef const uint8_t* digits = message.data + header.value
    cdef uint32_t size = header.value_end - header.value
    cdef int64_t value = parse_decimal(digits, size, INT32_MAX)
    if value < 0 and not is_number(digits, size):
        message.content_length = CONTENT_LENGTH_BAD
        return fault(reason, b"Bad Content-Length")
    if message.content_length != CONTENT_LENGTH_ABSENT:
        message.content_length = CONTENT_LENGTH_BAD
        return fault(reason, b"Repeated Content-Length")
    message.content_length = <int32_t>value if value >= 0 else INT32_MAX
    return 0


cdef bint is_number(const uint8_t* digits, uint32_t size) noexcept nogil:
    cdef uint32_t i
    for i in range(size):
        if not sip_is(digits[i], CLASS_DIGIT):
            return False
    return size > 0


cdef int check_mandatory(Message* message, const char** reason) noexcept nogil:
    if message.via.whole.size == 0:
        return fault(reason, b"Missing Via")
    if message.from_header < 0:
        return fault(reason, b"Missing From")
    if message.to_header < 0:
        return fault(reason, b"Missing To")
    if message.call_id.size == 0:
        return fault(reason, b"Missing Call-ID")
    if message.cseq_header < 0:
        return fault(reason, b"Missing CSeq")
    cdef Slice method = message.cseq_method
    if message.is_request:
        if not same_method(message, method):
            if message.method == METHOD_OTHER:
                fault(reason, b"CSeq Names Another Method")
                return 501
            return fault(reason, b"CSeq Names Another Method")
    else:
        message.method = method_of(message.data + method.start, method.size)
    return 0


# Methods are compared byte by byte (RFC 3261 section 7.1).
cdef bint same_method(const Message* message, Slice method) noexcept nogil:
    cdef uint32_t i
    if method.size != message.method_name.size:
        return False
    for i in range(method.size):
        if message.data[method.start + i] != message.data[message.method_name.start + i]:
            return False
    return True


# RFC 3261 section 18.3 for a datagram: a longer body is cut, a shorter one is an error.
cdef int check_body(Message* message, const char** reason) noexcept nogil:
    if message.content_length < 0:
        return 0
    if <uint32_t>message.content_length > message.size - message.body:
        return fault(reason, b"Content-Length Exceeds Message")
    message.size = message.body + <uint32_t>message.content_length
    return 0


cdef uint8_t method_of(const uint8_t* name, uint32_t size) noexcept nogil:
    if size == 6:
        if is_exactly(name, b"INVITE", 6):
            return METHOD_INVITE
        if is_exactly(name, b"CANCEL", 6):
            return METHOD_CANCEL
        if is_exactly(name, b"UPDATE", 6):
            return METHOD_UPDATE
        if is_exactly(name, b"NOTIFY", 6):
            return METHOD_NOTIFY
    elif size == 3:
        if is_exactly(name, b"ACK", 3):
            return METHOD_ACK
        if is_exactly(name, b"BYE", 3):
            return METHOD_BYE
    elif size == 7:
        if is_exactly(name, b"OPTIONS", 7):
            return METHOD_OPTIONS
        if is_exactly(name, b"MESSAGE", 7):
            return METHOD_MESSAGE
        if is_exactly(name, b"PUBLISH", 7):
            return METHOD_PUBLISH
    elif size == 8 and is_exactly(name, b"REGISTER", 8):
        return METHOD_REGISTER
    elif size == 5:
        if is_exactly(name, b"PRACK", 5):
            return METHOD_PRACK
        if is_exactly(name, b"REFER", 5):
            return METHOD_REFER
    elif size == 4 and is_exactly(name, b"INFO", 4):
        return METHOD_INFO
    elif size == 9 and is_exactly(name, b"SUBSCRIBE", 9):
        return METHOD_SUBSCRIBE
    return METHOD_OTHER


cdef bint is_exactly(const uint8_t* name, const char* expected, uint32_t size) noexcept nogil:
    cdef uint32_t i
    for i in range(size):
        if name[i] != <uint8_t>expected[i]:
            return False
    return True


# The name of a header, any case, full or compact (RFC 3261 section 7.3.3).
cdef uint8_t header_name_of(const uint8_t* name, uint32_t size) noexcept nogil:
    cdef uint8_t first = sip_lower(name[0])
    if size == 1:
        if first == 118:                              # v
            return HEADER_VIA
        if first == 102:                              # f
            return HEADER_FROM
        if first == 116:                              # t
            return HEADER_TO
        if first == 105:                              # i
            return HEADER_CALL_ID
        if first == 108:                              # l
            return HEADER_CONTENT_LENGTH
        if first == 109:                              # m
            return HEADER_CONTACT
        return HEADER_IDENTITY if first == 121 else HEADER_OTHER      # y
    if first == 118:
        return HEADER_VIA if equal_token(name, size, b"via") else HEADER_OTHER
    if first == 102:
        return HEADER_FROM if equal_token(name, size, b"from") else HEADER_OTHER
    if first == 116:
        if equal_token(name, size, b"to"):
            return HEADER_TO
        return HEADER_TIMESTAMP if equal_token(name, size, b"timestamp") else HEADER_OTHER
    if first == 99:
        if equal_token(name, size, b"call-id"):
            return HEADER_CALL_ID
        if equal_token(name, size, b"cseq"):
            return HEADER_CSEQ
        if equal_token(name, size, b"contact"):
            return HEADER_CONTACT
        if equal_token(name, size, b"call-info"):
            return HEADER_CALL_INFO
        return HEADER_CONTENT_LENGTH if equal_token(name, size, b"content-length") else HEADER_OTHER
    if first == 109:
        if equal_token(name, size, b"max-forwards"):
            return HEADER_MAX_FORWARDS
        return HEADER_MAX_BREADTH if equal_token(name, size, b"max-breadth") else HEADER_OTHER
    if first == 114:
        return name_with_r(name, size)
    if first == 112:
        return name_with_p(name, size)
    if first == 117:
        return HEADER_USER_AGENT if equal_token(name, size, b"user-agent") else HEADER_OTHER
    if first == 105:
        return HEADER_IDENTITY if equal_token(name, size, b"identity") else HEADER_OTHER
    if first == 100:
        return HEADER_DIVERSION if equal_token(name, size, b"diversion") else HEADER_OTHER
    if first == 104:
        return HEADER_HISTORY_INFO if equal_token(name, size, b"history-info") else HEADER_OTHER
    if first == 120 and size >= 11 and sip_equal_nocase(name, b"x-callsieve", 11):
        return HEADER_CALLSIEVE
    return HEADER_OTHER


cdef uint8_t name_with_r(const uint8_t* name, uint32_t size) noexcept nogil:
    if equal_token(name, size, b"route"):
        return HEADER_ROUTE
    if equal_token(name, size, b"record-route"):
        return HEADER_RECORD_ROUTE
    if equal_token(name, size, b"remote-party-id"):
        return HEADER_REMOTE_PARTY_ID
    if equal_token(name, size, b"resource-priority"):
        return HEADER_RESOURCE_PRIORITY
    return HEADER_REASON if equal_token(name, size, b"reason") else HEADER_OTHER


cdef uint8_t name_with_p(const uint8_t* name, uint32_t size) noexcept nogil:
    if equal_token(name, size, b"p-asserted-identity"):
        return HEADER_ASSERTED_IDENTITY
    if equal_token(name, size, b"p-preferred-identity"):
        return HEADER_PREFERRED_IDENTITY
    if equal_token(name, size, b"proxy-require"):
        return HEADER_PROXY_REQUIRE
    if equal_token(name, size, b"p-access-network-info"):
        return HEADER_ACCESS_NETWORK
    if size > 11 and sip_equal_nocase(name, b"p-charging-", 11):
        return HEADER_CHARGING
    return HEADER_PRIVACY if equal_token(name, size, b"privacy") else HEADER_OTHER


cdef str text_of(const Message* message, Slice part):
    return message.data[part.start : part.start + part.size].decode("utf-8", "surrogateescape")


cdef class SipMessage:
    """A parsed message, for tests and tools; the call path uses the C struct."""

    cdef Message message
    cdef bytes data
    cdef readonly int status
    cdef readonly str fault

    def __init__(self, bytes data not None):
        cdef const char* reason = b""
        self.data = data
        self.status = parse_message(data, <uint32_t>len(data), &self.message, &reason)
        self.fault = "" if reason == NULL else reason.decode("ascii")

    @property
    def is_request(self):
        return bool(self.message.is_request)

    @property
    def method(self):
        if self.message.is_request:
            return text_of(&self.message, self.message.method_name)
        return text_of(&self.message, self.message.cseq_method)

    @property
    def response_status(self):
        return self.message.status

    @property
    def request_uri(self):
        return text_of(&self.message, self.message.request_uri.whole)

    @property
    def uri_parts(self):
        cdef const Uri* uri = &self.message.request_uri
        scheme = ("", "sip", "sips", "tel", "urn:service")[uri.scheme]
        user, host = text_of(&self.message, uri.user), text_of(&self.message, uri.host)
        return scheme, user, host, uri.port, text_of(&self.message, uri.parameters)

    @property
    def call_id(self):
        return text_of(&self.message, self.message.call_id)

    @property
    def cseq(self):
        return self.message.cseq

    @property
    def max_forwards(self):
        return self.message.max_forwards

    @property
    def from_display(self):
        return text_of(&self.message, self.message.from_.display)

    @property
    def from_uri(self):
        return text_of(&self.message, self.message.from_.uri)

    @property
    def from_tag(self):
        return text_of(&self.message, self.message.from_tag)

    @property
    def to_uri(self):
        return text_of(&self.message, self.message.to.uri)

    @property
    def to_tag(self):
        return text_of(&self.message, self.message.to_tag)

    @property
    def branch(self):
        return text_of(&self.message, self.message.via.branch)

    @property
    def transport(self):
        return text_of(&self.message, self.message.via.transport)

    @property
    def sent_by(self):
        return text_of(&self.message, self.message.via.host), self.message.via.port

    @property
    def wants_rport(self):
        return bool(self.message.via.rport_empty)

    @property
    def wants_alias(self):
        via = text_of(&self.message, self.message.via.whole)
        return any(part.strip().lower() == "alias" for part in via.split(";"))

    @property
    def body(self):
        return self.data[self.message.body : self.message.size]

    @property
    def headers(self):
        cdef int i
        cdef Header* header
        rows = []
        for i in range(self.message.header_count):
            header = &self.message.headers[i]
            line = self.data[header.start : header.value]
            rows.append((line.split(b":", 1)[0].strip().decode("ascii"), self.data[header.value : header.value_end]))
        return rows
