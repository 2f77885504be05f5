# Pieces of a JSON line, written into a buffer that its owner has made large enough: each returns where it has stopped.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, strlen

cdef enum:
    WIRE_TEXT = 96           # bytes that put_wire masks at most

cdef inline uint8_t* put_text(uint8_t* at, const char* text) noexcept nogil:
    cdef size_t length = strlen(text)
    memcpy(at, text, length)
    return at + length


cdef uint8_t* put_unsigned(uint8_t* at, uint64_t value) noexcept nogil
cdef uint8_t* put_signed(uint8_t* at, int value) noexcept nogil
cdef uint8_t* put_unsigned_or_null(uint8_t* at, uint64_t value) noexcept nogil
# With leading zeros.
cdef uint8_t* put_digits(uint8_t* at, uint32_t value, int width) noexcept nogil
cdef uint8_t* put_seconds(uint8_t* at, uint32_t milliseconds) noexcept nogil
cdef uint8_t* put_hex(uint8_t* at, uint64_t value) noexcept nogil
# ISO 8601 in UTC, with microseconds.
cdef uint8_t* put_time(uint8_t* at, int64_t time_us) noexcept nogil
cdef uint8_t* put_wire(uint8_t* at, const char* text, Py_ssize_t length, bint mask) noexcept nogil
cdef void mask_digits(uint8_t* text, Py_ssize_t length) noexcept nogil
