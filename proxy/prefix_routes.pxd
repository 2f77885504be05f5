# Which gateways a call goes to by its called number: the longest prefix that there is a route for on its trunk.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from engine._decision cimport number_t

cdef enum:
    MAX_ROUTE_GATEWAYS = 8
    NO_ROUTE = 0xFFFF

# Gateways in the order in which they are tried.
cdef struct RouteEntry:
    const uint8_t* uri       # the Request-URI that its calls get, NULL = the one that they have
    uint32_t uri_size
    uint16_t gateways[MAX_ROUTE_GATEWAYS]
    uint8_t count

cdef struct PrefixRoute:
    uint64_t key             # hash of trunk and prefix
    uint16_t route

cdef class PrefixRoutes:
    cdef PrefixRoute* rows   # in order of the key
    cdef uint32_t count
    cdef uint64_t lengths    # bit n: there are prefixes of n characters

    # Index of the route, NO_ROUTE = no prefix fits.
    cdef uint16_t find(self, uint16_t trunk, number_t callee) noexcept nogil
    cdef uint16_t look_up(self, uint64_t key) noexcept nogil
