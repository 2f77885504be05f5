# What becomes of forwarded requests: responses passed on, targets tried in turn, calls that begin and end.

from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.calls cimport Call
from proxy.outbox cimport OutMessage, Outbox
from proxy.next_hop cimport NextHop
from proxy.overload_client cimport OverloadClient
from proxy.screening cimport Screening
from proxy.sip.address cimport Address
from proxy.sip.message cimport Message
from proxy.sip.transaction cimport ClientTransaction, ServerTransaction
from proxy.response_context cimport ResponseContext

cdef class ResponseProcessing(ResponseContext):
    cdef Screening screening
    cdef OverloadClient next_hops
    cdef readonly Outbox handed_over
    cdef uint8_t worker
    cdef int workers

    # Whether requests to this address ask for overload control: its gateway is configured so, or it answered so before.
    cdef bint asks_overload(self, uint16_t gateway, const Address* address) noexcept nogil
    cdef void note_overload(self, const ClientTransaction* c, const Message* message, int64_t now_us) noexcept nogil
    cdef void on_response(self, const Message* message, int64_t now_us) noexcept nogil
    cdef void on_provisional(self, uint32_t client, const Message* message, int64_t now_us) noexcept nogil
    cdef void note_ringing(self, uint32_t index, int64_t now_us) noexcept nogil
    cdef void on_success(self, uint32_t client, const Message* message, int64_t now_us) noexcept nogil
    cdef void on_failure(self, uint32_t client, const Message* message, int64_t now_us) noexcept nogil
    # A branch has its final response, or will have none: `message` NULL, status 408 for silence, 503 for failed
    # transport.
    cdef void on_branch_ended(
        self, uint32_t server, uint32_t client, uint16_t status, const Message* message, int64_t now_us
    ) noexcept nogil
    cdef bint leads_on(
        self, const ClientTransaction* client, uint16_t status, const Message* message
    ) noexcept nogil
    # position: the client transaction to begin with, 1 at first; where to go on, 0 = all have been looked at.
    cdef uint32_t on_target_down(
        self, uint16_t gateway, uint16_t target, uint32_t* position, int64_t now_us
    ) noexcept nogil
    cdef bint is_for(self, const Message* message, const ClientTransaction* client) noexcept nogil
    cdef bint try_next_target(self, uint32_t server, uint32_t client, int64_t now_us) noexcept nogil
    cdef bint find_next_target(
        self, ServerTransaction* server, NextHop* next_hop, int64_t now_us
    ) noexcept nogil
    cdef bint find_next_place(self, ServerTransaction* server, NextHop* next_hop, int64_t now_us) noexcept nogil
    cdef bint send_again(
        self, uint32_t server, uint32_t client, const NextHop* next_hop, int64_t now_us
    ) noexcept nogil
    cdef void on_transport_failed(self, uint32_t client, int64_t now_us) noexcept nogil
    cdef void end_call(self, uint32_t index, uint16_t status, uint8_t released_by, int64_t now_us) noexcept nogil
    cdef void hand_over(
        self, const Message* message, uint8_t worker, uint8_t listener, const Address* source, int16_t trunk
    ) noexcept nogil
