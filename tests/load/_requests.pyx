"""The requests of a calling endpoint, written into a buffer, and the identifiers in them.

Every identifier of a call (branch, From tag, Call-ID) holds the run and the slot and generation of the call, so that a
response leads to it. They are scrambled, reversibly: a proxy that hashes identifiers shall find them as random as
anybody's. The ACK of a rejection is written from the response alone.
"""

from tests.load._message cimport parse_hex, put, put_hex, put_slice, uri_in

cdef enum:
    IDENTITY_LENGTH = 24
    BRANCH_LENGTH = 7 + IDENTITY_LENGTH + 1

cdef uint64_t SCRAMBLE = 0x9E3779B97F4A7C15
cdef uint64_t UNSCRAMBLE = 0xF1DE83E19937733D       # SCRAMBLE * UNSCRAMBLE = 1 modulo 2**64


cdef uint64_t scrambled(uint32_t slot, uint32_t generation) noexcept nogil:
    cdef uint64_t value = <uint64_t>slot << 32 | generation
    value = (value ^ (value >> 32)) * SCRAMBLE
    return (value ^ (value >> 32)) * SCRAMBLE


cdef inline uint64_t unscrambled(uint64_t value) noexcept nogil:
    value *= UNSCRAMBLE
    value = (value ^ (value >> 32)) * UNSCRAMBLE
    return value ^ (value >> 32)


cdef int parse_branch(Slice branch, uint32_t run, uint32_t *slot, uint32_t *generation) noexcept nogil:
    cdef uint32_t its_run, high, low
    cdef uint64_t identity
    cdef const char *at = branch.start + 7
    if branch.length != BRANCH_LENGTH:
        return -1
    if parse_hex(at, &its_run) < 0 or parse_hex(at + 8, &high) < 0 or parse_hex(at + 16, &low) < 0 or its_run != run:
        return -1
    identity = unscrambled(<uint64_t>high << 32 | low)
    slot[0], generation[0] = <uint32_t>(identity >> 32), <uint32_t>identity
    return 0


cdef char *put_invite(char *at, const Caller *caller, const DeckEntry *entry, uint64_t identity) noexcept nogil:
    at = put_opening(put(at, b"INVITE ", 7), caller, entry, identity)
    at = put(at, b"CSeq: 1 INVITE\r\n", 16)
    if entry.withheld:
        at = put(at, b"Privacy: id\r\n", 13)
    return put_slice(at, caller.invite_tail)


cdef char *put_cancel(char *at, const Caller *caller, const DeckEntry *entry, uint64_t identity) noexcept nogil:
    """Everything but the method equals the INVITE's (RFC 3261 section 9.1)."""
    at = put_opening(put(at, b"CANCEL ", 7), caller, entry, identity)
    return put(at, b"CSeq: 1 CANCEL\r\nContent-Length: 0\r\n\r\n", 37)


cdef char *put_opening(char *at, const Caller *caller, const DeckEntry *entry, uint64_t identity) noexcept nogil:
    """What follows the method, down to Call-ID."""
    at = put(put_request_uri(at, caller, entry), b" SIP/2.0\r\n", 10)
    at = put_via(at, caller, identity, c"i")
    at = put_from(at, caller, entry, identity)
    at = put_request_uri(put(at, b"To: <", 5), caller, entry)
    return put_call_id(put(at, b">\r\n", 3), caller, identity)


cdef char *put_in_dialog(
    char *at, const Caller *caller, const DeckEntry *entry, uint64_t identity, const Dialog *dialog, bint ending
) noexcept nogil:
    at = put(at, b"BYE ", 4) if ending else put(at, b"ACK ", 4)
    at = put(put(at, dialog.target, dialog.target_length), b" SIP/2.0\r\n", 10)
    at = put_via(at, caller, identity, c"b" if ending else c"a")
    at = put(at, dialog.routes, dialog.routes_length)
    at = put_from(at, caller, entry, identity)
    at = put(put(at, b"To: ", 4), dialog.callee, dialog.callee_length)
    at = put_call_id(put(at, b"\r\n", 2), caller, identity)
    at = put(at, b"CSeq: 2 BYE\r\n", 13) if ending else put(at, b"CSeq: 1 ACK\r\n", 13)
    return put(at, b"User-Agent: callsieve load harness\r\nContent-Length: 0\r\n\r\n", 57)


cdef char *put_ack_of_rejection(char *at, const Caller *caller, const Message *response) noexcept nogil:
    """Request-URI, branch, From, Call-ID of the INVITE, To of the response; the INVITE's To is its Request-URI."""
    at = put_slice(put(at, b"ACK ", 4), uri_in(response.callee))
    at = put(at, b" SIP/2.0\r\nVia: SIP/2.0/UDP ", 27)
    at = put(put_slice(at, caller.local), b";rport;branch=", 14)
    at = put(put_slice(at, response.branch), b"\r\nMax-Forwards: 70\r\nFrom: ", 26)
    at = put(put_slice(at, response.caller), b"\r\nTo: ", 6)
    at = put(put_slice(at, response.callee), b"\r\nCall-ID: ", 11)
    at = put_slice(at, response.call_id)
    return put(at, b"\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n", 36)


cdef char *put_identity(char *at, const Caller *caller, uint64_t identity) noexcept nogil:
    at = put_hex(put_hex(at, caller.run), <uint32_t>(identity >> 32))
    return put_hex(at, <uint32_t>identity)


cdef char *put_via(char *at, const Caller *caller, uint64_t identity, char kind) noexcept nogil:
    """Via with the branch of one transaction: `i` INVITE, `a` ACK of a 2xx, `b` BYE; and Max-Forwards."""
    at = put_slice(put(at, b"Via: SIP/2.0/UDP ", 17), caller.local)
    at = put_identity(put(at, b";rport;branch=z9hG4bK", 21), caller, identity)
    at[0] = kind
    return put(at + 1, b"\r\nMax-Forwards: 70\r\n", 20)


cdef char *put_from(char *at, const Caller *caller, const DeckEntry *entry, uint64_t identity) noexcept nogil:
    """A withheld number as RFC 3323 section 4.1.1.3 has it."""
    if entry.withheld:
        at = put(at, b'From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=', 56)
    else:
        at = put(put(at, b"From: <sip:", 11), entry.caller, entry.caller_length)
        at = put_slice(put(at, b"@", 1), caller.host)
        at = put(at, b";user=phone>;tag=", 17)
    return put(put_identity(at, caller, identity), b"\r\n", 2)


cdef char *put_request_uri(char *at, const Caller *caller, const DeckEntry *entry) noexcept nogil:
    at = put(put(at, b"sip:", 4), entry.callee, entry.callee_length)
    return put_slice(put(at, b"@", 1), caller.target_host)


cdef char *put_call_id(char *at, const Caller *caller, uint64_t identity) noexcept nogil:
    at = put_identity(put(at, b"Call-ID: ", 9), caller, identity)
    at = put_slice(put(at, b"@", 1), caller.host)
    return put(at, b"\r\n", 2)
