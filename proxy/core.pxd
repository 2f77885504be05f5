# ProxyCore: datagrams and deadlines in, datagrams and events out. No socket, no clock, no await.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.calls cimport Call
from proxy.outbox cimport OutMessage, Outbox
from proxy.responses cimport ResponseProcessing
from proxy.router cimport Incoming, NextHop
from proxy.routing_table cimport TrunkEntry
from proxy.sip.address cimport Address
from proxy.sip.message cimport Message
from proxy.sip.transaction cimport ClientTransaction, ServerTransaction

# One datagram as the first half of its way leaves it for the second.
cdef struct Received:
    Message message
    uint64_t key             # of its server transaction, if it is a request
    const char* reason
    int status               # as parse_message says

cdef class ProxyCore(ResponseProcessing):
    cdef Received received
    cdef bint draining
    cdef bint open_on_error

    cdef void receive(
        self, const uint8_t* data, uint32_t size, uint8_t listener, const Address* source, int64_t now_us
    ) noexcept nogil
    cdef void read(self, const uint8_t* data, uint32_t size, Received* received) noexcept nogil
    cdef void handle(
        self, Received* received, uint8_t listener, const Address* source, int64_t now_us
    ) noexcept nogil
    cdef void update_gauges(self) noexcept nogil

    cdef void on_request(self, Incoming* incoming) noexcept nogil
    cdef void on_new_request(self, Incoming* incoming) noexcept nogil
    cdef void on_repeat(self, uint32_t server) noexcept nogil
    cdef void on_ack(self, Incoming* incoming) noexcept nogil
    cdef void on_cancel(self, Incoming* incoming) noexcept nogil
    cdef void on_invite(self, Incoming* incoming) noexcept nogil
    cdef void on_bye(self, Incoming* incoming) noexcept nogil
    cdef bint is_known_dialog(self, Incoming* incoming) noexcept nogil
    cdef bint steers(self, Incoming* incoming) noexcept nogil
    cdef uint16_t fault_of(self, const Message* message) noexcept nogil
    cdef const TrunkEntry* trunk_of(self, Incoming* incoming) noexcept nogil
    cdef void reject(self, Incoming* incoming, const TrunkEntry* trunk, Call* call) noexcept nogil
    cdef void stay_silent(self, Incoming* incoming) noexcept nogil
    cdef void forward_stateful(self, Incoming* incoming, uint32_t call) noexcept nogil
    cdef void forward_stateless(self, Incoming* incoming) noexcept nogil
    cdef uint32_t write_extra(self, Incoming* incoming, const NextHop* next_hop, uint32_t call) noexcept nogil
    cdef void end_calls_of(self, Incoming* incoming, uint32_t call, uint16_t status) noexcept nogil
