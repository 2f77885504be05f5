# The step that adds up what is known of the caller and holds it against the thresholds.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from engine._conditions cimport in_force
from engine._decision cimport (
    ACTION_ACCEPT,
    ACTION_DIVERT,
    ACTION_REJECT,
    ACTION_TAG,
    BASIS_ANALYTICS,
    NO_DIVERT,
    NO_LABEL,
)
from engine._decision_notes cimport SEEN_COMPLAINTS, SEEN_POINTS, Decision, act, add_points, observe, settle, trace
from engine._image cimport (
    LEVEL_SCORE,
    RULE_BLOCK_REPUTATION,
    RULE_REPUTATION,
    RULE_SCORE,
    ImageHit,
    ImageView,
    has_level,
)
from engine._lists cimport conditional
from engine._numbers cimport number_block_of
from engine._reputation cimport Known, is_known, known_prefetch
from engine._table cimport Table

cdef enum:
    MAX_SCORE = 1000
    BLOCK_DIGITS = 2         # reputation is kept of a number and of its block of 100


cdef inline void weigh_reputation(
    Decision* d, Table reputation, Known* known, uint16_t rule, uint16_t permille
) noexcept nogil:
    cdef int points
    if not is_known(reputation, known, d.now_us):
        return
    trace(d, rule, SEEN_POINTS, <int>known.entry.points, ACTION_ACCEPT)
    trace(d, rule, SEEN_COMPLAINTS, known.entry.complaints, ACTION_ACCEPT)
    points = <int>min(known.entry.points, <uint32_t>MAX_SCORE) * permille // 1000
    if points:
        add_points(d, rule, points, False)


cdef inline void weigh_prefixes(const ImageView* policy, Decision* d) noexcept nogil:
    cdef const ImageHit* hit = &policy.hits[d.caller.start]
    cdef uint32_t i
    for i in range(d.caller.count if has_level(d.caller, LEVEL_SCORE) else 0):
        if hit[i].level == LEVEL_SCORE and in_force(policy, d, hit[i].rule):
            act(policy, d, hit[i].rule)


cdef inline int clamped(int score) noexcept nogil:
    return 0 if score < 0 else MAX_SCORE if score > MAX_SCORE else score


cdef inline uint8_t band(const Decision* d, int score) noexcept nogil:
    """The action of the highest threshold reached."""
    if score < d.trunk.tag_from:
        return ACTION_ACCEPT
    if score < d.trunk.divert_from or d.protected_caller:
        return ACTION_TAG
    return ACTION_DIVERT if score < d.trunk.reject_from else ACTION_REJECT


cdef inline bint scored(const ImageView* policy, Decision* d, Table reputation) noexcept nogil:
    cdef uint8_t action
    if d.numbered:
        weigh_reputation(d, reputation, &d.caller_known, RULE_REPUTATION, d.trunk.reputation_permille)
        weigh_reputation(d, reputation, &d.block_known, RULE_BLOCK_REPUTATION, d.trunk.block_permille)
    weigh_prefixes(policy, d)
    conditional(policy, d, LEVEL_SCORE)
    d.verdict.score = <uint16_t>clamped(d.score)
    action = band(d, d.verdict.score)
    if d.observed_score != d.score and band(d, clamped(d.observed_score)) > action:
        observe(d, RULE_SCORE, band(d, clamped(d.observed_score)))
    if action == ACTION_ACCEPT or d.allowed:
        return False
    settle(d, action, BASIS_ANALYTICS, RULE_SCORE, NO_LABEL, NO_DIVERT)
    return d.settled


cdef inline void prefetch_reputation(Decision* d, Table reputation) noexcept nogil:
    known_prefetch(&reputation.view, d.attempt.caller, &d.caller_known)
    known_prefetch(&reputation.view, number_block_of(d.attempt.caller, BLOCK_DIGITS), &d.block_known)
