# Sums of decaying events by their logarithms: what `decay` says of q, without an object.

from libc.stdint cimport int64_t, uint32_t, uint64_t

# Events that a sum is worth now, in units of 1/65,536; at most `decay.MOST_WORTH`.
cdef uint64_t worth_of(uint32_t q, int64_t now_steps) noexcept nogil
# q of so many units of 1/65,536 event, all of them now.
cdef uint32_t q_of_events(uint64_t events, int64_t now_steps) noexcept nogil
# q of the sum of several (fewer than 2^46); the same for every order of them.
cdef uint32_t sum_of(const uint32_t* parts, uint64_t count) noexcept nogil
# q of what is left of a sum without some of its parts; 0 when that is nothing.
cdef uint32_t difference_of(uint32_t whole, const uint32_t* parts, uint64_t count) noexcept nogil
