# Requests that come back: loops and spirals, and how wide a request may still be forked (RFC 5393).

from libc.stdint cimport int64_t, uint32_t, uint64_t

from proxy.sip.message cimport Message

cdef enum:
    MAX_BREADTH = 60         # recommended in section 5.3.3

# Everything that decides where a request goes, as one word that is never 0 (section 4.2.1). peer: whom it came from.
cdef uint32_t loop_part(const Message* message, uint32_t peer, const uint64_t* secret) noexcept nogil
# True if a Via that we have added holds this very word: the request has come back just as it was (section 4.2.2).
cdef bint has_looped(const Message* message, uint32_t loop) noexcept nogil
# What Max-Breadth is when the request goes on: 60 at most; 0 = it is used up.
cdef int breadth_of(const Message* message) noexcept nogil
