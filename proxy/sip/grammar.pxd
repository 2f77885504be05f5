# The basic rules of SIP's grammar (RFC 3261 section 25.1) on raw bytes: character classes, numbers, comparisons.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef struct Slice:
    uint32_t start           # offset into the message
    uint32_t size

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    enum { CLASS_TOKEN = 1, CLASS_DIGIT = 2, CLASS_BLANK = 4, CLASS_HOST = 8, CLASS_HEX = 16, CLASS_NOT_URI = 32 };
    /* token: alphanum and - . ! % * _ + ` ' ~   host: alphanum - . _   blank: SP HTAB
       not in a URI: controls, SP < > " */
    static const uint8_t sip_class[256] = {
        [0 ... 8] = 32, ['\\t'] = 4 | 32, [10 ... 31] = 32, [' '] = 4 | 32, ['"'] = 32, ['<'] = 32, ['>'] = 32,
        [127] = 32,
        ['!'] = 1, ['%'] = 1, ['\\''] = 1, ['*'] = 1, ['+'] = 1, ['`'] = 1, ['~'] = 1,
        ['-'] = 1 | 8, ['.'] = 1 | 8, ['_'] = 1 | 8,
        ['0' ... '9'] = 1 | 2 | 8 | 16,
        ['a' ... 'f'] = 1 | 8 | 16, ['g' ... 'z'] = 1 | 8,
        ['A' ... 'F'] = 1 | 8 | 16, ['G' ... 'Z'] = 1 | 8,
    };
    static inline int sip_is(uint8_t c, int cls) { return sip_class[c] & cls; }
    static inline uint8_t sip_lower(uint8_t c) { return (c >= 'A' && c <= 'Z') ? (uint8_t)(c | 0x20) : c; }
    /* lower must already be lower case */
    static inline int sip_equal_nocase(const uint8_t *a, const char *lower, size_t n) {
        for (size_t i = 0; i < n; i++) if (sip_lower(a[i]) != (uint8_t)lower[i]) return 0;
        return 1;
    }
    /* The same a word at a time. Bit 5 tells letters of either case apart, and a hyphen from CR. */
    static inline int sip_equal_token(const uint8_t *a, const char *lower, size_t n) {
        uint64_t x, y, mask = 0x2020202020202020ULL;
        if (n >= 8) {
            for (size_t i = 0; i + 8 < n; i += 8) {
                memcpy(&x, a + i, 8); memcpy(&y, lower + i, 8);
                if ((x | mask) != y) return 0;
            }
            memcpy(&x, a + n - 8, 8); memcpy(&y, lower + n - 8, 8);
            return (x | mask) == y;
        }
        return sip_equal_nocase(a, lower, n);
    }
    #define SIP_TOKEN_EQUAL(ptr, size, literal) \\
        ((size) == sizeof(literal) - 1 && sip_equal_token((ptr), (literal), sizeof(literal) - 1))
    #define SIP_LITERAL_EQUAL(ptr, size, literal) \\
        ((size) == sizeof(literal) - 1 && sip_equal_nocase((ptr), (literal), sizeof(literal) - 1))
    """
    enum:
        CLASS_TOKEN
        CLASS_DIGIT
        CLASS_BLANK
        CLASS_HOST
        CLASS_HEX
        CLASS_NOT_URI
    bint sip_is(uint8_t c, int cls) noexcept nogil
    uint8_t sip_lower(uint8_t c) noexcept nogil
    bint sip_equal_nocase(const uint8_t* a, const char* lower, size_t n) noexcept nogil
    # Case-insensitive; `literal` must be a string literal in lower case.
    bint equal_literal "SIP_LITERAL_EQUAL"(const uint8_t* data, size_t size, const char* literal) noexcept nogil
    # The same for a header name: a word at a time, which takes CR for a hyphen, and CR is in no line.
    bint equal_token "SIP_TOKEN_EQUAL"(const uint8_t* data, size_t size, const char* literal) noexcept nogil


# Decimal digits only; -1 if empty, anything else is in it, or it is above `limit`.
cdef inline int64_t parse_decimal(const uint8_t* data, uint32_t size, int64_t limit) noexcept nogil:
    cdef int64_t value = 0
    cdef uint32_t i
    if size == 0:
        return -1
    for i in range(size):
        if not sip_is(data[i], CLASS_DIGIT):
            return -1
        value = value * 10 + (data[i] - 48)
        if value > limit:
            return -1
    return value


# Value of 1..16 hexadecimal digits of either case; False if anything else is in it.
cdef inline bint parse_hex(const uint8_t* data, uint32_t size, uint64_t* value) noexcept nogil:
    cdef uint64_t result = 0
    cdef uint32_t i
    cdef uint8_t c
    if size == 0 or size > 16:
        return False
    for i in range(size):
        c = data[i]
        if not sip_is(c, CLASS_HEX):
            return False
        result = (result << 4) | (c - 48 if c <= 57 else (c | 0x20) - 87)
    value[0] = result
    return True


cdef inline uint32_t skip_blank(const uint8_t* data, uint32_t at, uint32_t end) noexcept nogil:
    # Linear white space inside one value: blanks and folds, whose CRLF the head parser has already checked.
    while at < end and (sip_is(data[at], CLASS_BLANK) or data[at] == 13 or data[at] == 10):
        at += 1
    return at


cdef inline uint32_t skip_token(const uint8_t* data, uint32_t at, uint32_t end) noexcept nogil:
    while at < end and sip_is(data[at], CLASS_TOKEN):
        at += 1
    return at


# Offset just behind the closing quote of the quoted-string that opens at `at`; 0 if it never closes, or holds what only
# a quoted-pair may hold. CR and LF are folds, which a backslash does not quote.
cdef inline uint32_t skip_quoted(const uint8_t* data, uint32_t at, uint32_t end) noexcept nogil:
    at += 1
    while at < end:
        if data[at] == 34:
            return at + 1
        if data[at] == 92:
            at += 1
            if at < end and (data[at] == 13 or data[at] == 10):
                return 0
        elif is_control(data[at]) and data[at] != 13 and data[at] != 10:
            return 0
        at += 1
    return 0


# Control bytes but HTAB.
cdef inline bint is_control(uint8_t c) noexcept nogil:
    return (c < 32 and c != 9) or c == 127


# Offset just behind the IPv6 reference that opens at `at`; 0 if it holds anything but digits, colons and dots.
cdef inline uint32_t skip_ipv6(const uint8_t* data, uint32_t at, uint32_t end) noexcept nogil:
    cdef uint32_t begin = at + 1
    at = begin
    while at < end and (sip_is(data[at], CLASS_HEX) or data[at] == 58 or data[at] == 46):
        at += 1
    return at + 1 if begin < at < end and data[at] == 93 else 0
