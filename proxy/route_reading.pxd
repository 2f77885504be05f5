# Route pre-processing of received requests (RFC 3261 section 16.4).

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from proxy.own_addresses cimport OwnAddresses
from proxy.route_edit cimport RouteEdit
from proxy.sip.grammar cimport Slice
from proxy.sip.message cimport Message
from proxy.sip.route cimport RouteCursor
from proxy.sip.uri cimport Uri

cdef struct RouteState:
    RouteCursor rest         # first Route that is not ours
    RouteEdit edit           # what becomes of the Route rows
    bint has_cookie          # a Route of ours carries our cookie for this Call-ID
    int worker               # that the cookie names, -1 = none
    int listener             # by which the request leaves, -1 = not said
    bint malformed
    bint new_uri             # the Request-URI came from the last Route: a strict router is upstream
    bint maddr_cut           # the Request-URI's maddr was ours: it goes, with port and transport
    Slice uri_parameters     # of the Request-URI as received

cdef class RouteReading(OwnAddresses):
    cdef uint64_t secret[2]
    cdef uint8_t worker

    # Changes message.request_uri to what section 16.4 makes of it. listener: that the request came in by.
    cdef void read_routes(self, Message* message, uint8_t listener, RouteState* state) noexcept nogil
    cdef bint take_own_routes(self, const Message* message, RouteState* state) noexcept nogil
    cdef bint is_recorded(self, const Message* message) noexcept nogil
    cdef bint take_last_route(self, Message* message, RouteState* state) noexcept nogil
    cdef void cut_maddr(self, Message* message, uint8_t listener, RouteState* state) noexcept nogil
    cdef void read_cookie(self, const Message* message, const Uri* uri, RouteState* state) noexcept nogil
    cdef uint64_t route_cookie(self, const Message* message, Slice tag) noexcept nogil
