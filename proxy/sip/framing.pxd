# Messages out of a byte stream, whatever the pieces it comes in (RFC 3261 sections 7.5, 18.3; RFC 5626 section 5.4).

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum Framed:
    FRAMED_NOTHING = 0       # the rest has not come yet
    FRAMED_MESSAGE = 1       # `size` bytes from `start`
    FRAMED_BAD = 2           # no telling where the next message begins: `size` bytes from `start` are to be answered

# A window over the bytes received and not taken yet. Every byte is looked at once on its way in, and once in its head.
cdef struct Framer:
    uint8_t* data
    uint32_t room            # bytes allocated
    uint32_t start           # of the message under way
    uint32_t used            # behind the last byte received
    uint32_t line            # start of the line under way
    uint32_t scanned         # up to here the line has no LF
    uint32_t size            # of the message under way; 0 = its head is not complete
    uint32_t max_head
    uint32_t max_message
    uint32_t keepalives      # pings not answered yet
    uint8_t ping             # how much of CRLFCRLF has come
    uint16_t status          # of FRAMED_BAD: what to answer

cdef void init_framer(Framer* framer, uint32_t max_head, uint32_t max_message) noexcept nogil
cdef void free_framer(Framer* framer) noexcept nogil
# False: no memory.
cdef bint append_bytes(Framer* framer, const uint8_t* data, uint32_t size) noexcept nogil
cdef Framed next_frame(Framer* framer) noexcept nogil
cdef void drop_frame(Framer* framer) noexcept nogil


cdef class StreamFramer:
    cdef Framer framer
    cdef readonly int status
    cdef readonly bytes refused
