"""The trust border: what is taken out of a message between a peer that sent it and a peer that gets it.

From a peer without the right to say it, a header that others would believe goes, in every spelling that the parser
takes for it. Toward a peer outside the trust domain goes what the caller wants hidden and what is ours alone.
Everything else crosses byte for byte. docs/identity.md has the table that this file carries out.
"""

from libc.stdint cimport uint64_t

from proxy.outbox cimport literal, put
from proxy.sip.grammar cimport Slice, equal_literal, parse_hex, sip_lower, skip_blank, skip_quoted
from proxy.sip.identity cimport PRIVACY_HISTORY, PRIVACY_ID, privacy_of
from proxy.sip.message cimport (
    HEADER_ACCESS_NETWORK,
    HEADER_ASSERTED_IDENTITY,
    HEADER_CALLSIEVE,
    HEADER_CALL_INFO,
    HEADER_CHARGING,
    HEADER_DIVERSION,
    HEADER_FROM,
    HEADER_HISTORY_INFO,
    HEADER_IDENTITY,
    HEADER_PREFERRED_IDENTITY,
    HEADER_REASON,
    HEADER_REMOTE_PARTY_ID,
    HEADER_RESOURCE_PRIORITY,
    METHOD_CANCEL,
    Header,
)
from proxy.sip.name_addr cimport NameAddr, header_parameter, parse_name_addr, value_end
from proxy.sip.uri cimport SCHEME_SIP, SCHEME_SIPS, SCHEME_TEL, scheme_at


cdef void open_border(
    Border* border, const Message* message, uint8_t rights, bint to_trusted, const uint8_t* label, uint32_t label_size
) noexcept nogil:
    cdef uint8_t privacy = 0 if to_trusted else privacy_of(message)
    cdef uint32_t stop
    border.rights = rights
    border.to_trusted = to_trusted
    border.hides_identity = privacy & PRIVACY_ID
    border.hides_history = privacy & PRIVACY_HISTORY
    border.out_of_dialog = message.is_request and message.to_tag.size == 0 and message.method != METHOD_CANCEL
    border.label = label if to_trusted else NULL
    border.label_size = label_size
    border.asserted_sip = border.asserted_tel = -1
    border.filters_asserted = False
    if message.asserted_header >= 0 and rights & RIGHT_ASSERT and not border.hides_identity:
        choose_asserted(border, message)
    border.cuts_verstat = (
        message.is_request and not rights & RIGHT_ASSERT
        and find_verstat(message.data, message.from_.uri.start, from_end(message), &stop) < from_end(message)
    )


cdef bint changes_at_border(const Border* border, const Message* message, int index) noexcept nogil:
    cdef uint8_t name = message.headers[index].name
    if name == HEADER_FROM:
        return border.cuts_verstat
    if name == HEADER_ASSERTED_IDENTITY:
        return not border.rights & RIGHT_ASSERT or border.hides_identity or border.filters_asserted
    if name == HEADER_PREFERRED_IDENTITY:
        return True                          # a hint to the first proxy, never forwarded (RFC 3325 section 6)
    if name in (HEADER_CALLSIEVE, HEADER_REMOTE_PARTY_ID, HEADER_CHARGING, HEADER_ACCESS_NETWORK):
        return not (border.rights & RIGHT_ASSERT and border.to_trusted)
    if not message.is_request:
        return False
    if name == HEADER_IDENTITY:
        return not border.rights & RIGHT_SIGN
    if name == HEADER_DIVERSION:
        return not border.rights & RIGHT_DIVERT
    if name == HEADER_HISTORY_INFO:
        return not border.rights & RIGHT_DIVERT or border.hides_history
    if name == HEADER_RESOURCE_PRIORITY:
        return not border.rights & RIGHT_PRIORITY
    if name == HEADER_REASON:
        return not border.rights & RIGHT_ASSERT and border.out_of_dialog
    return name == HEADER_CALL_INFO and not border.rights & RIGHT_ASSERT and has_call_data(message, index)


cdef void write_across(Writer* writer, const Border* border, const Message* message, int index) noexcept nogil:
    cdef uint8_t name = message.headers[index].name
    if name == HEADER_FROM:
        write_without_verstat(writer, message, index)
    elif name == HEADER_CALL_INFO or (name == HEADER_ASSERTED_IDENTITY and border.filters_asserted):
        write_values(writer, border, message, index)


# -- rows of several values -------------------------------------------------------------------------------------------

# The row with the values that may cross; nothing if none may. What cannot be read as a value goes, and what follows it.
cdef void write_values(Writer* writer, const Border* border, const Message* message, int index) noexcept nogil:
    cdef const Header* header = &message.headers[index]
    cdef const uint8_t* data = message.data
    cdef uint32_t at = header.value
    cdef bint is_first = True
    cdef NameAddr value
    while at < header.value_end and parse_name_addr(data, at, header.value_end, False, &value):
        if value_crosses(border, message, header, at, &value):
            if is_first:
                put(writer, data + header.start, header.value - header.start)
            else:
                literal(writer, b", ")
            is_first = False
            write_value(writer, border, message, header, at, &value)
        at = value.end + 1
    if not is_first:
        put(writer, data + header.value_end, header.end - header.value_end)


cdef bint value_crosses(
    const Border* border, const Message* message, const Header* header, uint32_t at, const NameAddr* value
) noexcept nogil:
    if header.name == HEADER_CALL_INFO:
        return not is_call_data(message, value)
    return <int32_t>at == border.asserted_sip or <int32_t>at == border.asserted_tel


cdef void write_value(
    Writer* writer, const Border* border, const Message* message, const Header* header, uint32_t at,
    const NameAddr* value
) noexcept nogil:
    cdef const uint8_t* data = message.data
    cdef uint32_t end = value_end(data, value)
    if header.name != HEADER_ASSERTED_IDENTITY or border.label == NULL:
        at = skip_blank(data, at, end)
        put(writer, data + at, end - at)
        return
    write_labelled_display(writer, border, data, value)
    if value.bracketed:
        at = value.uri.start - 1
        put(writer, data + at, end - at)
    else:
        literal(writer, b"<")
        put(writer, data + value.uri.start, value.uri.size)
        literal(writer, b">")
        at = value.uri.start + value.uri.size
        put(writer, data + at, end - at)


# "LABEL name" in quotes. The name has been read as a quoted-string, or as words without quotes and backslashes.
cdef void write_labelled_display(
    Writer* writer, const Border* border, const uint8_t* data, const NameAddr* value
) noexcept nogil:
    literal(writer, b'"')
    put(writer, border.label, border.label_size)
    if value.display.size and data[value.display.start] == 34:
        literal(writer, b" ")
        put(writer, data + value.display.start + 1, value.display.size - 2)
    elif value.display.size:
        literal(writer, b" ")
        put(writer, data + value.display.start, value.display.size)
    literal(writer, b'" ')


# At most one sip or sips value and one tel value (RFC 3325 section 9.1): the first of each stays.
cdef void choose_asserted(Border* border, const Message* message) noexcept nogil:
    cdef const Header* header
    cdef NameAddr value
    cdef uint32_t at
    cdef int i
    border.filters_asserted = border.label != NULL
    for i in range(message.asserted_header, message.header_count):
        header = &message.headers[i]
        if header.name != HEADER_ASSERTED_IDENTITY:
            continue
        at = header.value
        while at < header.value_end and parse_name_addr(message.data, at, header.value_end, False, &value):
            choose_value(border, message, at, &value)
            at = value.end + 1
        if at < header.value_end:
            border.filters_asserted = True


cdef void choose_value(Border* border, const Message* message, uint32_t at, const NameAddr* value) noexcept nogil:
    cdef uint8_t scheme = scheme_at(message.data, value.uri)
    if (scheme == SCHEME_SIP or scheme == SCHEME_SIPS) and border.asserted_sip < 0:
        border.asserted_sip = <int32_t>at
    elif scheme == SCHEME_TEL and border.asserted_tel < 0:
        border.asserted_tel = <int32_t>at
    else:
        border.filters_asserted = True


# -- rich call data (RFC 9796) ----------------------------------------------------------------------------------------

cdef bint has_call_data(const Message* message, int index) noexcept nogil:
    cdef const Header* header = &message.headers[index]
    cdef uint32_t at = header.value
    cdef NameAddr value
    while at < header.value_end:
        if not parse_name_addr(message.data, at, header.value_end, False, &value) or is_call_data(message, &value):
            return True
        at = value.end + 1
    return False


cdef bint is_call_data(const Message* message, const NameAddr* value) noexcept nogil:
    cdef Slice found
    if header_parameter(message.data, value.parameters, b"purpose", 7, &found) and equal_literal(
        message.data + found.start, found.size, b"jcard"
    ):
        return True
    return (
        header_parameter(message.data, value.parameters, b"call-reason", 11, &found)
        or header_parameter(message.data, value.parameters, b"verified", 8, &found)
        or header_parameter(message.data, value.parameters, b"integrity", 9, &found)
    )


# -- verstat (3GPP TS 24.229) -----------------------------------------------------------------------------------------

cdef inline uint32_t from_end(const Message* message) noexcept nogil:
    return message.headers[message.from_header].value_end


cdef void write_without_verstat(Writer* writer, const Message* message, int index) noexcept nogil:
    cdef const Header* header = &message.headers[index]
    cdef uint32_t at = message.from_.uri.start
    cdef uint32_t cut, stop
    put(writer, message.data + header.start, at - header.start)
    while at < header.value_end:
        cut = find_verstat(message.data, at, header.value_end, &stop)
        put(writer, message.data + at, cut - at)
        at = stop
    put(writer, message.data + header.value_end, header.end - header.value_end)


# Offset of the ';' before the next verstat parameter of a URI or of the header itself, and where it stops; both are
# `end` if there is none.
cdef uint32_t find_verstat(const uint8_t* data, uint32_t at, uint32_t end, uint32_t* stop) noexcept nogil:
    cdef uint32_t behind
    while at < end:
        if data[at] == 34:
            behind = skip_quoted(data, at, end)
            at = behind if behind else end
            continue
        if data[at] == 59:
            behind = match_verstat(data, skip_blank(data, at + 1, end), end)
            if behind:
                stop[0] = skip_parameter_value(data, behind, end)
                return at
        at += 1
    stop[0] = end
    return end


# Offset behind the name, 0 if another name stands here. Letters may be written as percent-escapes.
cdef uint32_t match_verstat(const uint8_t* data, uint32_t at, uint32_t end) noexcept nogil:
    cdef const char* name = b"verstat"
    cdef uint64_t c
    cdef int i
    for i in range(7):
        if at >= end:
            return 0
        c = data[at]
        if c == 37 and at + 2 < end and parse_hex(data + at + 1, 2, &c):
            at += 2
        at += 1
        if sip_lower(<uint8_t>c) != <uint8_t>name[i]:
            return 0
    return at if at == end or ends_name(data[at]) else 0


cdef inline bint ends_name(uint8_t c) noexcept nogil:
    return c <= 32 or c == 61 or c == 59 or c == 64 or c == 62 or c == 63 or c == 44


cdef uint32_t skip_parameter_value(const uint8_t* data, uint32_t at, uint32_t end) noexcept nogil:
    cdef uint32_t begin = skip_blank(data, at, end)
    if begin == end or data[begin] != 61:
        return at
    at = skip_blank(data, begin + 1, end)
    if at < end and data[at] == 34:
        begin = skip_quoted(data, at, end)
        return begin if begin else end
    while at < end and (data[at] == 61 or not ends_name(data[at])):
        at += 1
    return at
