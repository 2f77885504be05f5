# What the steps of a decision note down: reasons, points, the action that stands, what only observes.
#
# Every step is an inline function, in _lists, _conditions, _identity, _origin, _refusal, _limits and _score, so that
# the order of decision in _fastpath.pyx is compiled into one piece.

from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint64_t

from engine._decision cimport (
    ACTION_ACCEPT,
    ACTION_DIVERT,
    ACTION_DROP,
    ACTION_REJECT,
    ACTION_TAG,
    ASKED_IN_VAIN,
    MAX_REASONS,
    NO_DIVERT,
    NO_LABEL,
    Attempt,
    Verdict,
)
from engine._image cimport (
    MAX_LIMITS,
    OUTCOME_DIVERT,
    OUTCOME_DROP,
    OUTCOME_REJECT,
    OUTCOME_SCORE,
    ImageRecord,
    ImageRule,
    ImageTrunk,
    ImageView,
)
from engine._orders cimport Order
from engine._prefix_trie cimport TrieSearch
from engine._reputation cimport Known
from engine._subscriber_will cimport CalleePlaces
from engine._table cimport Record

cdef enum:
    MAX_TRACE = 64           # things one explanation can show

cdef enum Seen:
    SEEN_REASON = 0
    SEEN_LIMIT = 1           # asked: the window, from 0 on; value: 1 = one more call conforms
    SEEN_POINTS = 2          # value: points of the number or block
    SEEN_COMPLAINTS = 3

cdef struct TraceEntry:
    uint16_t rule
    uint8_t seen             # Seen
    uint8_t asked            # by a reason, as in Verdict
    int value

cdef struct Trace:
    int count
    TraceEntry entries[MAX_TRACE]

# Where a limit's record may stand.
cdef struct LimitPlace:
    uint64_t key             # 0 = the limit does not apply
    Record* bucket

# One attempt on its way through the order of decision.
cdef struct Decision:
    const Attempt* attempt
    Verdict* verdict
    int64_t now_us
    const uint64_t* in_force         # the trunk's row of bits, one a rule
    const ImageRecord* caller        # what lists and prefix rules say of it
    const ImageRecord* callee
    # From here to `limit_places` everything is cleared beforehand.
    const ImageTrunk* trunk          # NULL = the policy does not know it
    Trace* trace                     # NULL unless explaining
    int score
    int observed_score               # with the points of rules that only observe
    uint16_t class_rule              # that names the class of the caller's number
    uint64_t order_kinds             # which orders there are
    Order order                      # of the caller
    uint8_t callee_class             # CLASS_NOT_ASKED until a rule wants to know
    bint count
    bint numbered                    # the caller has a number to know it by
    bint protected_caller
    bint allowed
    bint consented                   # the callee has agreed to calls of this caller
    bint settled
    LimitPlace limit_places[MAX_LIMITS]
    Known caller_known               # its reputation; asked for only if the caller has a number
    Known block_known                # that of its block; key 0 = there is no block
    CalleePlaces callee_places
    TrieSearch caller_search
    TrieSearch callee_search


cdef inline void trace(Decision* d, uint16_t rule, uint8_t seen, int value, uint8_t asked) noexcept nogil:
    cdef TraceEntry* entry
    if d.trace is NULL or d.trace.count == MAX_TRACE:
        return
    entry = &d.trace.entries[d.trace.count]
    entry.rule = rule
    entry.seen = seen
    entry.value = value
    entry.asked = asked
    d.trace.count += 1


# asked: Action, with ASKED_IN_VAIN of something that only observes.
cdef inline void add_reason(Decision* d, uint16_t rule, int points, uint8_t asked) noexcept nogil:
    cdef Verdict* verdict = d.verdict
    cdef uint8_t place = verdict.reasons_count
    trace(d, rule, SEEN_REASON, points, asked)
    if place < MAX_REASONS:
        verdict.reasons[place].name = rule
        verdict.reasons[place].points = <int16_t>points
        verdict.asked[place] = asked
        verdict.reasons_count = place + 1


cdef inline void add_points(Decision* d, uint16_t rule, int points, bint observes) noexcept nogil:
    add_reason(d, rule, points, ASKED_IN_VAIN if observes else ACTION_ACCEPT)
    d.observed_score += points
    if not observes:
        d.score += points


cdef inline void observe(Decision* d, uint16_t rule, uint8_t action) noexcept nogil:
    """The strongest action that something in observe mode asked for, and the first that asked for it."""
    if action > d.verdict.observed:
        d.verdict.observed = action
        d.verdict.observed_rule = rule


cdef inline void settle(
    Decision* d, uint8_t action, uint8_t basis, uint16_t rule, uint8_t label, uint8_t divert
) noexcept nogil:
    """An action stands until a stronger one; the first of equals keeps the call."""
    if d.verdict.label == NO_LABEL:
        d.verdict.label = label
    if action > d.verdict.action:
        d.verdict.action = action
        d.verdict.basis = basis
        d.verdict.rule = rule
        d.verdict.divert = divert if divert != NO_DIVERT else d.trunk.divert
    d.settled |= action >= ACTION_REJECT


cdef inline uint8_t action_of(uint8_t outcome) noexcept nogil:
    if outcome == OUTCOME_REJECT:
        return ACTION_REJECT
    if outcome == OUTCOME_DIVERT:
        return ACTION_DIVERT
    return ACTION_DROP if outcome == OUTCOME_DROP else ACTION_TAG


cdef inline bint act(const ImageView* policy, Decision* d, uint16_t rule) noexcept nogil:
    """What a rule that fired does. True if the call is settled: nothing after it can change the verdict."""
    cdef const ImageRule* written = &policy.rules[rule]
    if written.outcome == OUTCOME_SCORE:
        add_points(d, rule, written.points, written.observe)
        return False
    return act_as(d, rule, written.outcome, written.basis, written.label, written.divert, written.observe)


# outcome: not OUTCOME_SCORE.
cdef inline bint act_as(
    Decision* d, uint16_t rule, uint8_t outcome, uint8_t basis, uint8_t label, uint8_t divert, bint observes
) noexcept nogil:
    cdef uint8_t action = action_of(outcome)
    if action > ACTION_TAG and d.protected_caller:
        action = ACTION_TAG
    if d.allowed:
        add_reason(d, rule, 0, ACTION_ACCEPT)
        return False
    add_reason(d, rule, 0, action | ASKED_IN_VAIN if observes else action)
    if observes:
        observe(d, rule, action)
    else:
        settle(d, action, basis, rule, label, divert)
    return d.settled
