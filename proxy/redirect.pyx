"""Redirect mode: verdicts as the answers that session border controllers know from redirect-style screening services.

  verdict              report-only   indicate   divert     block
  accept               go on         go on      go on      go on
  tag below act_at     go on         indicate   indicate   indicate
  tag from act_at on   go on         indicate   divert     block
  divert               go on         indicate   divert     divert
  reject, drop         go on         indicate   divert     block

go on = 404 or 503, indicate and divert = 302 (Ribbon: 300) with Contact, block = 603. docs/redirect.md is for
operators.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr

from engine._decision cimport ACTION_ACCEPT, ACTION_DIVERT, ACTION_TAG
from proxy.outbox cimport literal, put, put_base32, put_decimal
from proxy.rejection cimport basis_name
from proxy.routing_table cimport COMPAT_RIBBON, MODE_DIVERT, MODE_INDICATE, MODE_REPORT_ONLY
from proxy.sip.grammar cimport CLASS_TOKEN, Slice, equal_literal, sip_is
from proxy.sip.uri cimport find_parameter

cdef enum:
    MAX_USER = 128           # of a called number with its parameters; longer is none


# Where there is no place to send the call to, the peer is told to go on: it loses no call by our configuration.
cdef Redirect redirect_of(
    const Redirection* redirection, const Message* message, const Verdict* verdict
) noexcept nogil:
    cdef Redirect wanted = wanted_redirect(redirection, verdict)
    if wanted == REDIRECT_DIVERT and redirection.divert_count == 0:
        wanted = REDIRECT_INDICATE
    if wanted == REDIRECT_INDICATE and (redirection.contact_count == 0 or not is_plain_user(message)):
        return REDIRECT_GO_ON
    return wanted


# A user part that no reader of our Contact can take for anything else.
cdef bint is_plain_user(const Message* message) noexcept nogil:
    cdef Slice user = message.request_uri.user
    cdef uint8_t c
    cdef uint32_t i
    for i in range(user.start, user.start + user.size):
        c = message.data[i]
        if not sip_is(c, CLASS_TOKEN) and memchr(b"&=$,;/()", c, 8) == NULL:
            return False
    return 0 < user.size <= MAX_USER


cdef Redirect wanted_redirect(const Redirection* redirection, const Verdict* verdict) noexcept nogil:
    if redirection.mode == MODE_REPORT_ONLY or verdict.action == ACTION_ACCEPT:
        return REDIRECT_GO_ON
    if redirection.mode == MODE_INDICATE or (verdict.action == ACTION_TAG and verdict.score < redirection.act_at):
        return REDIRECT_INDICATE
    if redirection.mode == MODE_DIVERT or verdict.action == ACTION_DIVERT:
        return REDIRECT_DIVERT
    return REDIRECT_BLOCK


cdef uint16_t redirect_status(const Redirection* redirection, Redirect redirect) noexcept nogil:
    if redirect == REDIRECT_BLOCK:
        return 603
    if redirect == REDIRECT_GO_ON:
        return redirection.clean_status
    return 300 if redirection.compat == COMPAT_RIBBON else 302


cdef void write_contacts(
    Writer* writer, const Redirection* redirection, const Message* message, const Verdict* verdict, Redirect redirect
) noexcept nogil:
    cdef int count = redirection.divert_count if redirect == REDIRECT_DIVERT else redirection.contact_count
    cdef uint8_t* row
    cdef int i
    if redirect != REDIRECT_DIVERT and redirect != REDIRECT_INDICATE:
        return
    for i in range(count):
        row = writer.at
        if redirect == REDIRECT_DIVERT:
            literal(writer, b"Contact: <")
            literal(writer, redirection.diverts[i])
        else:
            write_indicated(writer, redirection, message, i)
        write_contact_end(writer, verdict, i)
        if writer.full:
            writer.at = row          # whole rows or none
            return


cdef void write_indicated(
    Writer* writer, const Redirection* redirection, const Message* message, int index
) noexcept nogil:
    literal(writer, redirection.contact_start)
    put(writer, message.data + message.request_uri.user.start, message.request_uri.user.size)
    literal(writer, b"@")
    literal(writer, redirection.contacts[index])
    if is_phone(message):
        literal(writer, b";user=phone")


# The verdict goes along as a header of the URI, with the reserved characters escaped (RFC 3261 section 19.1.1); q puts
# the contacts in order (section 8.1.3.4).
cdef void write_contact_end(Writer* writer, const Verdict* verdict, int index) noexcept nogil:
    cdef uint32_t hundredths = 100 - 5 * index
    literal(writer, b"?X-Callsieve-Verdict=")
    if verdict.action == ACTION_TAG:
        literal(writer, b"tag")
    else:
        literal(writer, b"divert" if verdict.action == ACTION_DIVERT else b"reject")
    literal(writer, b"%3Bscore%3D")
    put_decimal(writer, verdict.score)
    literal(writer, b"%3Bbasis%3D")
    literal(writer, basis_name(verdict.basis))
    literal(writer, b"%3Bid%3D")
    put_base32(writer, verdict.redress)
    literal(writer, b">;q=1.0\r\n" if index == 0 else b">;q=0.")
    if index:
        put_decimal(writer, hundredths)
        literal(writer, b"\r\n")


cdef bint is_phone(const Message* message) noexcept nogil:
    cdef Slice value
    return find_parameter(message.data, message.request_uri.parameters, b"user", 4, &value) and equal_literal(
        message.data + value.start, value.size, b"phone"
    )
