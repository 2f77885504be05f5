# The order of decision.
#
# `Screener.decide` is the whole of it, one named step a line. A step looks at one thing and either settles the verdict,
# notes evidence, or does nothing. Explicit results (lists, limits, prefix rules) win over the score; an explicit tag
# stands unless the score asks for a rejection. Within the operator's allow and deny lists the longest match wins, allow
# on equality. What an allow list lets through is still counted by limits and measured. A rule or policy that observes
# leaves only its reason and `Verdict.observed`.
#
# Everything a step reads was on its way since `prepare`, which starts all memory fetches before any answer is needed.

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from engine._decision cimport (
    ACTION_ACCEPT,
    ACTION_REJECT,
    ACTION_TAG,
    ATTEMPT_EMERGENCY,
    ATTEMPT_IDENTITY_MISMATCH,
    ATTEMPT_PRIVACY,
    BASIS_ANALYTICS,
    BASIS_DNO,
    BASIS_INVALID,
    BASIS_NONE,
    BASIS_POLICY,
    BASIS_SUBSCRIBER,
    CATEGORY_NONE,
    KIND_ANONYMOUS,
    KIND_INVALID,
    KIND_NONE,
    KIND_NUMBER,
    KIND_SHORT,
    MAX_REASONS,
    NO_LABEL,
    NO_RULE,
    Attempt,
    Verdict,
    number_t,
)
from engine._decision cimport Action as CAction
from engine._decision cimport Basis as CBasis
from engine._image cimport (
    CLASS_FOREIGN,
    CLASS_INVALID,
    CLASS_UNALLOCATED,
    LEVEL_ALLOW,
    LEVEL_CLASS,
    LEVEL_DENY,
    LEVEL_DNO,
    LEVEL_NEVER_BLOCK,
    LEVEL_ORDER,
    LEVEL_OWN,
    LEVEL_PREFIX,
    LEVEL_PROTECTED,
    LEVEL_SCORE,
    LEVEL_TAG,
    LIMIT_BLOCK_10,
    LIMIT_BLOCK_100,
    LIMIT_BLOCK_1000,
    LIMIT_CALLEE,
    LIMIT_CALLER,
    LIMIT_PAIR,
    LIMIT_SOURCE,
    LIMIT_TRUNK,
    MODE_OBSERVE,
    MODE_OFF,
    NO_CLASS,
    OUTCOME_ACCEPT,
    OUTCOME_OWN,
    OUTCOME_REJECT,
    OUTCOME_SCORE,
    OUTCOME_TAG,
    RULE_ANONYMOUS,
    RULE_BLOCK_REPUTATION,
    RULE_EMERGENCY,
    RULE_FOREIGN_NUMBER,
    RULE_IDENTITY_MISMATCH,
    RULE_INVALID_NUMBER,
    RULE_REPUTATION,
    RULE_SCORE,
    RULE_SUBSCRIBER_ALLOW,
    RULE_SUBSCRIBER_ANONYMOUS,
    RULE_SUBSCRIBER_CONSENT,
    RULE_SUBSCRIBER_PAIR,
    SEGMENT_COMMERCIAL,
    ImageHit,
    ImageOrigin,
    ImageRecord,
    ImageRule,
    ImageView,
    PolicyImage,
)
from engine._numbers cimport DialPlan, normalize, number_block, number_digits, number_is_emergency, number_kind
from engine._prefix_trie cimport TrieView, trie_match, trie_prefetch
from engine._rate_limiter cimport RateLimiter, limiter_conforms, limiter_prefetch
from engine._reputation cimport ReputationCache, ReputationEntry, reputation_add, reputation_prefetch, reputation_read
from engine._siphash cimport SipKey, siphash
from engine._subscriber_will cimport SubscriberWill, Will, WillCall
from engine._subscribers cimport SEGMENT_UNKNOWN
from engine._table cimport Table

import struct
from hashlib import blake2b

from engine import explain as explanations
from engine.decision import Action, Basis, Reason
from engine.decision import Verdict as PythonVerdict
from engine.packs import CLASSES

cdef enum:
    MAX_SCORE = 1000
    BLOCK_DIGITS = 2         # reputation is kept of a number and of its block of 100
    BATCH = 64
    RULE_BITS = 6            # a word of the in-force row holds 64 rules

cdef uint64_t SPREAD = 0x9E3779B97F4A7C15     # odd, so that multiplying by it keeps words apart

NODE_KEY = struct.Struct("<QQ")


# --- what is known of a number ----------------------------------------------------------------------------------------

cdef bint has_digits(number_t number) noexcept nogil:
    return number_kind(number) == KIND_NUMBER or number_kind(number) == KIND_SHORT


cdef const TrieView* callers_of(const ImageView* policy, number_t number) noexcept nogil:
    return &policy.callers_short if number_kind(number) == KIND_SHORT else &policy.callers


cdef const TrieView* callees_of(const ImageView* policy, number_t number) noexcept nogil:
    return &policy.callees_short if number_kind(number) == KIND_SHORT else &policy.callees


cdef const ImageRecord* record_of(const ImageView* policy, const TrieView* trie, number_t number) noexcept nogil:
    cdef int length
    cdef uint32_t index = trie_match(trie, number, &length) if has_digits(number) else 0
    return &policy.records[index if index < policy.records_count else 0]


cdef bint in_force(const ImageView* policy, const Decision* d, uint16_t rule) noexcept nogil:
    cdef int64_t until_us = policy.rules[rule].until_us
    if not d.in_force[rule >> RULE_BITS] >> (rule & 63) & 1:
        return False
    return until_us == 0 or d.now_us < until_us


# --- notes -----------------------------------------------------------------------------------------------------------

cdef void trace(Decision* d, uint16_t rule, uint16_t seen, int64_t value) noexcept nogil:
    if d.trace is not NULL and d.trace.count < MAX_TRACE:
        d.trace.entries[d.trace.count].rule = rule
        d.trace.entries[d.trace.count].seen = seen
        d.trace.entries[d.trace.count].value = value
        d.trace.count += 1


cdef void add_reason(Decision* d, uint16_t rule, int points) noexcept nogil:
    cdef Verdict* verdict = d.verdict
    trace(d, rule, SEEN_REASON, points)
    if verdict.reasons_count < MAX_REASONS:
        verdict.reasons[verdict.reasons_count].name = rule
        verdict.reasons[verdict.reasons_count].points = <int16_t>points
        verdict.reasons_count += 1


cdef void add_points(Decision* d, uint16_t rule, int points) noexcept nogil:
    add_reason(d, rule, points)
    d.score += points
    d.observed_score += points


cdef void observe(Decision* d, uint16_t rule, uint8_t action) noexcept nogil:
    """The strongest action that something in observe mode asked for, and the first that asked for it."""
    if action > d.verdict.observed:
        d.verdict.observed = action
        d.observed_rule = rule


cdef void settle(Decision* d, uint8_t action, uint8_t basis, uint16_t rule, uint8_t label) noexcept nogil:
    """An action stands until a stronger one; the first of equals keeps the call."""
    if d.verdict.label == NO_LABEL:
        d.verdict.label = label
    if action > d.verdict.action:
        d.verdict.action = action
        d.verdict.basis = basis
        d.verdict.rule = rule


cdef bint act(const ImageView* policy, Decision* d, uint16_t rule, uint8_t outcome, uint8_t basis) noexcept nogil:
    """What a rule that fired does. True if the call is settled: nothing after it can change the verdict."""
    cdef const ImageRule* written = &policy.rules[rule]
    return act_as(d, rule, outcome, basis, written.points, written.label, written.observe)


cdef bint act_as(
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


# --- steps -----------------------------------------------------------------------------------------------------------

cdef const ImageHit* strongest(
    const ImageView* policy, const Decision* d, const ImageRecord* record, uint8_t level
) noexcept nogil:
    """The longest match of a level among the rules that are in force and act; NULL if there is none."""
    cdef const ImageHit* hit = &policy.hits[record.start]
    cdef uint32_t i
    for i in range(record.count):
        if hit[i].level == level and in_force(policy, d, hit[i].rule) and not policy.rules[hit[i].rule].observe:
            return &hit[i]
    return NULL


cdef void note_observers(
    const ImageView* policy, Decision* d, uint8_t level, uint8_t basis, const ImageHit* winner
) noexcept nogil:
    """What rules in observe mode would have done at a level: those that match longer than the one that acts."""
    cdef const ImageHit* hit = &policy.hits[d.caller.start]
    cdef uint32_t i
    for i in range(d.caller.count):
        if hit[i].level != level or not policy.rules[hit[i].rule].observe or not in_force(policy, d, hit[i].rule):
            continue
        if winner is NULL or hit[i].weight > winner.weight:
            act(policy, d, hit[i].rule, policy.rules[hit[i].rule].outcome, basis)


cdef bint never_blocked(const ImageView* policy, Decision* d) noexcept nogil:
    """The callee is an emergency service or on a never-block list: the call goes on, whatever else holds."""
    cdef const ImageHit* hit
    cdef uint16_t rule = RULE_EMERGENCY
    if not d.attempt.flags & ATTEMPT_EMERGENCY and not number_is_emergency(d.attempt.callee):
        hit = strongest(policy, d, d.callee, LEVEL_NEVER_BLOCK)
        if hit is NULL:
            return False
        rule = hit.rule
    add_reason(d, rule, 0)
    d.verdict.rule = rule
    return True


cdef void note_protection(const ImageView* policy, Decision* d) noexcept nogil:
    cdef const ImageHit* hit = strongest(policy, d, d.caller, LEVEL_PROTECTED)
    if hit is not NULL:
        add_reason(d, hit.rule, 0)
        d.protected_caller = True


cdef void note_hygiene(Decision* d) noexcept nogil:
    if d.attempt.flags & ATTEMPT_IDENTITY_MISMATCH:
        add_points(d, RULE_IDENTITY_MISMATCH, d.trunk.mismatch_points)


cdef bint ordered(const ImageView* policy, Decision* d) noexcept nogil:
    """A stop list of a regulator or the operator: it spares not even protected callers."""
    cdef const ImageHit* hit = strongest(policy, d, d.caller, LEVEL_ORDER)
    note_observers(policy, d, LEVEL_ORDER, BASIS_POLICY, hit)
    if hit is NULL:
        return False
    add_reason(d, hit.rule, 0)
    settle(d, ACTION_REJECT, BASIS_POLICY, hit.rule, policy.rules[hit.rule].label)
    d.settled = True
    return True


cdef bint denied(const ImageView* policy, Decision* d) noexcept nogil:
    """The operator's allow and deny lists: the longest match wins, allow on equality."""
    cdef const ImageHit* allow = strongest(policy, d, d.caller, LEVEL_ALLOW)
    cdef const ImageHit* deny = strongest(policy, d, d.caller, LEVEL_DENY)
    cdef bint allows = allow is not NULL and (deny is NULL or allow.weight >= deny.weight)
    note_observers(policy, d, LEVEL_DENY, BASIS_POLICY, allow if allows else deny)
    if not allows:
        return deny is not NULL and act(policy, d, deny.rule, OUTCOME_REJECT, BASIS_POLICY)
    add_reason(d, allow.rule, 0)
    if not d.allowed:
        d.verdict.rule = allow.rule
    d.allowed = True
    return False


cdef bint is_withheld(const Decision* d) noexcept nogil:
    """The caller's identity is withheld (RFC 3323, RFC 5079 section 3)."""
    cdef int kind = number_kind(d.attempt.caller)
    return kind == KIND_ANONYMOUS or kind == KIND_NONE or d.attempt.flags & ATTEMPT_PRIVACY


cdef bint withheld(Decision* d) noexcept nogil:
    if not is_withheld(d):
        return False
    if d.trunk.anonymous == OUTCOME_ACCEPT:
        add_reason(d, RULE_ANONYMOUS, 0)
        return False
    return act_as(d, RULE_ANONYMOUS, d.trunk.anonymous, BASIS_POLICY, 0, NO_LABEL, False)


cdef bint invalid(Decision* d) noexcept nogil:
    """The caller's number is a number of no plan."""
    if number_kind(d.attempt.caller) != KIND_INVALID:
        return False
    return act_as(d, RULE_INVALID_NUMBER, d.trunk.invalid, BASIS_INVALID, d.trunk.invalid_points, NO_LABEL, False)


cdef uint8_t class_of(const ImageView* policy, Decision* d, uint16_t* rule) noexcept nogil:
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


cdef void classify(const ImageView* policy, Decision* d) noexcept nogil:
    if d.trunk.has_pack and d.numbered:
        d.verdict.number_class = class_of(policy, d, &d.class_rule)


cdef bint refused(const ImageView* policy, Decision* d, SubscriberWill wills) noexcept nogil:
    """The callee's own will. It allows whom the operator would not; nobody but the operator's orders stands above it."""
    cdef bint observes = d.trunk.subscribers == MODE_OBSERVE
    cdef WillCall call
    cdef Will will
    if d.trunk.subscribers == MODE_OFF or not has_digits(d.attempt.callee):
        return False
    call.caller = d.attempt.caller
    call.callee = d.attempt.callee
    call.pair = d.pair
    call.now_us = d.now_us
    call.segments = segments_of(policy, d)
    call.suspect_from = d.trunk.tag_from
    call.numbered = d.numbered
    call.withheld = is_withheld(d)
    call.count = d.count
    wills.read(policy, &call, &will)
    if will.pair_points:
        trace(d, RULE_SUBSCRIBER_PAIR, SEEN_POINTS, will.pair_points)
    if will.allows:
        add_reason(d, RULE_SUBSCRIBER_ALLOW, 0)
        if not observes:
            d.verdict.rule = RULE_SUBSCRIBER_ALLOW
            d.allowed = True
        return False
    if will.consents:
        add_reason(d, RULE_SUBSCRIBER_CONSENT, 0)
        d.consented = not observes
    if will.refused_by == NO_RULE:
        return False
    return act_as(d, will.refused_by, OUTCOME_REJECT, BASIS_SUBSCRIBER, 0, NO_LABEL, observes)


cdef uint16_t segments_of(const ImageView* policy, const Decision* d) noexcept nogil:
    """What kind of caller a subscriber may have refused."""
    cdef uint16_t segments = SEGMENT_COMMERCIAL if d.trunk.commercial else 0
    if number_kind(d.attempt.caller) == KIND_INVALID:
        return segments | SEGMENT_UNKNOWN
    return segments if d.verdict.number_class == NO_CLASS else (
        segments | policy.settings.segments[d.verdict.number_class]
    )


cdef bint misplaced(const ImageView* policy, Decision* d) noexcept nogil:
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


cdef bint listed(const ImageView* policy, Decision* d, uint8_t level, uint8_t basis) noexcept nogil:
    """The longest match of a level of lists or prefix rules does what its rule says."""
    cdef const ImageHit* hit = strongest(policy, d, d.caller, level)
    note_observers(policy, d, level, basis, hit)
    return hit is not NULL and act(policy, d, hit.rule, policy.rules[hit.rule].outcome, basis)


cdef bint limited(const ImageView* policy, Decision* d, Table limiter) noexcept nogil:
    """Every limit of the trunk counts the attempt, also behind one that rejects it: they limit attempts."""
    cdef const uint16_t* rules = &policy.limits[d.trunk.limits_start]
    cdef const ImageRule* limit
    cdef bint conforms
    cdef int i
    for i in range(d.trunk.limits_count):
        if d.limit_keys[i] == 0:
            continue
        limit = &policy.rules[rules[i]]
        conforms = limiter_conforms(
            limiter, d.limit_keys[i], d.now_us, limit.increment_us, limit.tolerance_us, d.count
        )
        trace(d, rules[i], SEEN_LIMIT, conforms)
        if not conforms:
            act(policy, d, rules[i], limit.outcome, BASIS_ANALYTICS)
    return d.settled


cdef void weigh_reputation(Decision* d, Table reputation, number_t key, uint16_t rule) noexcept nogil:
    cdef ReputationEntry entry
    if key == 0 or not reputation_read(reputation, key, d.now_us, &entry):
        return
    trace(d, rule, SEEN_POINTS, entry.points)
    trace(d, rule, SEEN_COMPLAINTS, entry.complaints)
    if entry.points:
        add_points(d, rule, <int>min(entry.points, <uint32_t>MAX_SCORE))


cdef void weigh_prefixes(const ImageView* policy, Decision* d) noexcept nogil:
    cdef const ImageHit* hit = &policy.hits[d.caller.start]
    cdef uint32_t i
    for i in range(d.caller.count):
        if hit[i].level == LEVEL_SCORE and in_force(policy, d, hit[i].rule):
            act(policy, d, hit[i].rule, OUTCOME_SCORE, BASIS_ANALYTICS)


cdef int clamped(int score) noexcept nogil:
    return 0 if score < 0 else MAX_SCORE if score > MAX_SCORE else score


cdef uint8_t band(const Decision* d, int score) noexcept nogil:
    """The action of the highest threshold reached."""
    if score >= d.trunk.reject_from and not d.protected_caller:
        return ACTION_REJECT
    return ACTION_TAG if score >= d.trunk.tag_from else ACTION_ACCEPT


cdef bint scored(const ImageView* policy, Decision* d, Table reputation) noexcept nogil:
    cdef uint8_t action
    if d.numbered:
        weigh_reputation(d, reputation, d.attempt.caller, RULE_REPUTATION)
        weigh_reputation(d, reputation, d.block, RULE_BLOCK_REPUTATION)
    weigh_prefixes(policy, d)
    d.verdict.score = <uint16_t>clamped(d.score)
    action = band(d, d.verdict.score)
    if d.observed_score != d.score and band(d, clamped(d.observed_score)) > action:
        observe(d, RULE_SCORE, band(d, clamped(d.observed_score)))
    if action == ACTION_ACCEPT or d.allowed:
        return False
    settle(d, action, BASIS_ANALYTICS, RULE_SCORE, NO_LABEL)
    d.settled = action == ACTION_REJECT
    return d.settled


# --- keys ------------------------------------------------------------------------------------------------------------

cdef number_t number_block_of(number_t number, int dropped) noexcept nogil:
    """Short codes next to each other belong to strangers: they form no block."""
    return number_block(number, dropped) if number_kind(number) == KIND_NUMBER else 0


cdef uint64_t pair_subject(const SipKey* key, const Decision* d) noexcept nogil:
    """Caller and callee as one word that nobody outside can make another pair collide with."""
    cdef uint64_t words[2]
    words[0] = d.attempt.caller
    words[1] = d.attempt.callee
    return siphash(key, words, 2) | 1


cdef uint64_t limit_subject(const SipKey* key, uint8_t limit_key, const Decision* d) noexcept nogil:
    """Whose attempts a limit counts together, as one word; 0 if the attempt has no such subject."""
    cdef const Attempt* attempt = d.attempt
    if limit_key == LIMIT_CALLER:
        return attempt.caller if d.numbered else 0
    if limit_key == LIMIT_CALLEE:
        return attempt.callee if has_digits(attempt.callee) else 0
    if limit_key == LIMIT_PAIR:
        return pair_subject(key, d) if d.numbered and has_digits(attempt.callee) else 0
    if limit_key == LIMIT_TRUNK:
        return d.trunk.name_hash
    if limit_key == LIMIT_BLOCK_10:
        return number_block_of(attempt.caller, 1)
    if limit_key == LIMIT_BLOCK_100:
        return number_block_of(attempt.caller, 2)
    if limit_key == LIMIT_BLOCK_1000:
        return number_block_of(attempt.caller, 3)
    return attempt.source


cdef uint64_t table_key(const SipKey* key, const ImageRule* limit, const Decision* d) noexcept nogil:
    """The subject under its rule: under one rule no two subjects meet, and the table hashes the rest away."""
    cdef uint64_t subject = limit_subject(key, limit.limit_key, d)
    cdef uint64_t word = limit.name_hash ^ subject * SPREAD
    if subject == 0:
        return 0
    return word if word else 1


cdef uint64_t redress_id(const SipKey* key, const Decision* d, uint64_t generation, uint64_t sequence) noexcept nogil:
    """Unguessable without the node's key; differs between the workers that share it by what they were asked and when."""
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


# --- beginning and end -----------------------------------------------------------------------------------------------

cdef void clear_verdict(Verdict* verdict) noexcept nogil:
    memset(verdict, 0, sizeof(Verdict))
    verdict.label = NO_LABEL
    verdict.rule = NO_RULE
    verdict.number_class = NO_CLASS


cdef bint is_anonymity(uint16_t rule) noexcept nogil:
    return rule == RULE_ANONYMOUS or rule == RULE_SUBSCRIBER_ANONYMOUS


cdef void withdraw(Decision* d) noexcept nogil:
    """A policy in observe mode: what it decided is only noted."""
    observe(d, d.verdict.rule, d.verdict.action)
    d.verdict.action = ACTION_ACCEPT


cdef void finish(Decision* d) noexcept nogil:
    """Status and label follow from what was settled."""
    cdef Verdict* verdict = d.verdict
    if d.trunk.observe and verdict.action != ACTION_ACCEPT:
        withdraw(d)
    if verdict.action == ACTION_ACCEPT:
        verdict.basis = BASIS_NONE
        verdict.label = NO_LABEL
        if verdict.observed != ACTION_ACCEPT and not d.allowed:
            verdict.rule = d.observed_rule
        return
    if verdict.label == NO_LABEL:
        verdict.label = d.trunk.label
    if verdict.action == ACTION_REJECT:
        verdict.status = d.trunk.anonymous_status if is_anonymity(verdict.rule) else d.trunk.status[verdict.basis]


@cython.final
cdef class Screener:
    def __init__(self, PolicyImage image, tables, bytes node_key):
        cdef ReputationCache reputation = tables.reputation
        cdef RateLimiter rate_limiter = tables.rate_limiter
        if len(node_key) != NODE_KEY.size:
            raise ValueError(f"node_key: {len(node_key)} bytes, expected {NODE_KEY.size}")
        self.image = image
        self.tables = tables
        self.policy = image.view
        self.reputation = reputation.table
        self.limiter = rate_limiter.table
        self.wills = SubscriberWill(tables)
        self.key.low, self.key.high = NODE_KEY.unpack(node_key)
        self.trunk_indices = {name: index for index, name in enumerate(image.trunks)}
        self.plans = [DialPlan(image.dial_plan(index)) for index in range(len(image.trunks))]

    cdef void prepare(
        self, Decision* d, const Attempt* attempt, int64_t now_us, Verdict* verdict
    ) noexcept nogil:
        """Sets a decision up and starts every memory fetch that it will wait for."""
        cdef const ImageView* policy = &self.policy
        cdef const uint16_t* limits
        cdef int i
        clear_verdict(verdict)
        memset(d, 0, sizeof(Decision))
        d.attempt = attempt
        d.now_us = now_us
        d.verdict = verdict
        d.count = True
        d.observed_rule = d.class_rule = NO_RULE
        if attempt.trunk >= policy.trunks_count:
            return
        d.trunk = &policy.trunks[attempt.trunk]
        d.in_force = &policy.in_force[<uint64_t>attempt.trunk * policy.settings.rule_words]
        d.numbered = has_digits(attempt.caller)
        if d.numbered:
            reputation_prefetch(&self.reputation.view, attempt.caller)
            d.block = number_block_of(attempt.caller, BLOCK_DIGITS)
            if d.block:
                reputation_prefetch(&self.reputation.view, d.block)
        limits = &policy.limits[d.trunk.limits_start]
        for i in range(d.trunk.limits_count):
            d.limit_keys[i] = table_key(&self.key, &policy.rules[limits[i]], d)
            if d.limit_keys[i]:
                limiter_prefetch(&self.limiter.view, d.limit_keys[i])
        if d.trunk.subscribers != MODE_OFF and has_digits(attempt.callee):
            d.pair = self.wills.prefetch(attempt.caller if d.numbered else 0, attempt.callee)
        # Last, because a trie has to read a little before it knows what to fetch.
        if d.numbered:
            trie_prefetch(callers_of(policy, attempt.caller), attempt.caller)
        if has_digits(attempt.callee):
            trie_prefetch(callees_of(policy, attempt.callee), attempt.callee)

    cdef void decide(self, Decision* d) noexcept nogil:
        """The order of decision. A trunk that the policy does not know is not screened."""
        cdef const ImageView* policy = &self.policy
        if d.trunk is NULL:
            return
        d.callee = record_of(policy, callees_of(policy, d.attempt.callee), d.attempt.callee)
        if never_blocked(policy, d):
            return
        d.caller = record_of(policy, callers_of(policy, d.attempt.caller), d.attempt.caller)
        classify(policy, d)
        note_protection(policy, d)
        note_hygiene(d)
        if not (
            ordered(policy, d)
            or refused(policy, d, self.wills)
            or denied(policy, d)
            or withheld(d)
            or invalid(d)
            or misplaced(policy, d)
            or listed(policy, d, LEVEL_DNO, BASIS_DNO)
            or listed(policy, d, LEVEL_PREFIX, BASIS_POLICY)
            or limited(policy, d, self.limiter)
            or scored(policy, d, self.reputation)
        ):
            listed(policy, d, LEVEL_TAG, BASIS_POLICY)
        finish(d)
        if d.count and d.verdict.action != ACTION_ACCEPT:
            self.sequence += 1
            d.verdict.redress = redress_id(&self.key, d, self.image.generation, self.sequence)

    cdef void screen_attempt(self, const Attempt* attempt, int64_t now_us, Verdict* verdict) noexcept nogil:
        cdef Decision decision
        self.prepare(&decision, attempt, now_us, verdict)
        self.decide(&decision)

    cdef void screen_group(
        self, const Attempt* attempts, Py_ssize_t count, int64_t now_us, Verdict* verdicts
    ) noexcept nogil:
        cdef Decision decisions[BATCH]
        cdef Py_ssize_t i
        for i in range(count):
            self.prepare(&decisions[i], &attempts[i], now_us, &verdicts[i])
        for i in range(count):
            self.decide(&decisions[i])

    cdef void observe_outcome(self, const CallOutcome* outcome, int64_t now_us) noexcept nogil:
        cdef bint complaint = outcome.kind == OUTCOME_COMPLAINT
        cdef uint32_t points
        cdef number_t block
        if not has_digits(outcome.caller) or not (complaint or outcome.kind == OUTCOME_REFUSED):
            return
        points = self.policy.settings.complaint_points if complaint else self.policy.settings.refused_points
        reputation_add(self.reputation, outcome.caller, now_us, points, complaint, CATEGORY_NONE)
        if has_digits(outcome.callee):
            self.wills.remember(outcome.caller, outcome.callee, now_us, points)
        block = number_block_of(outcome.caller, BLOCK_DIGITS)
        if block:
            points = points * self.policy.settings.block_permille // 1000
            reputation_add(self.reputation, block, now_us, points, complaint, CATEGORY_NONE)

    # --- Python ------------------------------------------------------------------------------------------------------

    def screen(self, attempt, int64_t now_us):
        cdef Attempt native
        cdef Verdict verdict
        read_attempt(self, attempt, &native)
        self.screen_attempt(&native, now_us, &verdict)
        return verdict_object(self, &verdict)

    def explain(self, attempt, int64_t now_us):
        cdef Attempt native
        cdef Verdict verdict
        cdef Decision decision
        cdef Trace seen
        read_attempt(self, attempt, &native)
        seen.count = 0
        self.prepare(&decision, &native, now_us, &verdict)
        decision.count = False
        decision.trace = &seen
        self.decide(&decision)
        entries = [(seen.entries[i].rule, seen.entries[i].seen, seen.entries[i].value) for i in range(seen.count)]
        return explanations.explanation(
            verdict_object(self, &verdict), native.caller, native.callee, self.image.rules, entries
        )

    def screen_batch(self, const uint8_t[::1] attempts, int64_t now_us):
        """Any number of C attempts, decided in groups of 64 whose memory fetches overlap."""
        cdef Py_ssize_t count = attempts.shape[0] // <Py_ssize_t>sizeof(Attempt), start = 0
        cdef bytes out
        cdef const Attempt* attempt
        cdef Verdict* verdict
        if attempts.shape[0] != count * <Py_ssize_t>sizeof(Attempt):
            raise ValueError(f"{attempts.shape[0]} bytes are no array of attempts of {sizeof(Attempt)} bytes")
        out = PyBytes_FromStringAndSize(NULL, count * <Py_ssize_t>sizeof(Verdict))
        verdict = <Verdict*>PyBytes_AS_STRING(out)
        if count == 0:
            return out
        attempt = <const Attempt*>&attempts[0]
        with nogil:
            while start < count:
                self.screen_group(attempt + start, min(count - start, <Py_ssize_t>BATCH), now_us, verdict + start)
                start += BATCH
        return out

    def observe(self, outcome, int64_t now_us):
        cdef CallOutcome native
        cdef DialPlan plan = plan_of(self, outcome.trunk)
        memset(&native, 0, sizeof(CallOutcome))
        native.caller = plan.normalize(outcome.caller)
        native.callee = plan.normalize(outcome.callee)
        native.trunk = self.trunk_indices[outcome.trunk]
        native.kind = outcome.kind
        native.status = outcome.status
        native.released_by = outcome.released_by
        native.ring_ms = outcome.ring_ms
        native.talk_ms = outcome.talk_ms
        self.observe_outcome(&native, now_us)

    def pack(self, attempt) -> bytes:
        """The C form of an attempt, for `screen_batch`."""
        cdef Attempt native
        read_attempt(self, attempt, &native)
        return PyBytes_FromStringAndSize(<char*>&native, sizeof(Attempt))

    def unpack(self, const uint8_t[::1] verdicts):
        """Verdicts from their C form."""
        cdef Py_ssize_t i
        if verdicts.shape[0] % <Py_ssize_t>sizeof(Verdict):
            raise ValueError(f"{verdicts.shape[0]} bytes are no array of verdicts of {sizeof(Verdict)} bytes")
        return [
            verdict_object(self, <const Verdict*>&verdicts[i]) for i in range(0, verdicts.shape[0], sizeof(Verdict))
        ]


# --- to and from Python ----------------------------------------------------------------------------------------------

cdef DialPlan plan_of(Screener screener, str trunk):
    index = screener.trunk_indices.get(trunk)
    if index is None:
        raise ValueError(f"no trunk is called {trunk!r}")
    return screener.plans[index]


cdef int read_attempt(Screener screener, attempt, Attempt* native) except -1:
    cdef DialPlan plan = plan_of(screener, attempt.trunk)
    memset(native, 0, sizeof(Attempt))
    native.caller = plan.normalize(attempt.caller)
    native.callee = plan.normalize(attempt.callee)
    native.trunk = screener.trunk_indices[attempt.trunk]
    native.source = source_word(screener, attempt.source)
    native.flags = (
        ATTEMPT_EMERGENCY * <bint>attempt.emergency
        | ATTEMPT_PRIVACY * <bint>attempt.privacy
        | ATTEMPT_IDENTITY_MISMATCH * <bint>attempt.mismatch
    )
    return 0


cdef uint64_t source_word(Screener screener, str source) except? 0:
    if not source:
        return 0
    digest = blake2b(source.encode(), digest_size=8, key=NODE_KEY.pack(screener.key.low, screener.key.high)).digest()
    return int.from_bytes(digest, "little")


cdef object verdict_object(Screener screener, const Verdict* verdict):
    names = screener.image.rules
    return PythonVerdict(
        Action(verdict.action),
        Basis(verdict.basis),
        verdict.status,
        None if verdict.rule == NO_RULE else names[verdict.rule],
        verdict.score,
        None if verdict.label == NO_LABEL else screener.image.labels[verdict.label],
        tuple([Reason(names[verdict.reasons[i].name], verdict.reasons[i].points) for i in range(verdict.reasons_count)]),
        explanations.redress_text(verdict.redress) if verdict.redress else None,
        Action(verdict.observed),
        None if verdict.number_class == NO_CLASS else CLASSES[verdict.number_class].value,
    )
