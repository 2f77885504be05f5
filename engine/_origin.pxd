# The class of the caller's number, and whether such a number can come from the trunk (origin consistency).

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from engine._decision cimport KIND_INVALID
from engine._decision_notes cimport Decision, act_as, in_force
from engine._image cimport (
    CLASS_FOREIGN,
    CLASS_INVALID,
    CLASS_UNALLOCATED,
    LEVEL_CLASS,
    LEVEL_OWN,
    NO_CLASS,
    OUTCOME_ACCEPT,
    OUTCOME_OWN,
    OUTCOME_REJECT,
    OUTCOME_TAG,
    RULE_FOREIGN_NUMBER,
    RULE_INVALID_NUMBER,
    SEGMENT_COMMERCIAL,
    ImageHit,
    ImageOrigin,
    ImageRule,
    ImageView,
)
from engine._lists cimport strongest
from engine._numbers cimport number_digits, number_kind
from engine._subscribers cimport SEGMENT_UNKNOWN

cdef inline uint8_t class_of(const ImageView* policy, Decision* d, uint16_t* rule) noexcept nogil:
    """The class of the caller's number by the forms of the trunk's country, and the rule that says so.

    A number that only forms of another length know is none; one that no form knows is in no block that is in use.
    """
    cdef const ImageHit* hit = &policy.hits[d.caller.start]
    cdef const ImageRule* form
    cdef int digits = number_digits(d.attempt.caller)
    cdef bint misfits = False
    cdef uint8_t found = NO_CLASS
    cdef uint32_t i
    for i in range(d.caller.count):
        if hit[i].level != LEVEL_CLASS or not in_force(policy, d, hit[i].rule):
            continue
        form = &policy.rules[hit[i].rule]
        if form.least_digits <= digits <= form.most_digits:
            found = form.number_class
            rule[0] = hit[i].rule
            break
        misfits = True
    if found == NO_CLASS and not misfits:
        rule[0] = RULE_FOREIGN_NUMBER
        return CLASS_FOREIGN
    if found == NO_CLASS or (found == CLASS_UNALLOCATED and misfits):
        rule[0] = RULE_INVALID_NUMBER
        return CLASS_INVALID
    return found


cdef inline void classify(const ImageView* policy, Decision* d) noexcept nogil:
    if d.trunk.has_pack and d.numbered:
        d.verdict.number_class = class_of(policy, d, &d.class_rule)


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
    return act_as(d, d.class_rule, outcome, cell.basis, 0, cell.label, cell.observe)
