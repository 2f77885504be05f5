# Numbers as one word on the call path: kind, digits, prefixes and text.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from engine._decimals cimport decimals_of
from engine._decision cimport KIND_NUMBER, KIND_PREFIX, KIND_SHORT, NumberKind, number_t

cdef extern from *:
    """
    /* In the word of a prefix: of short codes, so that +86* does not hold CN:95588. Above digits, below the kind. */
    #define CALLSIEVE_SHORT_PREFIX (1ULL << 59)
    #define CALLSIEVE_DIGITS_MASK ((1ULL << 60) - 1)
    """
    const uint64_t SHORT_PREFIX "CALLSIEVE_SHORT_PREFIX"
    const uint64_t DIGITS_MASK "CALLSIEVE_DIGITS_MASK"

cdef enum:
    KIND_SHIFT = 60
    MAX_DIGITS = 15          # E.164
    MAX_DIALLED = 32         # digits read before a text is given up
    EMERGENCY_DIGITS = 3
    NUMBER_TEXT = 24         # room that number_text needs

cdef struct Digits:
    uint8_t digit[MAX_DIALLED]
    int length

# "+8613800138000", "CN:95588", "anonymous", "invalid", ""; at most 24 bytes; returns the length written.
cdef int number_text(number_t number, uint8_t* out) noexcept nogil
cdef inline NumberKind number_kind(number_t number) noexcept nogil:
    return <NumberKind>(number >> KIND_SHIFT)

cdef inline bint has_digits(number_t number) noexcept nogil:
    return number_kind(number) == KIND_NUMBER or number_kind(number) == KIND_SHORT

# True for the short code of an emergency service of any country (110, 112, 911 ...).
cdef inline bint number_is_emergency(number_t number) noexcept nogil:
    return number_kind(number) == KIND_SHORT and short_code_is_emergency(number)

cdef bint short_code_is_emergency(number_t number) noexcept nogil
# The block of 10 ** dropped numbers that a number belongs to, KIND_PREFIX; 0 if it has too few digits.
cdef inline number_t number_block(number_t number, int dropped) noexcept nogil:
    cdef uint64_t word = number & DIGITS_MASK
    cdef int _
    if dropped == 2:         # as reputation and pair memory ask for every call
        word //= 100
    else:
        for _ in range(dropped):
            word //= 10
    if word < 10:
        return 0
    return (<uint64_t>KIND_PREFIX << KIND_SHIFT) | word

# The same of a caller or callee. Short codes next to each other belong to strangers: they form no block, 0.
cdef inline number_t number_block_of(number_t number, int dropped) noexcept nogil:
    return number_block(number, dropped) if number_kind(number) == KIND_NUMBER else 0
# How many digits it has, country code included; 0 for what carries none.
cdef inline int number_digits(number_t number) noexcept nogil:
    return decimals_of(number & DIGITS_MASK)

# One entry of a list: "+8613800138000", "+86170*", "CN:95588", "CN:955*". 0 = none of these; `exact` is cleared for
# `*`.
cdef number_t entry_number(const uint8_t* text, Py_ssize_t length, bint* exact) noexcept nogil

cdef number_t make_number(NumberKind kind, const Digits* digits) noexcept nogil
# A number of this kind that has no digits.
cdef number_t bare(NumberKind kind) noexcept nogil
cdef void split_digits(number_t number, Digits* digits) noexcept nogil
cdef int calling_code_length(const Digits* digits) noexcept nogil
# Whether three digits are the code of an emergency service of any country.
cdef bint is_emergency_code(uint64_t code) noexcept nogil
# CN:95588
cdef bint is_short_text(const uint8_t* text, Py_ssize_t length) noexcept nogil
cdef number_t short_from_text(const uint8_t* text, Py_ssize_t length) noexcept nogil

# The first digits of a number as tables of prefixes have them, a short code's marked as such.
cdef number_t number_prefix(number_t number, int length) noexcept nogil

# The prefixes of a number that may be in a table, longest first.
cdef struct PrefixWalk:
    number_t number
    uint32_t lengths         # bit n = there are prefixes of n digits
    int length               # of the last one

cdef inline PrefixWalk prefixes_of(number_t number, uint32_t lengths) noexcept nogil:
    return PrefixWalk(number, lengths, number_digits(number) + 1)

# 0 = there is none left.
cdef inline number_t next_prefix(PrefixWalk* walk) noexcept nogil:
    while walk.length > 1:
        walk.length -= 1
        if walk.lengths >> walk.length & 1:
            return number_prefix(walk.number, walk.length)
    return 0
