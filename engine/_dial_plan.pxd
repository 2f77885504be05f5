# Dial plans on the call path: from the text of a URI's user part to one canonical word.

from libc.stdint cimport uint8_t

from engine._decision cimport number_t
from engine._numbers cimport Digits

cdef enum:
    MAX_PREFIXES = 4
    MAX_NATIONAL = 16
    MAX_SHORT_CODES = 64

cdef struct ShortCodeRule:
    Digits prefix
    int min_digits
    int max_digits

cdef struct NationalRule:
    Digits prefix
    int digits

cdef struct DialPlanRules:
    uint8_t compiled         # the rest belongs to _dial_plan.pyx
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
# The short code that a number of the plan's country is (+8695588 -> CN:95588), else the number itself.
cdef number_t number_folded(const DialPlanRules* rules, number_t number) noexcept nogil

cdef class DialPlan:
    cdef DialPlanRules* rules
    cdef readonly object source   # the engine.rules.DialPlan it was made from
