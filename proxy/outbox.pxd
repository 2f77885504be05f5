# What the core wants sent: datagrams built in one arena, with their destinations, until the edge has sent them.

from libc.stdint cimport int16_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, strlen

from proxy.sip.address cimport Address

cdef enum:
    MAX_DATAGRAM = 65535

cdef struct OutMessage:
    const uint8_t* data
    uint32_t size
    uint64_t token           # client transaction << 32 | its generation, of a request that has one; 0 = nobody asks
    uint8_t listener
    uint8_t worker           # of a datagram handed over: whom to
    int16_t trunk            # of a datagram handed over: where it came from, -1 = from none
    Address destination

# Appends to a datagram under construction. Once it does not fit, `full` is set and nothing more is written.
cdef struct Writer:
    uint8_t* start
    uint8_t* at
    uint8_t* end
    bint full

cdef class Outbox:
    cdef uint8_t* arena
    cdef uint8_t* arena_at
    cdef uint8_t* arena_end
    cdef OutMessage* messages
    cdef uint32_t count
    cdef uint32_t limit
    cdef readonly uint64_t overflows

    cdef void begin(self, Writer* writer) noexcept nogil
    # The finished datagram stands in the arena until `clear`. NULL: it did not fit and is counted.
    cdef OutMessage* commit(self, Writer* writer, uint8_t listener, const Address* destination) noexcept nogil
    cdef OutMessage* copy(
        self, const uint8_t* data, uint32_t size, uint8_t listener, const Address* destination
    ) noexcept nogil
    # Unsends the last message, if nothing was built after it.
    cdef void take_back(self) noexcept nogil
    cdef void clear(self) noexcept nogil


# A writer over memory of the caller's own.
cdef inline Writer writer_over(uint8_t* memory, uint32_t size) noexcept nogil:
    cdef Writer writer
    writer.start = writer.at = memory
    writer.end = memory + size
    writer.full = False
    return writer


cdef inline void put(Writer* writer, const void* data, uint32_t size) noexcept nogil:
    if size == 0:
        return               # `data` may be NULL then, which memcpy must never be given (C11 section 7.24.1)
    if <uint64_t>(writer.end - writer.at) < size:
        writer.full = True
        return
    memcpy(writer.at, data, size)
    writer.at += size


cdef inline void literal(Writer* writer, const char* text) noexcept nogil:
    put(writer, text, <uint32_t>strlen(text))


cdef inline void put_decimal(Writer* writer, uint64_t value) noexcept nogil:
    cdef uint8_t digits[20]
    cdef int at = 20
    while True:
        at -= 1
        digits[at] = <uint8_t>(48 + value % 10)
        value //= 10
        if value == 0:
            break
    put(writer, digits + at, 20 - at)


cdef inline void put_hex(Writer* writer, uint64_t value, int count) noexcept nogil:
    cdef uint8_t digits[16]
    cdef int i
    for i in range(count - 1, -1, -1):
        digits[i] = b"0123456789abcdef"[value & 15]
        value >>= 4
    put(writer, digits, count)


# 13 letters of RFC 4648 base32 without padding.
cdef inline void put_base32(Writer* writer, uint64_t value) noexcept nogil:
    cdef uint8_t letters[13]
    cdef int i
    letters[12] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[(value << 1) & 31]
    value >>= 4
    for i in range(11, -1, -1):
        letters[i] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[value & 31]
        value >>= 5
    put(writer, letters, 13)
