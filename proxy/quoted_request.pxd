# The beginning of a request of our own, as an ICMP error quotes it.

from libc.stdint cimport uint8_t, uint32_t

from proxy.sip.via cimport Via

# Our Via in it. False: no request, or too little of it.
cdef bint quoted_via(const uint8_t* datagram, uint32_t size, Via* via) noexcept nogil
