# Forward-decayed sums of points as logarithms of 30 bits: q = 1024 * log2(sum), 0 = nothing.

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from *:
    """
    #define CALLSIEVE_LANDMARK_US 1767225600000000LL
    #define CALLSIEVE_MAX_AGE_US (1ULL << 52)    /* 142 years: its steps fit 62 bits */
    """
    const int64_t LANDMARK_US "CALLSIEVE_LANDMARK_US"    # 2026-01-01T00:00Z
    const uint64_t MAX_AGE_US "CALLSIEVE_MAX_AGE_US"

cdef enum:
    STEPS = 1024                       # of q in a doubling
    MAX_POINTS = 1_000_000
    MAX_Q = (1 << 30) - 1
    MAX_TIME_STEPS = MAX_Q - 32 * STEPS    # leaves room for the largest sum

# 2^(31 + f / 1024)
cdef uint32_t[1024] POWERS

# Time before the landmark counts as the landmark; so does time beyond a century with the century's end.
cdef inline uint64_t age_us(int64_t now_us) noexcept nogil:
    return 0 if now_us < LANDMARK_US else min(<uint64_t>(now_us - LANDMARK_US), MAX_AGE_US)

# The present as steps of q. Times before 2026 count as its beginning, those beyond a century as its end.
cdef inline uint32_t time_steps(uint64_t half_life_us, int64_t now_us) noexcept nogil:
    return <uint32_t>min(age_us(now_us) * STEPS // half_life_us, <uint64_t>MAX_TIME_STEPS)

# Points of an event now, at most 1,000,000.
cdef uint32_t points_to_q(uint32_t points, uint32_t now_steps) noexcept nogil
# What is left of a sum now, at most 1,000,000.
cdef inline uint32_t q_to_points(uint32_t q, uint32_t now_steps) noexcept nogil:
    cdef int steps = <int>q - <int>now_steps
    cdef int doublings = steps >> 10
    if not q or doublings < -1:        # less than half a point
        return 0
    if doublings > 19:
        return MAX_POINTS
    return min((<uint64_t>POWERS[steps & STEPS - 1] + (1ULL << 30 - doublings)) >> 31 - doublings, <uint64_t>MAX_POINTS)

# The logarithm of the sum of two sums.
cdef uint32_t sum_of(uint32_t a, uint32_t b) noexcept nogil
