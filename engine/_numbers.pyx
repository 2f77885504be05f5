# Numbers as one word: kind, and the decimal of "1" and the digits; written as text, read from the entries of lists.

from libc.stdint cimport uint8_t, uint64_t

from engine._decision cimport (
    KIND_ANONYMOUS,
    KIND_INVALID,
    KIND_NUMBER,
    KIND_PREFIX,
    KIND_SHORT,
    NumberKind,
    number_t,
)

from engine import numbers

cdef enum:
    EMERGENCY_COUNT = 8
    CALLING_CODES = 1000


# Filled once, when the module is imported.
cdef uint8_t region_by_code[CALLING_CODES][2]    # 0 = no such calling code
cdef uint8_t code_digits[CALLING_CODES]          # of calling code "7" is 1, so that 7 and 007 differ
cdef uint64_t emergency_codes[EMERGENCY_COUNT]


# --- words -----------------------------------------------------------------------------------------------------------

cdef number_t make_number(NumberKind kind, const Digits* digits) noexcept nogil:
    cdef uint64_t word = 1
    cdef int i
    for i in range(digits.length):
        word = word * 10 + digits.digit[i]
    return (<uint64_t>kind << KIND_SHIFT) | word


cdef number_t bare(NumberKind kind) noexcept nogil:
    return <uint64_t>kind << KIND_SHIFT


cdef void split_digits(number_t number, Digits* digits) noexcept nogil:
    cdef uint64_t word = number & DIGITS_MASK
    cdef uint8_t reversed_digits[20]
    cdef int count = 0, i
    while word > 9 and count < MAX_DIALLED:
        reversed_digits[count] = <uint8_t>(word % 10)
        word //= 10
        count += 1
    digits.length = count
    for i in range(count):
        digits.digit[i] = reversed_digits[count - 1 - i]


cdef number_t number_prefix(number_t number, int length) noexcept nogil:
    cdef number_t prefix = number_block(number, number_digits(number) - length)
    return prefix | SHORT_PREFIX if number_kind(number) == KIND_SHORT else prefix


cdef int calling_code_length(const Digits* digits) noexcept nogil:
    """Digits of the calling code that a number begins with; 0 = E.164 assigns none."""
    cdef int code = 0, count
    for count in range(1, 4):
        if count > digits.length:
            return 0
        code = code * 10 + digits.digit[count - 1]
        if code_digits[code] == count:
            return count
    return 0


cdef bint short_code_is_emergency(number_t number) noexcept nogil:
    cdef Digits digits
    cdef int country
    split_digits(number, &digits)
    country = calling_code_length(&digits)
    if country == 0 or digits.length - country != EMERGENCY_DIGITS:
        return False
    return is_emergency_code((number & DIGITS_MASK) % 1000)


cdef bint is_emergency_code(uint64_t code) noexcept nogil:
    cdef int i
    for i in range(EMERGENCY_COUNT):
        if emergency_codes[i] == code:
            return True
    return False


# --- text ------------------------------------------------------------------------------------------------------------

cdef int put_text(uint8_t* out, const char* text) noexcept nogil:
    cdef int i = 0
    while text[i]:
        out[i] = <uint8_t>text[i]
        i += 1
    return i


cdef int put_digits(uint8_t* out, const Digits* digits, int start) noexcept nogil:
    cdef int i
    for i in range(start, digits.length):
        out[i - start] = c'0' + digits.digit[i]
    return digits.length - start


cdef int number_text(number_t number, uint8_t* out) noexcept nogil:
    cdef NumberKind kind = number_kind(number)
    cdef Digits digits
    cdef int country, written
    if kind == KIND_ANONYMOUS:
        return put_text(out, b"anonymous")
    if kind == KIND_INVALID:
        return put_text(out, b"invalid")
    split_digits(number, &digits)
    if digits.length == 0 or digits.length > MAX_DIGITS + 1:
        return 0
    if kind == KIND_SHORT:
        country = calling_code_length(&digits)
        written = put_region(out, &digits, country)
        return written + put_digits(out + written, &digits, country)
    out[0] = c'+'
    written = 1 + put_digits(out + 1, &digits, 0)
    if kind == KIND_PREFIX:
        out[written] = c'*'
        written += 1
    return written


cdef int put_region(uint8_t* out, const Digits* digits, int country) noexcept nogil:
    cdef int code = 0, i
    for i in range(country):
        code = code * 10 + digits.digit[i]
    if code_digits[code] == 0:
        return 0
    out[0] = region_by_code[code][0]
    out[1] = region_by_code[code][1]
    out[2] = c':'
    return 3


cdef bint region_digits(const uint8_t* text, Digits* out) noexcept nogil:
    """The calling code of a region's two letters."""
    cdef int code
    for code in range(1, CALLING_CODES):
        if code_digits[code] and region_by_code[code][0] == text[0] and region_by_code[code][1] == text[1]:
            decimal_digits(code, out)
            return True
    return False


cdef void decimal_digits(int value, Digits* out) noexcept nogil:
    cdef int divisor = 100
    out.length = 0
    while divisor:
        if value >= divisor:
            out.digit[out.length] = <uint8_t>(value // divisor % 10)
            out.length += 1
        divisor //= 10


cdef bint is_short_text(const uint8_t* text, Py_ssize_t length) noexcept nogil:
    return length >= 4 and text[2] == c':' and c'A' <= text[0] <= c'Z' and c'A' <= text[1] <= c'Z'


cdef number_t short_from_text(const uint8_t* text, Py_ssize_t length) noexcept nogil:
    """CN:95588; KIND_INVALID if the region is unknown or what follows is not all digits."""
    cdef Digits digits
    cdef Py_ssize_t i
    if not region_digits(text, &digits) or length - 3 + digits.length > MAX_DIGITS:
        return bare(KIND_INVALID)
    for i in range(3, length):
        if not c'0' <= text[i] <= c'9':
            return bare(KIND_INVALID)
        digits.digit[digits.length] = text[i] - c'0'
        digits.length += 1
    return make_number(KIND_SHORT, &digits)


cdef number_t entry_number(const uint8_t* text, Py_ssize_t length, bint* exact) noexcept nogil:
    cdef Digits digits
    cdef NumberKind kind = KIND_NUMBER
    cdef Py_ssize_t i = 1
    exact[0] = not (length and text[length - 1] == c'*')
    if not exact[0]:
        length -= 1
    digits.length = 0
    if length >= 3 and text[2] == c':':
        kind = KIND_SHORT
        i = 3
        if not region_digits(text, &digits):
            return 0
    elif length < 2 or text[0] != c'+':
        return 0
    if (exact[0] and i == length) or length - i + digits.length > MAX_DIGITS:
        return 0
    while i < length:
        if not c'0' <= text[i] <= c'9':
            return 0
        digits.digit[digits.length] = text[i] - c'0'
        digits.length += 1
        i += 1
    if digits.digit[0] == 0:
        return 0
    return make_number(kind, &digits)


# --- Python ----------------------------------------------------------------------------------------------------------

def text_of(number: int) -> str:
    cdef uint8_t out[NUMBER_TEXT]
    cdef int length = number_text(number, out)
    return out[:length].decode("ascii")


def kind_of(number: int) -> int:
    return number_kind(number)


def block_of(number: int, dropped: int) -> int:
    return number_block(number, dropped)


def is_emergency(number: int) -> bool:
    return number_is_emergency(number)


def parse_entry(text: str) -> tuple[int, bool]:
    cdef bytes raw = text.encode()
    cdef bint exact = False
    cdef number_t number = entry_number(raw, len(raw), &exact)
    if number == 0:
        raise ValueError(f"{text!r}: expected +DIGITS, +DIGITS*, CC:DIGITS or CC:DIGITS*")
    return number, exact


def _fill_tables():
    for code, region in numbers.REGION_BY_CALLING_CODE.items():
        region_by_code[<int>int(code)][0] = ord(region[0])
        region_by_code[<int>int(code)][1] = ord(region[1])
        code_digits[<int>int(code)] = len(code)
    for i, code in enumerate(numbers.EMERGENCY_CODES):
        emergency_codes[<int>i] = int(code)


_fill_tables()
# What is C's in this file Python callers find under the same names.
globals().update(number_text=text_of, SHORT_PREFIX=SHORT_PREFIX)
