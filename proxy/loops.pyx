"""Loops, spirals and breadth (RFC 5393).

The second part of our branch is a keyed hash, so a Via that holds the right word is ours whatever its sent-by says.
"""

from proxy.sip.grammar cimport parse_decimal, parse_hex, skip_blank
from proxy.sip.keyed_hash cimport KeyedHash, keyed_hash_add, keyed_hash_begin, keyed_hash_end, keyed_hash_word
from proxy.sip.message cimport HEADER_MAX_BREADTH, HEADER_ROUTE, HEADER_VIA
from proxy.sip.transaction cimport BRANCH_SIZE, LOOP_SIZE, branch_worker
from proxy.sip.via cimport Via, parse_via

cdef enum:
    MAX_VIAS = 256           # more than Max-Forwards lets a request collect


# Request-URI, Routes and sender decide the next hop; Call-ID, tags and CSeq number keep chance hits from lasting.
cdef uint32_t loop_part(const Message* message, uint32_t peer, const uint64_t* secret) noexcept nogil:
    cdef KeyedHash hash_
    cdef uint64_t word
    cdef int i
    keyed_hash_begin(&hash_, secret)
    add(&hash_, message, message.request_uri.whole.start, message.request_uri.whole.size)
    add(&hash_, message, message.call_id.start, message.call_id.size)
    add(&hash_, message, message.from_tag.start, message.from_tag.size)
    add(&hash_, message, message.to_tag.start, message.to_tag.size)
    for i in range(message.header_count):
        if message.headers[i].name == HEADER_ROUTE:
            add(&hash_, message, message.headers[i].value, message.headers[i].value_end - message.headers[i].value)
    keyed_hash_word(&hash_, <uint64_t>message.cseq << 32 | peer)
    word = keyed_hash_end(&hash_)
    return <uint32_t>word | 1


cdef inline void add(KeyedHash* hash_, const Message* message, uint32_t start, uint32_t size) noexcept nogil:
    keyed_hash_add(hash_, message.data + start, size)


cdef bint has_looped(const Message* message, uint32_t loop) noexcept nogil:
    cdef Via via
    cdef uint32_t at, end
    cdef int i
    cdef int seen = 0
    for i in range(message.header_count):
        if message.headers[i].name != HEADER_VIA:
            continue
        at, end = message.headers[i].value, message.headers[i].value_end
        while seen < MAX_VIAS and parse_via(message.data, at, end, &via):
            seen += 1
            if is_of(message, &via, loop):
                return True
            if via.is_last:
                break
            at = skip_blank(message.data, via.whole.start + via.whole.size + 1, end)
    return False


cdef inline bint is_of(const Message* message, const Via* via, uint32_t loop) noexcept nogil:
    cdef uint64_t word
    return (
        branch_worker(message.data + via.branch.start, via.branch.size) >= 0
        and parse_hex(message.data + via.branch.start + BRANCH_SIZE - LOOP_SIZE, LOOP_SIZE, &word)
        and word == loop
    )


# What nobody can read counts as absent; of several the least.
cdef int breadth_of(const Message* message) noexcept nogil:
    cdef int least = MAX_BREADTH
    cdef int64_t value
    cdef int i
    for i in range(message.header_count):
        if message.headers[i].name == HEADER_MAX_BREADTH:
            value = parse_decimal(
                message.data + message.headers[i].value, message.headers[i].value_end - message.headers[i].value,
                MAX_BREADTH,
            )
            if 0 <= value < least:
                least = <int>value
    return least
