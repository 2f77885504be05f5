# Pieces of a JSON line, written into a buffer that its owner has made large enough: each returns where it has stopped.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef const char* HEX = b"0123456789abcdef"


cdef uint8_t* put_unsigned(uint8_t* at, uint64_t value) noexcept nogil:
    cdef uint8_t digits[20]
    cdef int start = 20
    while True:
        start -= 1
        digits[start] = <uint8_t>(c'0' + value % 10)
        value //= 10
        if not value:
            break
    memcpy(at, digits + start, 20 - start)
    return at + 20 - start


cdef uint8_t* put_signed(uint8_t* at, int value) noexcept nogil:
    return put_unsigned(put_text(at, b"-"), -value) if value < 0 else put_unsigned(at, value)


cdef uint8_t* put_unsigned_or_null(uint8_t* at, uint64_t value) noexcept nogil:
    return put_unsigned(at, value) if value else put_text(at, b"null")


cdef uint8_t* put_digits(uint8_t* at, uint32_t value, int width) noexcept nogil:
    cdef int i
    for i in range(width - 1, -1, -1):
        at[i] = <uint8_t>(c'0' + value % 10)
        value //= 10
    return at + width


cdef uint8_t* put_seconds(uint8_t* at, uint32_t milliseconds) noexcept nogil:
    return put_digits(put_text(put_unsigned(at, milliseconds // 1000), b"."), milliseconds % 1000, 3)


cdef uint8_t* put_hex(uint8_t* at, uint64_t value) noexcept nogil:
    cdef int i
    for i in range(16):
        at[i] = HEX[(value >> (60 - 4 * i)) & 15]
    return at + 16


cdef uint8_t* put_time(uint8_t* at, int64_t time_us) noexcept nogil:
    # Days to year, month, day in the proleptic Gregorian calendar, with years that begin on 1 March so that the
    # leap day is a year's last: day of the 400-year era -> year of the era -> day of the year -> month.
    cdef int64_t seconds = time_us // 1_000_000
    cdef uint32_t days = <uint32_t>(seconds // 86400) + 719468     # from 0000-03-01 to 1970-01-01
    cdef uint32_t second = <uint32_t>(seconds % 86400)
    cdef uint32_t era_day = days % 146097
    cdef uint32_t era_year = (era_day - era_day // 1460 + era_day // 36524 - era_day // 146096) // 365
    cdef uint32_t year_day = era_day - (365 * era_year + era_year // 4 - era_year // 100)
    cdef uint32_t march_month = (5 * year_day + 2) // 153
    cdef uint32_t day = year_day - (153 * march_month + 2) // 5 + 1
    cdef uint32_t month = march_month + 3 if march_month < 10 else march_month - 9
    cdef uint32_t year = days // 146097 * 400 + era_year + (1 if month <= 2 else 0)
    at = put_digits(put_text(put_digits(at, year, 4), b"-"), month, 2)
    at = put_digits(put_text(put_digits(put_text(at, b"-"), day, 2), b"T"), second // 3600, 2)
    at = put_digits(put_text(at, b":"), second // 60 % 60, 2)
    at = put_digits(put_text(at, b":"), second % 60, 2)
    return put_text(put_digits(put_text(at, b"."), <uint32_t>(time_us % 1_000_000), 6), b"Z")


cdef uint8_t* put_wire(uint8_t* at, const char* text, Py_ssize_t length, bint mask) noexcept nogil:
    """Bytes from the wire as a JSON string (RFC 8259 section 7).

    Control characters are escaped, those of ISO 6429 and DEL too; each ill-formed UTF-8 sequence becomes U+FFFD.
    """
    cdef uint8_t copy[WIRE_TEXT]
    cdef const uint8_t* source = <const uint8_t*>text
    cdef Py_ssize_t i = 0
    cdef int size
    if mask:
        memcpy(copy, text, length)
        mask_digits(copy, length)
        source = copy
    at = put_text(at, b'"')
    while i < length:
        if 0x20 <= source[i] < 0x7F and source[i] != c'"' and source[i] != c'\\':
            at[0] = source[i]
            at += 1
            i += 1
        elif source[i] < 0x80:
            at = put_escaped(at, source[i])
            i += 1
        else:
            size = utf8_size(source + i, length - i)
            if size == 2 and source[i] == 0xC2 and source[i + 1] < 0xA0:
                at = put_escaped(at, source[i + 1])      # U+0080 to U+009F: terminals act on them
                i += 2
            elif size > 0:
                memcpy(at, source + i, size)
                at += size
                i += size
            else:
                at = put_text(at, b"\xef\xbf\xbd")
                i -= size
    return put_text(at, b'"')


cdef uint8_t* put_escaped(uint8_t* at, uint8_t byte) noexcept nogil:
    if byte == c'"' or byte == c'\\':
        at[0], at[1] = c'\\', byte
        return at + 2
    at = put_text(at, b"\\u00")
    at[0], at[1] = HEX[byte >> 4], HEX[byte & 15]
    return at + 2


cdef int utf8_size(const uint8_t* text, Py_ssize_t length) noexcept nogil:
    """Bytes of the well-formed sequence at `text` (Unicode 15 table 3-7), or minus those of its ill-formed start."""
    cdef uint8_t lead = text[0], low = 0x80, high = 0xBF
    cdef int size, i
    if 0xC2 <= lead <= 0xDF:
        size = 2
    elif 0xE0 <= lead <= 0xEF:
        size = 3
        if lead == 0xE0:
            low = 0xA0
        elif lead == 0xED:
            high = 0x9F
    elif 0xF0 <= lead <= 0xF4:
        size = 4
        if lead == 0xF0:
            low = 0x90
        elif lead == 0xF4:
            high = 0x8F
    else:
        return -1
    for i in range(1, size):
        if i >= length or not low <= text[i] <= high:
            return -i
        low, high = 0x80, 0xBF
    return size


cdef void mask_digits(uint8_t* text, Py_ssize_t length) noexcept nogil:
    """The last four digits of every number in `text` become x; visual separators (RFC 3966) do not end a number."""
    cdef Py_ssize_t i
    cdef int masked = 0
    for i in range(length - 1, -1, -1):
        if c'0' <= text[i] <= c'9':
            if masked < 4:
                text[i] = c'x'
                masked += 1
        elif text[i] not in (c'-', c'.', c'(', c')', c' '):
            masked = 0
