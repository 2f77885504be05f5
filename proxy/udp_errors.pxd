# What ICMP says of datagrams that were sent: which of them will never arrive (RFC 3261 section 18.4).

from libc.stdint cimport int32_t, uint8_t, uint32_t

# Has the kernel keep what ICMP says of a socket's datagrams. -1: it will not.
cdef int ask_for_errors(int fd, bint is_ipv6) noexcept nogil
# The next datagram of which something was said: its first bytes and their number. 0 = it may still arrive, or what was
# said does not tell. -1 = there is no other.
cdef int32_t take_error(int fd, uint8_t* datagram, uint32_t room) noexcept nogil
