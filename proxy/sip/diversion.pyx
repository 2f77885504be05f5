"""The last diverting party of a call.

History-Info lists the targets a request has had, oldest first. An entry with `mp` took the call from another user: the
entry whose index it names diverted (RFC 7044 section 5). Older senders mark the new target with a `cause` parameter
instead, and the entry before it diverted (RFC 4458 section 4.2). In Diversion the topmost value is the last diverter
(RFC 5806 section 3.3). Where both name one, History-Info counts.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcmp

from proxy.sip.grammar cimport equal_literal, parse_decimal
from proxy.sip.message cimport HEADER_DIVERSION, HEADER_HISTORY_INFO, Header
from proxy.sip.name_addr cimport NameAddr, header_parameter, parse_name_addr
from proxy.sip.uri cimport Uri, find_parameter, parse_uri

# One entry of History-Info as far as it matters here.
cdef struct Entry:
    Slice index
    Slice mapped_from        # of `mp`; 0 bytes = none
    Slice user
    uint8_t reason           # DIVERSION_NONE = no cause given


cdef void last_diverter(const Message* message, Diverter* diverter) noexcept nogil:
    diverter.reason = DIVERSION_NONE
    diverter.user.start = diverter.user.size = 0
    if message.diversion_header < 0:
        return
    read_history(message, diverter)
    if diverter.reason == DIVERSION_NONE:
        read_diversion(message, diverter)


cdef void read_diversion(const Message* message, Diverter* diverter) noexcept nogil:
    cdef const Header* header
    cdef NameAddr value
    cdef Slice reason
    cdef int i
    for i in range(message.diversion_header, message.header_count):
        header = &message.headers[i]
        if header.name != HEADER_DIVERSION:
            continue
        if parse_name_addr(message.data, header.value, header.value_end, False, &value):
            diverter.user = user_of(message, value.uri)
            diverter.reason = DIVERSION_UNKNOWN
            if header_parameter(message.data, value.parameters, b"reason", 6, &reason):
                diverter.reason = reason_of_word(message.data + reason.start, reason.size)
        return


# The last entry that says it was reached by a diversion names the diverter, or stands right behind it.
cdef void read_history(const Message* message, Diverter* diverter) noexcept nogil:
    cdef const Header* header
    cdef Entry entry
    cdef NameAddr value
    cdef Slice before
    cdef Slice mapped
    cdef uint32_t at
    cdef int i
    before.start = before.size = 0
    mapped.start = mapped.size = 0
    for i in range(message.diversion_header, message.header_count):
        header = &message.headers[i]
        if header.name != HEADER_HISTORY_INFO:
            continue
        at = header.value
        while at < header.value_end and parse_name_addr(message.data, at, header.value_end, False, &value):
            read_entry(message, &value, &entry)
            if entry.mapped_from.size or entry.reason != DIVERSION_NONE:
                mapped = entry.mapped_from
                diverter.reason = entry.reason if entry.reason != DIVERSION_NONE else <uint8_t>DIVERSION_UNKNOWN
                diverter.user = before
            before = entry.user
            at = value.end + 1
    if mapped.size:
        find_entry(message, mapped, &diverter.user)


cdef void read_entry(const Message* message, const NameAddr* value, Entry* entry) noexcept nogil:
    cdef Uri uri
    cdef Slice cause
    entry.index.size = entry.mapped_from.size = 0
    header_parameter(message.data, value.parameters, b"index", 5, &entry.index)
    if not header_parameter(message.data, value.parameters, b"mp", 2, &entry.mapped_from):
        entry.mapped_from.size = 0
    entry.reason = DIVERSION_NONE
    entry.user = user_of(message, value.uri)
    if parse_uri(message.data, value.uri.start, value.uri.start + value.uri.size, &uri) and find_parameter(
        message.data, uri.parameters, b"cause", 5, &cause
    ):
        entry.reason = reason_of_cause(parse_decimal(message.data + cause.start, cause.size, 699))


# The user of the entry with this index; left as it is if there is none.
cdef void find_entry(const Message* message, Slice index, Slice* user) noexcept nogil:
    cdef const Header* header
    cdef NameAddr value
    cdef Entry entry
    cdef uint32_t at
    cdef int i
    for i in range(message.diversion_header, message.header_count):
        header = &message.headers[i]
        if header.name != HEADER_HISTORY_INFO:
            continue
        at = header.value
        while at < header.value_end and parse_name_addr(message.data, at, header.value_end, False, &value):
            read_entry(message, &value, &entry)
            if entry.index.size == index.size and memcmp(
                message.data + entry.index.start, message.data + index.start, index.size
            ) == 0:
                user[0] = entry.user
                return
            at = value.end + 1


cdef Slice user_of(const Message* message, Slice whole) noexcept nogil:
    cdef Uri uri
    if not parse_uri(message.data, whole.start, whole.start + whole.size, &uri):
        uri.user.start, uri.user.size = whole.start, 0
    return uri.user


# RFC 7544 section 6.
cdef uint8_t reason_of_cause(int64_t cause) noexcept nogil:
    if cause == 302:
        return DIVERSION_UNCONDITIONAL
    if cause == 486:
        return DIVERSION_USER_BUSY
    if cause == 408:
        return DIVERSION_NO_ANSWER
    if cause == 480 or cause == 487:
        return DIVERSION_DEFLECTION
    if cause == 503:
        return DIVERSION_UNAVAILABLE
    return DIVERSION_UNKNOWN if cause == 404 else DIVERSION_OTHER


cdef uint8_t reason_of_word(const uint8_t* word, uint32_t size) noexcept nogil:
    if equal_literal(word, size, b"unconditional"):
        return DIVERSION_UNCONDITIONAL
    if equal_literal(word, size, b"user-busy"):
        return DIVERSION_USER_BUSY
    if equal_literal(word, size, b"no-answer"):
        return DIVERSION_NO_ANSWER
    if equal_literal(word, size, b"deflection"):
        return DIVERSION_DEFLECTION
    if equal_literal(word, size, b"unavailable"):
        return DIVERSION_UNAVAILABLE
    return DIVERSION_UNKNOWN if equal_literal(word, size, b"unknown") else DIVERSION_OTHER
