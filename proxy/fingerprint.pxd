# What software wrote a request, whatever number it shows.

from libc.stdint cimport uint64_t

from proxy.sip.message cimport Message

# A word under `secret` (16 bytes) that requests of one shape have in common; never 0.
cdef uint64_t fingerprint(const Message* message, const uint64_t* secret) noexcept nogil
