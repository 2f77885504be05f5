# The steps that look at how the caller shows itself: withheld, contradicted, no number at all.

from engine._decision cimport (
    ATTEMPT_IDENTITY_MISMATCH,
    ATTEMPT_PRIVACY,
    BASIS_INVALID,
    BASIS_POLICY,
    KIND_ANONYMOUS,
    KIND_INVALID,
    KIND_NONE,
    NO_LABEL,
)
from engine._decision_notes cimport Decision, act_as, add_points, add_reason
from engine._image cimport OUTCOME_ACCEPT, RULE_ANONYMOUS, RULE_IDENTITY_MISMATCH, RULE_INVALID_NUMBER
from engine._numbers cimport number_kind

cdef inline bint is_withheld(const Decision* d) noexcept nogil:
    """The caller's identity is withheld (RFC 3323, RFC 5079 section 3)."""
    cdef int kind = number_kind(d.attempt.caller)
    return kind == KIND_ANONYMOUS or kind == KIND_NONE or d.attempt.flags & ATTEMPT_PRIVACY


cdef inline void note_hygiene(Decision* d) noexcept nogil:
    if d.attempt.flags & ATTEMPT_IDENTITY_MISMATCH:
        add_points(d, RULE_IDENTITY_MISMATCH, d.trunk.mismatch_points)


cdef inline bint withheld(Decision* d) noexcept nogil:
    if not is_withheld(d):
        return False
    if d.trunk.anonymous == OUTCOME_ACCEPT:
        add_reason(d, RULE_ANONYMOUS, 0)
        return False
    return act_as(d, RULE_ANONYMOUS, d.trunk.anonymous, BASIS_POLICY, 0, NO_LABEL, False)


cdef inline bint invalid(Decision* d) noexcept nogil:
    """The caller's number is a number of no plan."""
    if number_kind(d.attempt.caller) != KIND_INVALID:
        return False
    return act_as(d, RULE_INVALID_NUMBER, d.trunk.invalid, BASIS_INVALID, d.trunk.invalid_points, NO_LABEL, False)
