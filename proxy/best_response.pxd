# Which of several final responses goes to the caller, and what it takes over from the others (RFC 3261 section 16.7).

from libc.stdint cimport uint16_t

from proxy.outbox cimport Writer
from proxy.sip.message cimport Message

# True if a final response with this status is to be preferred to the best so far; 0 = there is none yet.
cdef bint is_better(uint16_t status, uint16_t best) noexcept nogil
# A challenge: 401 or 407.
cdef bint is_challenge(uint16_t status) noexcept nogil
# `best` with the challenges of `other` behind its own headers (section 16.7 step 7).
cdef void write_with_challenges(Writer* writer, const Message* best, const Message* other) noexcept nogil
