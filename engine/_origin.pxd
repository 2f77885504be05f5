# The class of the caller's number, and whether such a number can come from the trunk (origin consistency).

from libc.stdint cimport uint8_t, uint16_t, uint64_t

from engine._conditions cimport class_of
from engine._decision cimport KIND_INVALID, NO_DIVERT
from engine._decision_notes cimport Decision, act_as
from engine._image cimport (
    LEVEL_OWN,
    NO_CLASS,
    OUTCOME_ACCEPT,
    OUTCOME_OWN,
    OUTCOME_REJECT,
    OUTCOME_TAG,
    SEGMENT_COMMERCIAL,
    ImageOrigin,
    ImageView,
)
from engine._lists cimport strongest
from engine._numbers cimport number_kind
from engine._subscribers cimport SEGMENT_UNKNOWN


cdef inline void classify(const ImageView* policy, Decision* d) noexcept nogil:
    if d.trunk.has_pack and d.numbered:
        d.verdict.number_class = class_of(policy, d, d.attempt.caller, d.caller, &d.class_rule)


cdef inline uint16_t segments_of(const ImageView* policy, const Decision* d) noexcept nogil:
    """What kind of caller a subscriber may have refused."""
    cdef uint16_t segments = SEGMENT_COMMERCIAL if d.trunk.commercial else 0
    if number_kind(d.attempt.caller) == KIND_INVALID:
        return segments | SEGMENT_UNKNOWN
    return segments if d.verdict.number_class == NO_CLASS else (
        segments | policy.settings.segments[d.verdict.number_class]
    )


cdef inline bint misplaced(const ImageView* policy, Decision* d) noexcept nogil:
    """The class of the caller's number against the class of the trunk: numbers that cannot come from there.

    A callee's consent makes a call that would be tagged one that was asked for.
    """
    cdef const ImageOrigin* cell
    cdef uint8_t outcome
    if d.verdict.number_class == NO_CLASS:
        return False
    cell = &policy.origins[<uint64_t>d.attempt.trunk * policy.classes_count + d.verdict.number_class]
    outcome = cell.outcome
    if outcome == OUTCOME_OWN:
        outcome = OUTCOME_ACCEPT if strongest(policy, d, d.caller, LEVEL_OWN) is not NULL else OUTCOME_REJECT
    if outcome == OUTCOME_ACCEPT or (outcome == OUTCOME_TAG and d.consented):
        return False
    return act_as(d, d.class_rule, outcome, cell.basis, cell.label, NO_DIVERT, cell.observe)
