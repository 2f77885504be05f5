# The order of decision.
#
# `decide` is the whole of it, one named step a line. A step looks at one thing and either settles the verdict, notes
# evidence, or does nothing. Explicit results (lists, limits, prefix rules) win over the score; an explicit tag stands
# unless the score asks for a rejection. Within the operator's allow and deny lists the longest match wins, allow on
# equality. What an allow list lets through is still counted by limits and measured. A rule or policy that observes
# leaves only its reason and `Verdict.observed`.
#
# Everything a step reads was on its way since `prepare`, which starts all memory fetches before any answer is needed;
# `ask` and `narrow` read the first words of the lists and fetch the rest. The steps are inline functions of the
# modules named below, so that this module is compiled into one piece.

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from engine._decision cimport ACTION_ACCEPT, NO_RULE, Attempt, Verdict
from engine._decision_notes cimport Decision
from engine._identity cimport invalid, note_hygiene, withheld
from engine._image cimport CLASS_NOT_ASKED, LEVEL_DNO, LEVEL_PREFIX, LEVEL_TAG, MODE_OFF, ImageView, PolicyImage
from engine._limits cimport limited, prefetch_limits
from engine._lists cimport (
    callees_of,
    callers_of,
    conditional,
    denied,
    listed,
    never_blocked,
    note_protection,
    ordered,
    record_of,
)
from engine._numbers cimport has_digits
from engine._obedience cimport closed, commanded, obeyed, prefetch_orders, spared
from engine._origin cimport classify, misplaced
from engine._prefix_trie cimport trie_ask, trie_begin, trie_narrow, trie_skip
from engine._rate_limiter cimport RateLimiter
from engine._refusal cimport refused
from engine._reputation cimport ReputationCache
from engine._score cimport prefetch_reputation, scored
from engine._shares cimport ShareTable
from engine._subscriber_will cimport SubscriberWill, will_prefetch
from engine._verdict cimport clear_verdict, finish, redress_id

import struct

# Of a group: how many calls later each step of a decision is taken. Soon enough that what was fetched is still near:
# memory is waited for while other calls are decided.
cdef enum:
    ASK_AFTER = 1
    NARROW_AFTER = 2
    DECIDE_AFTER = 4
    ON_THEIR_WAY = 8         # a power of two above DECIDE_AFTER

NODE_KEY = struct.Struct("<QQ")


cdef class FastPath:
    def __init__(self, PolicyImage image, tables, bytes node_key):
        cdef ReputationCache reputation = tables.reputation
        cdef RateLimiter rate_limiter = tables.rate_limiter
        cdef ShareTable shares = tables.shares
        if len(node_key) != NODE_KEY.size:
            raise ValueError(f"node_key: {len(node_key)} bytes, expected {NODE_KEY.size}")
        self.image = image
        self.tables = tables
        self.policy = image.view
        self.reputation = reputation.table
        self.limiter = rate_limiter.table
        self.orders = tables.orders
        self.shares = shares.table
        self.wills = SubscriberWill(tables)
        self.key.low, self.key.high = NODE_KEY.unpack(node_key)

    cdef void screen_attempt(self, const Attempt* attempt, int64_t now_us, Verdict* verdict) noexcept nogil:
        cdef Decision decision
        prepare(self, &decision, attempt, now_us, verdict)
        ask(&decision)
        narrow(&decision)
        decide(self, &decision)

    cdef void screen_group(
        self, const Attempt* attempts, Py_ssize_t count, int64_t now_us, Verdict* verdicts
    ) noexcept nogil:
        """Decides in order, each while the memory of the next ones is on its way."""
        cdef Decision decisions[ON_THEIR_WAY]
        cdef Py_ssize_t i
        for i in range(count + DECIDE_AFTER):
            if i >= DECIDE_AFTER:
                decide(self, &decisions[(i - DECIDE_AFTER) & ON_THEIR_WAY - 1])
            if ASK_AFTER <= i < count + ASK_AFTER:
                ask(&decisions[(i - ASK_AFTER) & ON_THEIR_WAY - 1])
            if NARROW_AFTER <= i < count + NARROW_AFTER:
                narrow(&decisions[(i - NARROW_AFTER) & ON_THEIR_WAY - 1])
            if i < count:
                prepare(self, &decisions[i & ON_THEIR_WAY - 1], &attempts[i], now_us, &verdicts[i])


cdef void prepare(
    FastPath path, Decision* d, const Attempt* attempt, int64_t now_us, Verdict* verdict
) noexcept nogil:
    """Sets a decision up and starts every memory fetch that can be started at once."""
    cdef const ImageView* policy = &path.policy
    clear_verdict(verdict)
    memset(&d.trunk, 0, <char*>d.limit_places - <char*>&d.trunk)
    trie_skip(&d.caller_search)
    trie_skip(&d.callee_search)
    d.attempt = attempt
    d.now_us = now_us
    d.verdict = verdict
    d.count = True
    d.class_rule = NO_RULE
    d.callee_class = CLASS_NOT_ASKED
    if attempt.trunk >= policy.trunks_count:
        return
    d.trunk = &policy.trunks[attempt.trunk]
    d.in_force = &policy.in_force[<uint64_t>attempt.trunk * policy.settings.rule_words]
    d.numbered = has_digits(attempt.caller)
    if d.numbered:
        prefetch_reputation(d, path.reputation)
    prefetch_limits(policy, d, &path.key, path.limiter)
    prefetch_orders(d, path.orders)
    if d.trunk.subscribers != MODE_OFF and has_digits(attempt.callee):
        will_prefetch(path.wills, attempt.caller if d.numbered else 0, attempt.callee, &d.callee_places)
    if d.numbered:
        trie_begin(callers_of(policy, attempt.caller), attempt.caller, &d.caller_search)
    if has_digits(attempt.callee):
        trie_begin(callees_of(policy, attempt.callee), attempt.callee, &d.callee_search)


cdef void ask(Decision* d) noexcept nogil:
    """Reads the roots of the lists, and fetches what they name."""
    trie_ask(&d.caller_search)
    trie_ask(&d.callee_search)


cdef void narrow(Decision* d) noexcept nogil:
    """Reads what says where in the lists to look, and fetches that."""
    trie_narrow(&d.caller_search)
    trie_narrow(&d.callee_search)


cdef void decide(FastPath path, Decision* d) noexcept nogil:
    """The order of decision. A trunk that the policy does not know is not screened."""
    cdef const ImageView* policy = &path.policy
    if d.trunk is NULL:
        return
    d.callee = record_of(policy, &d.callee_search)
    if never_blocked(policy, d) or spared(d, path.orders):
        return
    d.caller = record_of(policy, &d.caller_search)
    classify(policy, d)
    note_protection(policy, d)
    note_hygiene(d)
    if not (
        ordered(policy, d)
        or commanded(d, path.orders)
        or refused(policy, d, path.wills)
        or obeyed(policy, d)
        or denied(policy, d)
        or closed(d, path.orders)
        or withheld(d)
        or invalid(d)
        or misplaced(policy, d)
        or listed(policy, d, LEVEL_DNO)
        or listed(policy, d, LEVEL_PREFIX)
        or conditional(policy, d, LEVEL_PREFIX)
        or limited(policy, d, path.limiter, path.shares)
        or scored(policy, d, path.reputation)
    ):
        listed(policy, d, LEVEL_TAG)
    finish(d)
    if d.count and d.verdict.action != ACTION_ACCEPT:
        path.sequence += 1
        d.verdict.redress = redress_id(&path.key, d, path.image.generation, path.sequence)
