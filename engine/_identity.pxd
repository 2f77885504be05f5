# The steps that look at how the caller shows itself: withheld, contradicted, no number at all.

from engine._conditions cimport is_withheld
from engine._decision cimport (
    ACTION_ACCEPT,
    ATTEMPT_IDENTITY_MISMATCH,
    BASIS_INVALID,
    BASIS_POLICY,
    KIND_INVALID,
    NO_DIVERT,
    NO_LABEL,
)
from engine._decision_notes cimport Decision, act_as, add_points, add_reason
from engine._image cimport OUTCOME_ACCEPT, OUTCOME_SCORE, RULE_ANONYMOUS, RULE_IDENTITY_MISMATCH, RULE_INVALID_NUMBER
from engine._numbers cimport number_kind


cdef inline void note_hygiene(Decision* d) noexcept nogil:
    if d.attempt.flags & ATTEMPT_IDENTITY_MISMATCH:
        add_points(d, RULE_IDENTITY_MISMATCH, d.trunk.mismatch_points, False)


cdef inline bint withheld(Decision* d) noexcept nogil:
    if not is_withheld(d):
        return False
    if d.trunk.anonymous == OUTCOME_ACCEPT:
        add_reason(d, RULE_ANONYMOUS, 0, ACTION_ACCEPT)
        return False
    return act_as(d, RULE_ANONYMOUS, d.trunk.anonymous, BASIS_POLICY, NO_LABEL, NO_DIVERT, False)


cdef inline bint invalid(Decision* d) noexcept nogil:
    """The caller's number is a number of no plan."""
    if number_kind(d.attempt.caller) != KIND_INVALID:
        return False
    if d.trunk.invalid == OUTCOME_SCORE:
        add_points(d, RULE_INVALID_NUMBER, d.trunk.invalid_points, False)
        return False
    return act_as(d, RULE_INVALID_NUMBER, d.trunk.invalid, BASIS_INVALID, NO_LABEL, NO_DIVERT, False)
