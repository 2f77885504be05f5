# Numbers on the call path: from the text of a URI's user part to one canonical word, by a trunk's dial plan.

from libc.stdint cimport uint8_t, uint64_t

from engine._decision cimport KIND_NUMBER, KIND_SHORT, NumberKind, number_t

cdef enum:
    KIND_SHIFT = 60
    MAX_DIGITS = 15          # E.164
    MAX_DIALLED = 32         # digits read before a text is given up
    MAX_PREFIXES = 4
    MAX_NATIONAL = 16
    MAX_SHORT_CODES = 64
    NUMBER_TEXT = 24         # room that number_text needs

cdef struct Digits:
    uint8_t digit[MAX_DIALLED]
    int length

cdef struct ShortCodeRule:
    Digits prefix
    int min_digits
    int max_digits

cdef struct NationalRule:
    Digits prefix
    int digits

cdef struct DialPlanRules:
    uint8_t compiled         # the rest belongs to _numbers.pyx
    uint8_t international_without_plus
    Digits country           # the plan's calling code; empty for a plan without a country
    Digits short_country     # what short codes are stored under
    Digits national_prefix
    Digits international[MAX_PREFIXES]
    NationalRule national[MAX_NATIONAL]
    ShortCodeRule short_codes[MAX_SHORT_CODES]
    int international_count
    int national_count
    int short_count
    int min_national
    int max_national
    int longest_national     # of the numbers written without any prefix

# Never fails: what is no number becomes KIND_INVALID, what is withheld KIND_ANONYMOUS, nothing at all KIND_NONE.
# text is the user part as it stands on the wire (percent-escapes, separators, ;phone-context=, ;rn= and so on).
cdef number_t normalize(const DialPlanRules* rules, const uint8_t* text, Py_ssize_t length) noexcept nogil
# "+8613800138000", "CN:95588", "anonymous", "invalid", ""; at most 24 bytes; returns the length written.
cdef int number_text(number_t number, uint8_t* out) noexcept nogil
cdef inline NumberKind number_kind(number_t number) noexcept nogil:
    return <NumberKind>(number >> KIND_SHIFT)

cdef inline bint has_digits(number_t number) noexcept nogil:
    return number_kind(number) == KIND_NUMBER or number_kind(number) == KIND_SHORT

# True for the short code of an emergency service of any country (110, 112, 911 ...).
cdef bint number_is_emergency(number_t number) noexcept nogil
# The block of 10 ** dropped numbers that a number belongs to, KIND_PREFIX; 0 if it has too few digits.
cdef number_t number_block(number_t number, int dropped) noexcept nogil
# The same of a caller or callee. Short codes next to each other belong to strangers: they form no block, 0.
cdef inline number_t number_block_of(number_t number, int dropped) noexcept nogil:
    return number_block(number, dropped) if number_kind(number) == KIND_NUMBER else 0
# How many digits it has, country code included; 0 for what carries none.
cdef int number_digits(number_t number) noexcept nogil
# The short code that a number of the plan's country is (+8695588 -> CN:95588), else the number itself.
cdef number_t number_folded(const DialPlanRules* rules, number_t number) noexcept nogil

# One entry of a list: "+8613800138000", "+86170*", "CN:95588", "CN:955*". 0 = none of these; `exact` is cleared for `*`.
cdef number_t entry_number(const uint8_t* text, Py_ssize_t length, bint* exact) noexcept nogil

cdef class DialPlan:
    cdef DialPlanRules* rules
    cdef readonly object source   # the engine.rules.DialPlan it was made from
