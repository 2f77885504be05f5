# What the steps of a decision note down: reasons, points, the action that stands, what only observes.
#
# Every step is an inline function, here and in _lists, _identity, _origin, _refusal, _limits and _score, so that the
# order of decision in _fastpath.pyx is compiled into one piece.

from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint64_t

from engine._cuckoo cimport Nest
from engine._decision cimport ACTION_REJECT, ACTION_TAG, MAX_REASONS, NO_LABEL, Attempt, Verdict, number_t
from engine._image cimport MAX_LIMITS, OUTCOME_REJECT, OUTCOME_SCORE, ImageRecord, ImageRule, ImageTrunk, ImageView
from engine._orders cimport Order
from engine._prefix_trie cimport TrieSearch
from engine._subscriber_will cimport CalleePlaces
from engine._table cimport Record

cdef enum:
    MAX_TRACE = 64           # things one explanation can show

cdef enum Seen:
    SEEN_REASON = 0
    SEEN_LIMIT = 1           # value: 1 = one more call conforms
    SEEN_POINTS = 2          # value: points of the number or block
    SEEN_COMPLAINTS = 3

cdef struct TraceEntry:
    uint16_t rule
    uint16_t seen            # Seen
    int64_t value

cdef struct Trace:
    int count
    TraceEntry entries[MAX_TRACE]

# One attempt on its way through the order of decision.
cdef struct Decision:
    const Attempt* attempt
    const ImageTrunk* trunk
    const uint64_t* in_force         # the trunk's row of bits, one a rule
    const ImageRecord* caller        # what lists and prefix rules say of it
    const ImageRecord* callee
    Verdict* verdict
    Trace* trace                     # NULL unless explaining
    int64_t now_us
    number_t block
    int score
    int observed_score               # with the points of rules that only observe
    uint16_t observed_rule
    uint16_t class_rule              # that names the class of the caller's number
    uint64_t order_kinds             # which orders there are
    Order order                      # of the caller
    bint count
    bint numbered                    # the caller has a number to know it by
    bint protected_caller
    bint allowed
    bint consented                   # the callee has agreed to calls of this caller
    bint settled
    # From here on nothing is cleared beforehand.
    uint64_t limit_keys[MAX_LIMITS]  # 0 = the limit does not apply
    Record* limit_places[MAX_LIMITS]
    Nest caller_place                # of its reputation
    Nest block_place
    CalleePlaces callee_places
    TrieSearch caller_search
    TrieSearch callee_search


cdef enum:
    RULE_BITS = 6            # a word of the in-force row holds 64 rules


cdef inline bint in_force(const ImageView* policy, const Decision* d, uint16_t rule) noexcept nogil:
    cdef int64_t until_us = policy.rules[rule].until_us
    if not d.in_force[rule >> RULE_BITS] >> (rule & 63) & 1:
        return False
    return until_us == 0 or d.now_us < until_us


cdef inline void trace(Decision* d, uint16_t rule, uint16_t seen, int64_t value) noexcept nogil:
    if d.trace is not NULL and d.trace.count < MAX_TRACE:
        d.trace.entries[d.trace.count].rule = rule
        d.trace.entries[d.trace.count].seen = seen
        d.trace.entries[d.trace.count].value = value
        d.trace.count += 1


cdef inline void add_reason(Decision* d, uint16_t rule, int points) noexcept nogil:
    cdef Verdict* verdict = d.verdict
    trace(d, rule, SEEN_REASON, points)
    if verdict.reasons_count < MAX_REASONS:
        verdict.reasons[verdict.reasons_count].name = rule
        verdict.reasons[verdict.reasons_count].points = <int16_t>points
        verdict.reasons_count += 1


cdef inline void add_points(Decision* d, uint16_t rule, int points) noexcept nogil:
    add_reason(d, rule, points)
    d.score += points
    d.observed_score += points


cdef inline void observe(Decision* d, uint16_t rule, uint8_t action) noexcept nogil:
    """The strongest action that something in observe mode asked for, and the first that asked for it."""
    if action > d.verdict.observed:
        d.verdict.observed = action
        d.observed_rule = rule


cdef inline void settle(Decision* d, uint8_t action, uint8_t basis, uint16_t rule, uint8_t label) noexcept nogil:
    """An action stands until a stronger one; the first of equals keeps the call."""
    if d.verdict.label == NO_LABEL:
        d.verdict.label = label
    if action > d.verdict.action:
        d.verdict.action = action
        d.verdict.basis = basis
        d.verdict.rule = rule


cdef inline bint act(const ImageView* policy, Decision* d, uint16_t rule, uint8_t outcome, uint8_t basis) noexcept nogil:
    """What a rule that fired does. True if the call is settled: nothing after it can change the verdict."""
    cdef const ImageRule* written = &policy.rules[rule]
    return act_as(d, rule, outcome, basis, written.points, written.label, written.observe)


cdef inline bint act_as(
    Decision* d, uint16_t rule, uint8_t outcome, uint8_t basis, int points, uint8_t label, bint observes
) noexcept nogil:
    cdef uint8_t action = ACTION_REJECT if outcome == OUTCOME_REJECT else ACTION_TAG
    if outcome == OUTCOME_SCORE and not observes:
        add_points(d, rule, points)
        return False
    add_reason(d, rule, 0)
    if outcome == OUTCOME_SCORE:
        d.observed_score += points
        return False
    if action == ACTION_REJECT and d.protected_caller:
        action = ACTION_TAG
    if d.allowed:
        return False
    if observes:
        observe(d, rule, action)
        return d.settled
    settle(d, action, basis, rule, label)
    d.settled |= action == ACTION_REJECT
    return d.settled
