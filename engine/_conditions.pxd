# Whether a rule speaks of a call: the trunk's choice, its last day, classes of both numbers, the hour.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from engine._decision cimport ATTEMPT_PRIVACY, KIND_ANONYMOUS, KIND_INVALID, KIND_NONE, number_t
from engine._decision_notes cimport Decision
from engine._image cimport (
    CLASS_ANONYMOUS,
    CLASS_FOREIGN,
    CLASS_INVALID,
    CLASS_NOT_ASKED,
    CLASS_UNALLOCATED,
    HOURS_OF_TRUNK,
    LEVEL_CLASS,
    LEVEL_ZONE,
    NO_CLASS,
    NO_HOURS,
    RULE_FOREIGN_NUMBER,
    RULE_INVALID_NUMBER,
    ImageHit,
    ImageRecord,
    ImageRule,
    ImageView,
    has_level,
)
from engine._local_time cimport is_open
from engine._numbers cimport has_digits, number_digits, number_kind

cdef enum:
    RULE_BITS = 6            # a word of the in-force row holds 64 rules
    CLASSLESS = 31           # a bit that no class has


cdef inline bint in_force(const ImageView* policy, Decision* d, uint16_t rule) noexcept nogil:
    return on_trunk(d, rule) and (not policy.rules[rule].conditional or holds(policy, d, &policy.rules[rule]))


cdef inline bint holds(const ImageView* policy, Decision* d, const ImageRule* rule) noexcept nogil:
    """Whether a rule's conditions are true of the call."""
    if rule.until_us and d.now_us >= rule.until_us:
        return False
    if rule.classes and not rule.classes & caller_classes(d):
        return False
    if rule.callee_classes and not rule.callee_classes >> callee_class(policy, d) & 1:
        return False
    if rule.hours != NO_HOURS and not is_within(policy, d, rule.hours):
        return False
    return rule.outside_hours == NO_HOURS or not is_within(policy, d, rule.outside_hours)


cdef inline bint is_withheld(const Decision* d) noexcept nogil:
    """The caller's identity is withheld (RFC 3323, RFC 5079 section 3)."""
    cdef int kind = number_kind(d.attempt.caller)
    return kind == KIND_ANONYMOUS or kind == KIND_NONE or d.attempt.flags & ATTEMPT_PRIVACY


# Bits. A number that is sent but withheld from the callee has its own class and that of anonymous callers.
cdef inline uint32_t caller_classes(const Decision* d) noexcept nogil:
    cdef uint32_t bits = <uint32_t>1 << CLASS_ANONYMOUS if is_withheld(d) else 0
    if number_kind(d.attempt.caller) == KIND_INVALID:
        return bits | <uint32_t>1 << CLASS_INVALID
    return bits if d.verdict.number_class == NO_CLASS else bits | <uint32_t>1 << d.verdict.number_class


# Looked for once, when the first rule wants to know. CLASSLESS if the trunk has no pack.
cdef inline uint8_t callee_class(const ImageView* policy, Decision* d) noexcept nogil:
    cdef uint16_t rule
    if d.callee_class != CLASS_NOT_ASKED:
        return d.callee_class
    d.callee_class = CLASSLESS
    if number_kind(d.attempt.callee) == KIND_INVALID:
        d.callee_class = CLASS_INVALID
    elif d.trunk.has_pack and has_digits(d.attempt.callee):
        d.callee_class = class_of(policy, d, d.attempt.callee, d.callee, &rule)
    return d.callee_class


cdef inline uint8_t class_of(
    const ImageView* policy, const Decision* d, number_t number, const ImageRecord* record, uint16_t* rule
) noexcept nogil:
    """The class of a number by the forms of the trunk's country, and the rule that says so.

    A number that only forms of another length know is none; one that no form knows is in no block that is in use.
    """
    cdef const ImageHit* hit = &policy.hits[record.start]
    cdef const ImageRule* form
    cdef int digits = number_digits(number)
    cdef bint misfits = False
    cdef uint8_t found = NO_CLASS
    cdef uint32_t i
    for i in range(record.count if has_level(record, LEVEL_CLASS) else 0):
        if hit[i].level != LEVEL_CLASS or not on_trunk(d, hit[i].rule):
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


cdef inline bint on_trunk(const Decision* d, uint16_t rule) noexcept nogil:
    return d.in_force[rule >> RULE_BITS] >> (rule & 63) & 1


cdef inline bint is_within(const ImageView* policy, const Decision* d, uint8_t hours) noexcept nogil:
    if hours == HOURS_OF_TRUNK:
        hours = d.trunk.hours
    return hours != NO_HOURS and is_open(policy, &policy.hours[hours], callees_zone(policy, d), d.now_us)


cdef inline uint8_t callees_zone(const ImageView* policy, const Decision* d) noexcept nogil:
    """The zone of the longest prefix of the callee that has one, else that of the trunk's country."""
    cdef const ImageHit* hit = &policy.hits[d.callee.start]
    cdef uint32_t i
    for i in range(d.callee.count if has_level(d.callee, LEVEL_ZONE) else 0):
        if hit[i].level == LEVEL_ZONE:
            return policy.rules[hit[i].rule].number_class
    return d.trunk.zone
