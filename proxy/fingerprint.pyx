# The shape of a request: the names of its headers in their order and spelling, its User-Agent, the form of its Call-ID
# and the media line of its offer without the port. A dialler that changes its number with every call keeps all of them.
#
# Via, Record-Route and Route count once each: how many there are tells the way, not the software.

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr

from proxy.sip.grammar cimport Slice
from proxy.sip.keyed_hash cimport KeyedHash, keyed_hash_add, keyed_hash_begin, keyed_hash_end, keyed_hash_word
from proxy.sip.message cimport HEADER_RECORD_ROUTE, HEADER_ROUTE, HEADER_VIA

cdef enum:
    MAX_OFFER = 2048         # bytes of a body that are looked at


cdef uint64_t fingerprint(const Message* message, const uint64_t* secret) noexcept nogil:
    cdef KeyedHash hash_
    cdef uint64_t word
    keyed_hash_begin(&hash_, secret)
    add_header_names(&hash_, message)
    if message.user_agent_header >= 0:
        add_slice(
            &hash_, message, message.headers[message.user_agent_header].value,
            message.headers[message.user_agent_header].value_end
        )
    keyed_hash_word(&hash_, call_id_form(message))
    add_offer(&hash_, message)
    word = keyed_hash_end(&hash_)
    return word if word else 1


cdef void add_slice(KeyedHash* hash_, const Message* message, uint32_t start, uint32_t end) noexcept nogil:
    keyed_hash_add(hash_, message.data + start, end - start)


cdef void add_header_names(KeyedHash* hash_, const Message* message) noexcept nogil:
    cdef uint8_t last = 0xFF, name
    cdef const uint8_t* colon
    cdef uint32_t start
    cdef int i
    for i in range(message.header_count):
        name = message.headers[i].name
        if name == last and (name == HEADER_VIA or name == HEADER_ROUTE or name == HEADER_RECORD_ROUTE):
            continue
        last = name
        start = message.headers[i].start
        colon = <const uint8_t*>memchr(message.data + start, b":", message.headers[i].end - start)
        if colon != NULL:
            add_slice(hash_, message, start, <uint32_t>(colon - message.data))


# Its length, and whether it names a host.
cdef uint64_t call_id_form(const Message* message) noexcept nogil:
    cdef const Slice* call_id = &message.call_id
    cdef bint has_host = memchr(message.data + call_id.start, b"@", call_id.size) != NULL
    return <uint64_t>call_id.size << 1 | has_host


# The first line "m=audio 49170 RTP/AVP 8 0 101" without the port (RFC 8866 section 5.14).
cdef void add_offer(KeyedHash* hash_, const Message* message) noexcept nogil:
    cdef uint32_t end = min(message.size, message.body + MAX_OFFER)
    cdef uint32_t at = message.body
    cdef uint32_t line_end, blank
    while at < end:
        line_end = find(message, at, end, b"\n")
        if line_end - at > 2 and message.data[at] == b"m" and message.data[at + 1] == b"=":
            blank = find(message, at, line_end, b" ")
            add_slice(hash_, message, at, blank)
            blank = find(message, min(blank + 1, line_end), line_end, b" ")
            add_slice(hash_, message, blank, line_end)
            return
        at = line_end + 1


# The first place of a byte from `at` on, `end` if there is none.
cdef uint32_t find(const Message* message, uint32_t at, uint32_t end, uint8_t byte) noexcept nogil:
    cdef const uint8_t* found = <const uint8_t*>memchr(message.data + at, byte, end - at)
    return end if found == NULL else <uint32_t>(found - message.data)
