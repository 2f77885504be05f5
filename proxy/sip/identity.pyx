"""The identities of a request: what From presents, what a trusted peer asserts, what the caller wants hidden.

Which of them is taken for the caller is decided in proxy/screening.pyx; docs/identity.md has the whole table.
"""

from libc.stdint cimport uint32_t

from proxy.sip.grammar cimport equal_literal
from proxy.sip.message cimport HEADER_ASSERTED_IDENTITY, HEADER_PRIVACY, Header
from proxy.sip.name_addr cimport NameAddr, parse_name_addr
from proxy.sip.uri cimport SCHEME_SIP, SCHEME_SIPS, SCHEME_TEL, Uri, parse_uri


cdef void read_identity(const Message* message, bint trusted, Identity* identity) noexcept nogil:
    cdef bint asserted = trusted and message.asserted_header >= 0
    if not read_user(message, message.from_.uri, &identity.presented, &identity.anonymous):
        identity.presented = message.from_.uri       # what is no URI is no number either: invalid, not withheld
    if not (asserted and asserted_user(message, &identity.asserted)):
        identity.asserted.size = 0
    identity.withheld = (
        identity.anonymous
        or is_anonymous_name(message, message.from_.display)
        or privacy_of(message) & (PRIVACY_ID | PRIVACY_USER)
    )


# The first value of any P-Asserted-Identity row that names a user: at most one sip and one tel value are there.
cdef bint asserted_user(const Message* message, Slice* user) noexcept nogil:
    cdef NameAddr value
    cdef bint anonymous
    cdef uint32_t at, end
    cdef int i
    for i in range(message.asserted_header, message.header_count):
        if message.headers[i].name != HEADER_ASSERTED_IDENTITY:
            continue
        at = message.headers[i].value
        end = message.headers[i].value_end
        while at < end and parse_name_addr(message.data, at, end, False, &value):
            read_user(message, value.uri, user, &anonymous)
            if user.size and not anonymous:
                return True
            at = value.end + 1
    return False


# False: no URI. `user` is empty for one that names nobody.
cdef bint read_user(const Message* message, Slice whole, Slice* user, bint* anonymous) noexcept nogil:
    cdef Uri uri
    user.start = whole.start
    user.size = 0
    anonymous[0] = False
    if not parse_uri(message.data, whole.start, whole.start + whole.size, &uri):
        return False
    if uri.scheme == SCHEME_TEL:
        user[0] = uri.user
    elif uri.scheme == SCHEME_SIP or uri.scheme == SCHEME_SIPS:
        user[0] = uri.user
        anonymous[0] = (
            equal_literal(message.data + uri.host.start, uri.host.size, b"anonymous.invalid")
            or equal_literal(message.data + uri.user.start, uri.user.size, b"anonymous")
        )
    return True


# Display name Anonymous, in quotes or without (RFC 5079 section 3).
cdef bint is_anonymous_name(const Message* message, Slice display) noexcept nogil:
    if display.size == 11 and message.data[display.start] == 34:
        return equal_literal(message.data + display.start + 1, 9, b"anonymous")
    return equal_literal(message.data + display.start, display.size, b"anonymous")


cdef uint8_t privacy_of(const Message* message) noexcept nogil:
    cdef const Header* header
    cdef uint32_t at, begin
    cdef uint8_t asked = 0
    cdef int i
    if message.privacy_header < 0:
        return 0
    for i in range(message.privacy_header, message.header_count):
        header = &message.headers[i]
        if header.name != HEADER_PRIVACY:
            continue
        at = header.value
        while at < header.value_end:
            begin = at
            while at < header.value_end and not ends_word(message.data[at]):
                at += 1
            asked |= privacy_word(message.data + begin, at - begin)
            at += 1
    return asked


# Values are parted by semicolons (RFC 3323 section 4.2); commas and blanks are taken for them.
cdef inline bint ends_word(uint8_t c) noexcept nogil:
    return c == 59 or c == 44 or c <= 32


cdef uint8_t privacy_word(const uint8_t* word, uint32_t size) noexcept nogil:
    if equal_literal(word, size, b"id"):
        return PRIVACY_ID
    if equal_literal(word, size, b"user"):
        return PRIVACY_USER
    if equal_literal(word, size, b"history"):
        return PRIVACY_HISTORY
    return PRIVACY_NONE if equal_literal(word, size, b"none") else 0


cdef Slice called_user(const Message* message) noexcept nogil:
    return message.request_uri.user
