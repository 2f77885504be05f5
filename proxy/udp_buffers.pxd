# A UDP socket's receive buffer, as the kernel tells of it.

from libc.stdint cimport uint32_t

# Filled part, 0 to 1.
cdef double queued_part(int fd) noexcept nogil
