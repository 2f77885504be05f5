# A SIP message as an endpoint needs it: slices of the datagram, and the writing of text into one.

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from tests.load._datagrams cimport Address

cdef enum Method:
    METHOD_OTHER = 0
    METHOD_INVITE = 1
    METHOD_ACK = 2
    METHOD_BYE = 3
    METHOD_CANCEL = 4
    METHOD_OPTIONS = 5

cdef enum:
    MAX_LINES = 16             # Via lines, and Record-Route lines, that a message may carry

cdef struct Slice:
    const char *start
    size_t length

cdef struct Message:
    int status                 # 0: a request
    Method method              # of the request line, or of a response's CSeq
    Slice vias[MAX_LINES]
    int vias_count
    Slice record_routes[MAX_LINES]
    int record_routes_count
    Slice branch               # of the topmost Via
    Slice caller               # value of From
    Slice callee               # value of To
    bint callee_tagged         # To carries a tag
    Slice call_id
    Slice cseq
    Slice contact
    bint labelled              # X-Callsieve-Verdict says that the call was tagged

cdef int scan(const char *data, size_t length, Message *message) noexcept nogil
cdef Slice uri_in(Slice value) noexcept nogil
cdef int uri_address(Slice uri, Address *address) noexcept nogil
cdef char *put_hex(char *at, uint32_t value) noexcept nogil
cdef char *put_decimal(char *at, uint32_t value) noexcept nogil
cdef int parse_hex(const char *at, uint32_t *value) noexcept nogil


cdef inline Slice slice_of(bytes text):
    """Valid for as long as `text` lives."""
    return Slice(text, len(text))


cdef inline char *put(char *at, const char *text, size_t length) noexcept nogil:
    memcpy(at, text, length)
    return at + length


cdef inline char *put_slice(char *at, Slice text) noexcept nogil:
    memcpy(at, text.start, text.length)
    return at + text.length


cdef inline char *put_line(char *at, const char *name, size_t name_length, Slice value) noexcept nogil:
    at = put_slice(put(at, name, name_length), value)
    return put(at, b"\r\n", 2)
