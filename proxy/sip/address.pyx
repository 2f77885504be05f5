"""Transport addresses: text to value and back, without the resolver."""

from libc.string cimport memcpy, memset, strlen

cdef extern from "<arpa/inet.h>" nogil:
    int inet_pton(int family, const char* text, void* out)
    const char* inet_ntop(int family, const void* address, char* out, unsigned int size)
    int AF_INET
    int AF_INET6


cdef void set_ipv4(Address* address, const uint8_t* four) noexcept nogil:
    memset(address.ip, 0, 10)
    address.ip[10] = address.ip[11] = 0xFF
    memcpy(address.ip + 12, four, 4)
    address.is_ipv4 = 1


# Numeric hosts only, IPv6 with or without brackets; the port is left as it is. False: a name, or nonsense.
cdef bint parse_ip(const uint8_t* text, uint32_t size, Address* address) noexcept nogil:
    cdef char buffer[48]
    cdef uint8_t four[4]
    cdef bint bracketed = size > 2 and text[0] == 91 and text[size - 1] == 93
    if bracketed:
        text += 1
        size -= 2
    if size == 0 or size >= sizeof(buffer):
        return False
    memcpy(buffer, text, size)
    buffer[size] = 0
    if not bracketed and inet_pton(AF_INET, buffer, four) == 1:
        set_ipv4(address, four)
        return True
    if inet_pton(AF_INET6, buffer, address.ip) != 1:
        return False
    address.is_ipv4 = is_mapped(address)
    return True


cdef bint is_mapped(const Address* address) noexcept nogil:
    cdef int i
    for i in range(10):
        if address.ip[i]:
            return False
    return address.ip[10] == 0xFF and address.ip[11] == 0xFF


# Host as it stands in a `received` parameter: IPv6 without brackets (RFC 5118 section 4.5). At most 46 bytes.
cdef int write_ip(const Address* address, uint8_t* out) noexcept nogil:
    cdef char buffer[48]
    if address.is_ipv4:
        inet_ntop(AF_INET, address.ip + 12, buffer, sizeof(buffer))
    else:
        inet_ntop(AF_INET6, address.ip, buffer, sizeof(buffer))
    cdef int size = <int>strlen(buffer)
    memcpy(out, buffer, size)
    return size


cdef object address_text(const Address* address):
    cdef uint8_t buffer[48]
    cdef int size = write_ip(address, buffer)
    return buffer[:size].decode("ascii")


cdef int address_from_python(object ip, int port, Address* address) except -1:
    encoded = ip.encode("ascii")
    if not parse_ip(encoded, <uint32_t>len(encoded), address):
        raise ValueError(f"{ip!r} is no numeric address")
    if not 0 <= port <= 65535:
        raise ValueError(f"port {port} is out of range")
    address.port = port
    address.flow = 0
    return 0
