# A transport address as a value: IPv4 is held as an IPv4-mapped IPv6 address, so that both spellings are equal.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp

cdef struct Address:
    uint8_t ip[16]
    uint32_t flow            # connection it came over or goes by: worker << 24 | number; 0 = none
    uint16_t port
    uint8_t is_ipv4

cdef bint parse_ip(const uint8_t* text, uint32_t size, Address* address) noexcept nogil
cdef int write_ip(const Address* address, uint8_t* out) noexcept nogil
cdef object address_text(const Address* address)
cdef int address_from_python(object ip, int port, Address* address) except -1


cdef inline bint same_host(const Address* a, const Address* b) noexcept nogil:
    return memcmp(a.ip, b.ip, 16) == 0


cdef inline bint same_address(const Address* a, const Address* b) noexcept nogil:
    return a.port == b.port and memcmp(a.ip, b.ip, 16) == 0


# Addresses that no answer may be sent to on the word of a message: unspecified, broadcast, multicast.
cdef inline bint is_unicast(const Address* a) noexcept nogil:
    cdef const uint8_t* v4 = a.ip + 12
    if a.is_ipv4:
        return v4[0] != 0 and v4[0] < 224
    return a.ip[0] != 0xFF and not (a.ip[0] == 0 and a.ip[15] == 0 and a.ip[1] == 0 and a.ip[10] == 0 and a.ip[14] == 0)
