# ProxyCore: messages and deadlines in, messages and events out. No socket, no clock, no await.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.outbox cimport OutMessage, Outbox
from proxy.requests cimport RequestProcessing
from proxy.next_hop cimport Incoming, NextHop
from proxy.routing_table cimport Peer
from proxy.sip.address cimport Address
from proxy.sip.message cimport Message
from proxy.sip.transaction cimport ClientTransaction, ServerTransaction

cdef enum:
    FLOODED_STATUS = -2

# One message as the first half of its way leaves it for the second.
cdef struct Received:
    Message message
    uint64_t key             # of its server transaction, if it is a request
    const char* reason
    int status               # as parse_message says; FLOODED_STATUS = not read
    Address source           # of a datagram of the edge's batch
    Peer peer                # who sent it
    int32_t tls_trunk        # trunk that the certificate of the peer names, -1 = none

cdef class ProxyCore(RequestProcessing):
    cdef Received received

    cdef void receive(
        self, const uint8_t* data, uint32_t size, uint8_t listener, const Address* source, int64_t now_us
    ) noexcept nogil
    cdef void read(
        self, const uint8_t* data, uint32_t size, uint8_t listener, const Address* source, int64_t now_us,
        Received* received
    ) noexcept nogil
    cdef void handle(
        self, Received* received, uint8_t listener, const Address* source, int64_t now_us
    ) noexcept nogil
    # The beginning of a request that will never arrive. Returns the worker it belongs to if that is another, else -1.
    cdef int datagram_lost(self, const uint8_t* data, uint32_t size, int64_t now_us) noexcept nogil
    cdef void measure_load(self, double busy, double queued, int64_t now_us) noexcept nogil
    cdef void update_gauges(self) noexcept nogil
