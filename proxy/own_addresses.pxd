# The listeners, and what in a message names one of them.

from libc.stdint cimport uint8_t, uint32_t

from proxy.forwarding cimport Hop
from proxy.routing_table cimport Text
from proxy.sip.address cimport Address
from proxy.sip.grammar cimport Slice
from proxy.sip.message cimport Message
from proxy.sip.uri cimport Uri

cdef enum:
    MAX_LISTENERS = 16

cdef struct ListenerEntry:
    Address advertised       # numeric, or port only if the advertised host is a name
    Address bound
    Text host
    Text sent_by             # host:port
    Text via                 # SIP/2.0/UDP host:port
    Text asking_via          # with the parameters that ask for overload control (RFC 7339 section 4)
    Text route               # <sip:host:port;...;cs= up to the cookie, as in Record-Route
    uint8_t transport        # Transport
    int stream               # of UDP: the TCP listener with the same address (RFC 3261 section 18.2.1), -1 = none
    int datagram             # of TCP: the UDP listener with the same address, -1 = none

cdef class OwnAddresses:
    cdef ListenerEntry listeners[MAX_LISTENERS]
    cdef int listener_count
    cdef list keep           # Python objects that texts point into

    cdef Text text(self, bytes value)
    # True if the URI names one of our listeners; the one of its transport if there is one.
    cdef bint is_own_host(self, const Message* message, const Uri* uri, int* listener) noexcept nogil
    cdef bint is_own_address(self, const Message* message, Slice host, int port, int listener) noexcept nogil
    # A listener to send by, `preferred` if it will do; -1 = there is none of this transport and IP version.
    cdef int listener_for(self, int transport, bint is_ipv4, int preferred) noexcept nogil
    cdef bint is_own_via(self, const Message* message) noexcept nogil
    cdef void fill_via(self, uint8_t listener, bint asks_overload, Hop* hop) noexcept nogil

# What a URI says of its transport, else the default of its scheme (RFC 3263 section 4.1); -1 = none of ours.
cdef int transport_of_uri(const Message* message, const Uri* uri) noexcept nogil
