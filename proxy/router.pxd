# What a request carries for its way: Record-Route, Request-URI, Route rows, and what answers say of the targets.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.forwarding cimport Hop
from proxy.next_hop cimport Incoming, NextHop, NextHops
from proxy.outbox cimport Writer
from proxy.sip.message cimport Message
from proxy.sip.transaction cimport ClientTransaction
from proxy.sip.address cimport Address
from proxy.trust_border cimport Border

cdef enum:
    URI_ROOM = 1024          # of a Request-URI that we write

cdef class Router(NextHops):
    cdef void fill_hop(
        self, Incoming* incoming, const NextHop* next_hop, bint asks_overload, Hop* hop
    ) noexcept nogil
    cdef void open_request_border(
        self, const Incoming* incoming, const NextHop* next_hop, Border* border
    ) noexcept nogil
    # False: everything may cross. The listeners are those of the sender's and the receiver's side.
    cdef bint open_response_border(
        self, const Message* message, const Address* sender, uint8_t arriving, const Address* receiver, uint8_t leaving,
        Border* border
    ) noexcept nogil
    # uri: URI_ROOM bytes for a Request-URI of our own.
    cdef void fill_uri(self, Incoming* incoming, const NextHop* next_hop, uint8_t* uri, Hop* hop) noexcept nogil
    cdef void fill_strict(self, Incoming* incoming, Hop* hop) noexcept nogil
    # How many rows were written. arriving, leaving: the listeners of both sides.
    cdef int write_record_route(
        self, Writer* lines, const Message* message, uint8_t arriving, uint8_t leaving
    ) noexcept nogil
    cdef uint32_t write_new_uri(self, Incoming* incoming, const NextHop* next_hop, uint8_t* out) noexcept nogil
    cdef uint32_t retarget_uri(
        self, const Message* sent, const ClientTransaction* old, const NextHop* next_hop, uint8_t* out
    ) noexcept nogil
    # The listener that Record-Route names for the side that a request went out by.
    cdef uint8_t routed_by(self, const ClientTransaction* client) noexcept nogil
    cdef void note_health(self, const ClientTransaction* client, bint alive) noexcept nogil
