"""Caller identity: the asserted one of a trusted peer counts, anybody else is taken at the word of From."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

from proxy.sip.grammar cimport equal_literal
from proxy.sip.message cimport HEADER_ASSERTED_IDENTITY, HEADER_PRIVACY, Header
from proxy.sip.name_addr cimport NameAddr, parse_name_addr
from proxy.sip.uri cimport SCHEME_SIP, SCHEME_SIPS, SCHEME_TEL, Uri, parse_uri


cdef void caller_identity(const Message* message, bint trusted, Identity* identity) noexcept nogil:
    cdef Slice from_user
    cdef bint from_anonymous
    if not read_user(message, message.from_.uri, &from_user, &from_anonymous):
        from_user = message.from_.uri        # what is no URI is no number either: invalid, not withheld
    identity.user = from_user
    identity.anonymous = from_anonymous
    identity.mismatch = False
    identity.privacy = asks_privacy(message)
    cdef Slice asserted
    if trusted and message.asserted_header >= 0 and asserted_user(message, &asserted):
        identity.mismatch = not from_anonymous and not same_text(message.data, asserted, from_user)
        identity.user = asserted
        identity.anonymous = False


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


cdef bint asks_privacy(const Message* message) noexcept nogil:
    cdef const Header* header
    cdef int i
    if message.privacy_header < 0:
        return False
    for i in range(message.privacy_header, message.header_count):
        header = &message.headers[i]
        if header.name == HEADER_PRIVACY and not equal_literal(
            message.data + header.value, header.value_end - header.value, b"none"
        ):
            return True
    return False


cdef bint same_text(const uint8_t* data, Slice a, Slice b) noexcept nogil:
    return a.size == b.size and memcmp(data + a.start, data + b.start, a.size) == 0


cdef Slice called_user(const Message* message) noexcept nogil:
    return message.request_uri.user
