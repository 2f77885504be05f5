"""Forward decay: a sum of points in which each event halves every half-life, without anything being swept.

Forward decay (Cormode, Shkapenyuk, Srivastava, Xu, ICDE 2009). An event of w points at time t adds
w * 2^((t - landmark) / half-life) to a sum that only grows; reading divides by the same power of the present time. The
sum is kept as its logarithm, q = 1024 * log2(sum), so that it fits 30 bits for a century and two sums of different age
compare as integers: the smallest q is worth least, whatever the time.

q is an integer everywhere, by tables made of integers, so that it does not depend on a C library. Sums are rounded to
the nearest step (0.07 %) and not down, since many additions would drift. A sum to which nothing was added has q = 0.
"""

from math import isqrt

from libc.stdint cimport uint32_t, uint64_t

from engine._decimals cimport highest_bit

cdef enum:
    VANISHING = 12 * STEPS             # what lies so far below adds less than half a step

cdef uint64_t HALF_STEP                # as a factor of 2^31


def _fill_powers(precision=128):
    cdef uint64_t power
    root = 2 << precision
    for _ in range(10):                # the 1024th root of two
        root = isqrt(root << precision)
    exact = 1 << precision
    for f in range(STEPS):
        power = exact >> (precision - 31)
        POWERS[f] = <uint32_t>power
        exact = exact * root >> precision
    return isqrt(root << precision) >> (precision - 31)


HALF_STEP = _fill_powers()


# 1024 * log2(word / 2^31) to the nearest integer, for words from 2^31 to 2^63 - 1: the inverse of POWERS.
cdef inline int nearest_steps(uint64_t word) noexcept nogil:
    cdef int doublings = highest_bit(word) - 31
    cdef uint64_t mantissa = (word >> doublings) * HALF_STEP >> 31
    cdef int low = 0, high = STEPS, middle
    if mantissa >> 32:
        return (doublings + 1) * STEPS
    while high - low > 1:
        middle = (low + high) >> 1
        if POWERS[middle] <= mantissa:
            low = middle
        else:
            high = middle
    return doublings * STEPS + low


# 2^31 * 2^(-steps / 1024), for steps from 0 to VANISHING.
cdef inline uint64_t fraction(uint32_t steps) noexcept nogil:
    cdef uint32_t whole = (steps + STEPS - 1) // STEPS
    return <uint64_t>POWERS[whole * STEPS - steps] >> whole


cdef uint32_t sum_of(uint32_t a, uint32_t b) noexcept nogil:
    cdef uint32_t high = max(a, b), low = min(a, b)
    if not low or high - low > VANISHING:
        return high
    return min(high + <uint32_t>nearest_steps((1ULL << 31) + fraction(high - low)), <uint32_t>MAX_Q)


cdef uint32_t points_to_q(uint32_t points, uint32_t now_steps) noexcept nogil:
    if not points:
        return 0
    return max(now_steps + nearest_steps(<uint64_t>min(points, <uint32_t>MAX_POINTS) << 31), <uint32_t>1)
