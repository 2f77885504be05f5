"""The best of several final responses (RFC 3261 section 16.7 steps 6 and 7).

A 6xx before all others, then the lowest class. Within a class what tells of identity comes first (428 to 438), then
what the caller can answer (401, 407, then 415, 420, 484), and silence and 503 come last. Of two equals the earlier
stays.
"""

from libc.stdint cimport uint8_t, uint32_t

from proxy.outbox cimport put
from proxy.sip.grammar cimport equal_token
from proxy.sip.message cimport Header


cdef bint is_better(uint16_t status, uint16_t best) noexcept nogil:
    return best == 0 or rank(status) < rank(best)


cdef bint is_challenge(uint16_t status) noexcept nogil:
    return status == 401 or status == 407


# Lower is better.
cdef int rank(uint16_t status) noexcept nogil:
    if status >= 600:
        return 0
    return status // 100 * 10 + rank_in_class(status)


cdef int rank_in_class(uint16_t status) noexcept nogil:
    if 428 <= status <= 438:
        return 0
    if is_challenge(status):
        return 1
    if status == 415 or status == 420 or status == 484:
        return 2
    return 4 if status == 408 or status == 503 else 3


cdef void write_with_challenges(Writer* writer, const Message* best, const Message* other) noexcept nogil:
    cdef const Header* header
    cdef int i
    put(writer, best.data, best.head_end)
    for i in range(other.header_count):
        header = &other.headers[i]
        if is_challenge_header(other.data + header.start, header.value - header.start):
            put(writer, other.data + header.start, header.end - header.start)
    put(writer, best.data + best.head_end, best.size - best.head_end)


# line: from the first letter of the name to the first of the value.
cdef bint is_challenge_header(const uint8_t* line, uint32_t size) noexcept nogil:
    cdef uint32_t name = 0
    while name < size and line[name] != 58 and line[name] != 32 and line[name] != 9:
        name += 1
    return equal_token(line, name, b"www-authenticate") or equal_token(line, name, b"proxy-authenticate")
