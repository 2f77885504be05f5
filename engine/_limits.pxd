# The step that counts the attempt against every limit of its trunk, and the keys under which limits count.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t

from engine._conditions cimport holds
from engine._decision cimport NO_RULE, Attempt, number_t
from engine._decision_notes cimport SEEN_LIMIT, Decision, LimitPlace, act, trace
from engine._image cimport (
    LIMIT_BLOCK_10,
    LIMIT_BLOCK_100,
    LIMIT_BLOCK_1000,
    LIMIT_BLOCK_PAIR,
    LIMIT_CALLEE,
    LIMIT_CALLER,
    LIMIT_PAIR,
    LIMIT_SOURCE,
    LIMIT_TRUNK,
    ImageLimit,
    ImageRule,
    ImageView,
)
from engine._numbers cimport has_digits, number_block_of
from engine._rate_limiter cimport limiter_conforms_at, limiter_prefetch
from engine._shares cimport Share, scale_times, share_of
from engine._siphash cimport SipKey, siphash
from engine._table cimport Table


cdef inline uint64_t pair_subject(const SipKey* key, number_t caller, number_t callee) noexcept nogil:
    """Caller, or its block, and callee as one word that nobody outside can make another pair collide with."""
    cdef uint64_t words[2]
    words[0] = caller
    words[1] = callee
    return siphash(key, words, 2) | 1


cdef inline uint64_t limit_subject(const SipKey* key, uint8_t limit_key, const Decision* d) noexcept nogil:
    """Whose attempts a limit counts together, as one word; 0 if the attempt has no such subject."""
    cdef const Attempt* attempt = d.attempt
    cdef number_t block
    if limit_key == LIMIT_CALLER:
        return attempt.caller if d.numbered else 0
    if limit_key == LIMIT_CALLEE:
        return attempt.callee if has_digits(attempt.callee) else 0
    if limit_key == LIMIT_PAIR:
        return pair_subject(key, attempt.caller, attempt.callee) if d.numbered and has_digits(attempt.callee) else 0
    if limit_key == LIMIT_TRUNK:
        return d.trunk.name_hash
    if limit_key == LIMIT_BLOCK_10:
        return number_block_of(attempt.caller, 1)
    if limit_key == LIMIT_BLOCK_100:
        return number_block_of(attempt.caller, 2)
    if limit_key == LIMIT_BLOCK_1000:
        return number_block_of(attempt.caller, 3)
    if limit_key == LIMIT_BLOCK_PAIR:
        block = number_block_of(attempt.caller, 2)
        return pair_subject(key, block, attempt.callee) if block and has_digits(attempt.callee) else 0
    return attempt.source if limit_key == LIMIT_SOURCE else attempt.fingerprint


cdef inline uint64_t table_key(const SipKey* key, const ImageLimit* limit, const Decision* d) noexcept nogil:
    """The subject under its limit: under one limit no two subjects meet, and the table hashes the rest away."""
    cdef uint64_t subject = limit_subject(key, limit.limit_key, d)
    # The odd factor keeps words apart.
    cdef uint64_t word = limit.name_hash ^ subject * <uint64_t>0x9E3779B97F4A7C15
    if subject == 0:
        return 0
    return word if word else 1


cdef inline void prefetch_limits(const ImageView* policy, Decision* d, const SipKey* key, Table limiter) noexcept nogil:
    cdef const ImageLimit* limits = &policy.limits[d.trunk.limits_start]
    cdef LimitPlace* place = &d.limit_places[0]
    cdef int i
    for i in range(d.trunk.limits_count):
        place[i].key = table_key(key, &limits[i], d)
        if place[i].key:
            place[i].bucket = limiter_prefetch(&limiter.view, place[i].key)


cdef inline bint limited(const ImageView* policy, Decision* d, Table limiter, Table shares) noexcept nogil:
    """Every window counts the attempt, also behind one that rejects it: they limit attempts. A limit acts once."""
    cdef const ImageLimit* limit = &policy.limits[d.trunk.limits_start]
    cdef const LimitPlace* place = &d.limit_places[0]
    cdef const ImageRule* rule
    cdef uint16_t acted = NO_RULE
    cdef uint8_t window = 0
    cdef bint conforms
    cdef int64_t increment_us, tolerance_us
    cdef Share share
    cdef int i
    for i in range(d.trunk.limits_count):
        rule = &policy.rules[limit[i].rule]
        window = window + 1 if i and limit[i - 1].rule == limit[i].rule else 0
        if place[i].key == 0 or (rule.conditional and not holds(policy, d, rule)):
            continue
        increment_us, tolerance_us = limit[i].increment_us, limit[i].tolerance_us
        if limit[i].fleet:
            share = share_of(&shares.view, place[i].key, limit[i].name_hash, d.now_us)
            scale_times(&share, &increment_us, &tolerance_us)
        conforms = limiter_conforms_at(
            limiter,
            place[i].bucket,
            place[i].key,
            d.now_us,
            increment_us,
            tolerance_us,
            d.count,
            limit[i].limit_key == LIMIT_TRUNK,
        )
        trace(d, limit[i].rule, SEEN_LIMIT, conforms, window)
        if not conforms and acted != limit[i].rule:
            acted = limit[i].rule
            act(policy, d, acted)
    return d.settled
