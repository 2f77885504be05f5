"""A request of our own as somebody quotes it back: an ICMP error brings only its beginning (RFC 1812, 4.3.2.3)."""

from libc.string cimport memchr

from proxy.sip.grammar cimport sip_equal_nocase
from proxy.sip.via cimport parse_via


# What this proxy sends has its own Via in the second line, whole.
cdef bint quoted_via(const uint8_t* datagram, uint32_t size, Via* via) noexcept nogil:
    cdef const uint8_t* end = <const uint8_t*>memchr(datagram, 10, size)
    cdef uint32_t at
    if end == NULL or size < 8 or sip_equal_nocase(datagram, b"sip/2.0 ", 8):
        return False
    at = <uint32_t>(end - datagram) + 1
    end = <const uint8_t*>memchr(datagram + at, 10, size - at)
    if end == NULL or <uint32_t>(end - datagram) < at + 6 or not sip_equal_nocase(datagram + at, b"via: ", 5):
        return False
    return parse_via(datagram, at + 5, <uint32_t>(end - datagram) - 1, via)
