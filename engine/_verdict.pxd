# The beginning and the end of a verdict: empty, then with the status, label and redress id that follow.

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memset

from engine._decision cimport (
    ACTION_ACCEPT,
    ACTION_DIVERT,
    ACTION_REJECT,
    ASKED_IN_VAIN,
    BASIS_NONE,
    NO_DIVERT,
    NO_LABEL,
    NO_RULE,
    Verdict,
)
from engine._decision_notes cimport SEEN_REASON, Decision, observe
from engine._image cimport NO_CLASS, RULE_ANONYMOUS, RULE_SUBSCRIBER_ANONYMOUS
from engine._siphash cimport SipKey, siphash


cdef inline uint64_t redress_id(
    const SipKey* key, const Decision* d, uint64_t generation, uint64_t sequence
) noexcept nogil:
    """Unguessable without the node's key; workers that share it differ by what they were asked and when."""
    cdef uint64_t words[6]
    cdef uint64_t hashed
    words[0] = generation
    words[1] = sequence
    words[2] = <uint64_t>d.now_us
    words[3] = d.attempt.caller
    words[4] = d.attempt.callee
    words[5] = d.attempt.source
    hashed = siphash(key, words, 6)
    return hashed if hashed else 1


cdef inline void clear_verdict(Verdict* verdict) noexcept nogil:
    memset(verdict, 0, sizeof(Verdict))
    verdict.label = NO_LABEL
    verdict.divert = NO_DIVERT
    verdict.rule = verdict.observed_rule = NO_RULE
    verdict.number_class = NO_CLASS


cdef inline bint is_anonymity(uint16_t rule) noexcept nogil:
    return rule == RULE_ANONYMOUS or rule == RULE_SUBSCRIBER_ANONYMOUS


cdef inline uint8_t in_vain(uint8_t asked) noexcept nogil:
    return asked | ASKED_IN_VAIN if asked != ACTION_ACCEPT else asked


cdef inline void withdraw(Decision* d) noexcept nogil:
    """A policy in observe mode: what it decided is only noted."""
    cdef int i
    observe(d, d.verdict.rule, d.verdict.action)
    d.verdict.action = ACTION_ACCEPT
    for i in range(d.verdict.reasons_count):
        d.verdict.asked[i] = in_vain(d.verdict.asked[i])
    for i in range(d.trace.count if d.trace is not NULL else 0):
        if d.trace.entries[i].seen == SEEN_REASON:
            d.trace.entries[i].asked = in_vain(d.trace.entries[i].asked)


cdef inline void finish(Decision* d) noexcept nogil:
    """Status and label follow from what was settled."""
    cdef Verdict* verdict = d.verdict
    if d.trunk.observe and verdict.action != ACTION_ACCEPT:
        withdraw(d)
    if verdict.action != ACTION_DIVERT:
        verdict.divert = NO_DIVERT
    if verdict.action == ACTION_ACCEPT:
        verdict.basis = BASIS_NONE
        verdict.label = NO_LABEL
        if verdict.observed != ACTION_ACCEPT and not d.allowed:
            verdict.rule = verdict.observed_rule
        return
    if verdict.label == NO_LABEL:
        verdict.label = d.trunk.label
    if verdict.action == ACTION_REJECT:
        verdict.status = d.trunk.anonymous_status if is_anonymity(verdict.rule) else d.trunk.status[verdict.basis]
