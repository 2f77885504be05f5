# The steps that ask the operator's lists and prefix rules.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from engine._conditions cimport holds, in_force
from engine._decision cimport (
    ACTION_ACCEPT,
    ACTION_REJECT,
    ATTEMPT_EMERGENCY,
    BASIS_POLICY,
    KIND_SHORT,
    NO_DIVERT,
    number_t,
)
from engine._decision_notes cimport Decision, act, add_reason, settle
from engine._image cimport (
    LEVEL_ALLOW,
    LEVEL_DENY,
    LEVEL_NEVER_BLOCK,
    LEVEL_ORDER,
    LEVEL_PROTECTED,
    RULE_EMERGENCY,
    ImageHit,
    ImageRecord,
    ImageView,
    has_level,
)
from engine._numbers cimport has_digits, number_is_emergency, number_kind
from engine._prefix_trie cimport TrieSearch, trie_end
from engine._trie_layout cimport TrieView


cdef inline const TrieView* callers_of(const ImageView* policy, number_t number) noexcept nogil:
    return &policy.callers_short if number_kind(number) == KIND_SHORT else &policy.callers


cdef inline const TrieView* callees_of(const ImageView* policy, number_t number) noexcept nogil:
    return &policy.callees_short if number_kind(number) == KIND_SHORT else &policy.callees


cdef inline const ImageRecord* record_of(const ImageView* policy, const TrieSearch* search) noexcept nogil:
    cdef int length
    cdef uint32_t index = trie_end(search, &length)
    return &policy.records[index if index < policy.records_count else 0]


cdef inline const ImageHit* strongest(
    const ImageView* policy, Decision* d, const ImageRecord* record, uint8_t level
) noexcept nogil:
    """The longest match of a level among the rules that are in force and act; NULL if there is none."""
    cdef const ImageHit* hit = &policy.hits[record.start]
    cdef uint32_t i
    for i in range(record.count):
        if hit[i].level == level and in_force(policy, d, hit[i].rule) and not policy.rules[hit[i].rule].observe:
            return &hit[i]
    return NULL


cdef inline void note_observers(
    const ImageView* policy, Decision* d, uint8_t level, const ImageHit* winner
) noexcept nogil:
    """What rules in observe mode would have done at a level: those that match longer than the one that acts."""
    cdef const ImageHit* hit = &policy.hits[d.caller.start]
    cdef uint32_t i
    for i in range(d.caller.count):
        if hit[i].level != level or not policy.rules[hit[i].rule].observe or not in_force(policy, d, hit[i].rule):
            continue
        if winner is NULL or hit[i].weight > winner.weight:
            act(policy, d, hit[i].rule)


cdef inline bint never_blocked(const ImageView* policy, Decision* d) noexcept nogil:
    """The callee is an emergency service or on a never-block list: the call goes on, whatever else holds."""
    cdef const ImageHit* hit
    cdef uint16_t rule = RULE_EMERGENCY
    if not d.attempt.flags & ATTEMPT_EMERGENCY and not number_is_emergency(d.attempt.callee):
        if not has_level(d.callee, LEVEL_NEVER_BLOCK):
            return False
        hit = strongest(policy, d, d.callee, LEVEL_NEVER_BLOCK)
        if hit is NULL:
            return False
        rule = hit.rule
    add_reason(d, rule, 0, ACTION_ACCEPT)
    d.verdict.rule = rule
    return True


cdef inline void note_protection(const ImageView* policy, Decision* d) noexcept nogil:
    cdef const ImageHit* hit = NULL
    if has_level(d.caller, LEVEL_PROTECTED):
        hit = strongest(policy, d, d.caller, LEVEL_PROTECTED)
    if hit is not NULL:
        add_reason(d, hit.rule, 0, ACTION_ACCEPT)
        d.protected_caller = True


cdef inline bint ordered(const ImageView* policy, Decision* d) noexcept nogil:
    """A stop list of a regulator or the operator: it spares not even protected callers."""
    cdef const ImageHit* hit
    if not has_level(d.caller, LEVEL_ORDER):
        return False
    hit = strongest(policy, d, d.caller, LEVEL_ORDER)
    note_observers(policy, d, LEVEL_ORDER, hit)
    if hit is NULL:
        return False
    add_reason(d, hit.rule, 0, ACTION_REJECT)
    settle(d, ACTION_REJECT, BASIS_POLICY, hit.rule, policy.rules[hit.rule].label, NO_DIVERT)
    return True


cdef inline bint denied(const ImageView* policy, Decision* d) noexcept nogil:
    """The operator's allow and deny lists: the longest match wins, allow on equality."""
    cdef const ImageHit* allow
    cdef const ImageHit* deny
    cdef bint allows
    if not has_level(d.caller, LEVEL_ALLOW) and not has_level(d.caller, LEVEL_DENY):
        return False
    allow = strongest(policy, d, d.caller, LEVEL_ALLOW)
    deny = strongest(policy, d, d.caller, LEVEL_DENY)
    allows = allow is not NULL and (deny is NULL or allow.weight >= deny.weight)
    note_observers(policy, d, LEVEL_DENY, allow if allows else deny)
    if not allows:
        return deny is not NULL and act(policy, d, deny.rule)
    add_reason(d, allow.rule, 0, ACTION_ACCEPT)
    if not d.allowed:
        d.verdict.rule = allow.rule
    d.allowed = True
    return False


cdef inline bint listed(const ImageView* policy, Decision* d, uint8_t level) noexcept nogil:
    """The longest match of a level of lists or prefix rules does what its rule says."""
    cdef const ImageHit* hit
    if not has_level(d.caller, level):
        return False
    hit = strongest(policy, d, d.caller, level)
    note_observers(policy, d, level, hit)
    return hit is not NULL and act(policy, d, hit.rule)


cdef inline bint conditional(const ImageView* policy, Decision* d, uint8_t level) noexcept nogil:
    """Rules without numbers, all that hold: those that act (LEVEL_PREFIX) or those that add points (LEVEL_SCORE)."""
    cdef const uint16_t* rules = &policy.conditional[d.trunk.conditional_start]
    cdef int i
    for i in range(d.trunk.conditional_count):
        if policy.rules[rules[i]].level == level and holds(policy, d, &policy.rules[rules[i]]):
            act(policy, d, rules[i])
    return d.settled
