# Transports as Via and URIs name them (RFC 3261 sections 18, 20.42; RFC 7118 section 5).

from libc.stdint cimport uint8_t, uint32_t

cdef enum Transport:
    TRANSPORT_UDP = 0
    TRANSPORT_TCP = 1
    TRANSPORT_TLS = 2
    TRANSPORT_WS = 3
    TRANSPORT_WSS = 4
    TRANSPORT_COUNT = 5

# What a URI's transport parameter names; for a sips URI its secure form. -1 = a transport that is not ours.
cdef int transport_of(const uint8_t* name, uint32_t size, bint secure) noexcept nogil


# Delivers or says that it does not: nothing is repeated on it (RFC 3261 section 17.1.1.2).
cdef inline bint is_reliable(uint8_t transport) noexcept nogil:
    return transport != TRANSPORT_UDP


cdef inline bint is_secure(uint8_t transport) noexcept nogil:
    return transport == TRANSPORT_TLS or transport == TRANSPORT_WSS


# RFC 3261 section 19.1.2, RFC 7118 section 5.1 with the ports of HTTP.
cdef inline int default_port(uint8_t transport) noexcept nogil:
    if transport == TRANSPORT_TLS:
        return 5061
    if transport == TRANSPORT_WS:
        return 80
    return 443 if transport == TRANSPORT_WSS else 5060
