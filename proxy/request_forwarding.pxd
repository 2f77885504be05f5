# Requests on their way out: next hop, edits, client transaction (RFC 3261 section 16.6).

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.admission cimport Admission
from proxy.outbox cimport OutMessage, Writer
from proxy.next_hop cimport HopOutcome, Incoming, NextHop
from proxy.sip.message cimport Message
from proxy.sip.transaction cimport ServerTransaction

cdef class RequestForwarding(Admission):
    # call: of an initial INVITE, else 0.
    cdef void forward_stateful(self, Incoming* incoming, uint32_t call) noexcept nogil
    cdef void forward_to(
        self, Incoming* incoming, uint32_t call, HopOutcome outcome, NextHop* next_hop
    ) noexcept nogil
    # Keeps a request until the name of its next hop is known. False: there is no room.
    cdef bint park(self, Incoming* incoming, uint32_t call, uint64_t name) noexcept nogil
    cdef void give_up(self, Incoming* incoming, uint32_t call, HopOutcome outcome) noexcept nogil
    cdef void send_on(self, Incoming* incoming, uint32_t call, NextHop* next_hop) noexcept nogil
    cdef void forward_stateless(self, Incoming* incoming) noexcept nogil
    cdef bint moves_to_stream(self, const Writer* writer, const NextHop* next_hop) noexcept nogil
    cdef uint32_t write_extra(self, Incoming* incoming, const NextHop* next_hop, uint32_t call) noexcept nogil
    cdef void end_calls_of(self, Incoming* incoming, uint32_t call, uint16_t status) noexcept nogil
