# One SIP message as offsets into the bytes received: the head parsed in one pass, nothing copied.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t

from proxy.sip.grammar cimport Slice
from proxy.sip.name_addr cimport NameAddr
from proxy.sip.uri cimport Uri
from proxy.sip.via cimport Via

cdef enum Method:
    METHOD_OTHER = 0
    METHOD_INVITE = 1
    METHOD_ACK = 2
    METHOD_BYE = 3
    METHOD_CANCEL = 4
    METHOD_OPTIONS = 5
    METHOD_REGISTER = 6
    METHOD_PRACK = 7
    METHOD_UPDATE = 8
    METHOD_INFO = 9
    METHOD_MESSAGE = 10
    METHOD_SUBSCRIBE = 11
    METHOD_NOTIFY = 12
    METHOD_PUBLISH = 13
    METHOD_REFER = 14

cdef enum HeaderName:
    HEADER_OTHER = 0
    HEADER_VIA = 1
    HEADER_FROM = 2
    HEADER_TO = 3
    HEADER_CALL_ID = 4
    HEADER_CSEQ = 5
    HEADER_MAX_FORWARDS = 6
    HEADER_ROUTE = 7
    HEADER_RECORD_ROUTE = 8
    HEADER_CONTENT_LENGTH = 9
    HEADER_PROXY_REQUIRE = 10
    HEADER_ASSERTED_IDENTITY = 11    # P-Asserted-Identity
    HEADER_PREFERRED_IDENTITY = 12   # P-Preferred-Identity
    HEADER_REMOTE_PARTY_ID = 13
    HEADER_PRIVACY = 14
    HEADER_USER_AGENT = 15
    HEADER_REASON = 16
    HEADER_CALLSIEVE = 17            # X-Callsieve*
    HEADER_TIMESTAMP = 18
    HEADER_IDENTITY = 19             # RFC 8224
    HEADER_CALL_INFO = 20
    HEADER_DIVERSION = 21
    HEADER_HISTORY_INFO = 22
    HEADER_RESOURCE_PRIORITY = 23
    HEADER_CHARGING = 24             # P-Charging-*
    HEADER_ACCESS_NETWORK = 25       # P-Access-Network-Info
    HEADER_CONTACT = 26
    HEADER_MAX_BREADTH = 27          # RFC 5393

cdef enum:
    MAX_HEADERS = 256
    OWN_HEADERS = 16         # more than the proxy ever adds: what it has forwarded can be parsed again
    OWN_BYTES = 4096         # likewise

cdef enum:
    CONTENT_LENGTH_ABSENT = -1
    CONTENT_LENGTH_BAD = -2  # no number, or there are several

cdef struct Header:
    uint32_t start           # of the line
    uint32_t value           # first byte that is not blank
    uint32_t value_end       # behind the last byte that is not blank
    uint32_t end             # behind the CRLF of its last line
    uint8_t name             # HeaderName

cdef struct Message:
    const uint8_t* data
    uint32_t size            # head and body; octets of a datagram behind Content-Length do not count
    uint32_t start           # of the start line: CRLFs may come before it (RFC 3261 section 7.5)
    uint32_t headers_start   # behind the start line
    uint32_t head_end        # offset of the empty line
    uint32_t body            # behind it
    uint16_t header_count
    uint8_t is_request
    uint8_t method           # Method of the start line, in a response of CSeq
    Slice method_name
    uint16_t status          # responses
    Uri request_uri
    Slice call_id
    uint32_t cseq
    Slice cseq_method
    int32_t max_forwards     # -1 = absent
    int32_t content_length   # CONTENT_LENGTH_ABSENT, CONTENT_LENGTH_BAD; above 2^31 - 1: INT32_MAX
    int32_t via_header       # indexes into headers, -1 = absent
    int32_t from_header
    int32_t to_header
    int32_t cseq_header
    int32_t max_forwards_header
    int32_t route_header     # the first Route
    int32_t asserted_header  # the first P-Asserted-Identity
    int32_t user_agent_header
    int32_t privacy_header   # the first Privacy
    int32_t timestamp_header
    int32_t contact_header   # the first Contact
    int32_t diversion_header # the first Diversion or History-Info
    Via via
    NameAddr from_
    NameAddr to
    Slice from_tag
    Slice to_tag
    uint8_t at_border        # carries a header that the trust border asks about
    uint8_t has_proxy_require
    Header headers[MAX_HEADERS]

# 0 when well formed. Otherwise the status to answer, and `reason` names the fault; what could be read of Via, From,
# To, Call-ID and CSeq is in the message, so that an answer can be built. -1: not SIP at all, nothing to answer.
cdef int parse_message(const uint8_t* data, uint32_t size, Message* message, const char** reason) noexcept nogil
# The same for a head whose body need not be there. It was read to its end if `body` is head_end + 2.
cdef int parse_head(const uint8_t* data, uint32_t size, Message* message, const char** reason) noexcept nogil
cdef uint8_t method_of(const uint8_t* name, uint32_t size) noexcept nogil


cdef inline const uint8_t* at(const Message* message, Slice slice) noexcept nogil:
    return message.data + slice.start
