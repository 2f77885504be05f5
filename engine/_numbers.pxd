# Numbers on the call path: from the text of a URI's user part to one canonical word, by a trunk's dial plan.

from libc.stdint cimport uint8_t

from engine._decision cimport NumberKind, number_t

cdef struct DialPlanRules:
    uint8_t compiled         # the rest belongs to _numbers.pyx

# Never fails: what is no number becomes KIND_INVALID, what is withheld KIND_ANONYMOUS, nothing at all KIND_NONE.
# text is the user part as it stands on the wire (percent-escapes, separators, ;phone-context=, ;rn= and so on).
cdef number_t normalize(const DialPlanRules* rules, const uint8_t* text, Py_ssize_t length) noexcept nogil
# "+8613800138000", "CN:95588", "anonymous", "invalid", ""; at most 24 bytes; returns the length written.
cdef int number_text(number_t number, uint8_t* out) noexcept nogil
cdef NumberKind number_kind(number_t number) noexcept nogil

cdef class DialPlan:
    cdef DialPlanRules* rules
    cdef readonly object source   # the engine.rules.DialPlan it was made from
