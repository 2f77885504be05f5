# Forward-decayed sums of points as logarithms of 30 bits: q = 1024 * log2(sum), 0 = nothing.

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef enum:
    STEPS = 1024                       # of q in a doubling
    MAX_POINTS = 1_000_000

# The present as steps of q. Times before 2026 count as its beginning, those beyond a century as its end.
cdef uint32_t time_steps(uint64_t half_life_us, int64_t now_us) noexcept nogil
# Points of an event now, at most 1,000,000.
cdef uint32_t points_to_q(uint32_t points, uint32_t now_steps) noexcept nogil
# What is left of a sum now, at most 1,000,000.
cdef uint32_t q_to_points(uint32_t q, uint32_t now_steps) noexcept nogil
# The logarithm of the sum of two sums.
cdef uint32_t sum_of(uint32_t a, uint32_t b) noexcept nogil
