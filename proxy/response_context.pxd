# The response context of a request: its branches, the best final response so far, CANCEL (RFC 3261 section 16.7).

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from proxy.routing_table cimport Text
from proxy.sip.message cimport Message
from proxy.transaction_layer cimport TransactionLayer

cdef class ResponseContext(TransactionLayer):
    # A final response that is not passed on at once. message NULL: the status stands for silence or failed transport.
    cdef void note_final(
        self, uint32_t server, uint32_t client, uint16_t status, const Message* message
    ) noexcept nogil
    # A final response that is not passed on has ended the early dialog of its branch (RFC 6228).
    cdef void tell_early_end(self, uint32_t server, uint32_t client, const Message* message) noexcept nogil
    cdef void add_challenges(self, uint32_t server, const Message* message) noexcept nogil
    # Sends what `note_final` has found best. client: one that still has the request, of which our own answers are made.
    # Returns the status, 0 = nothing was to be said.
    cdef uint16_t send_best(self, uint32_t server, uint32_t client, int64_t now_us) noexcept nogil
    cdef void send_kept(self, uint32_t server, int64_t now_us) noexcept nogil
    cdef void answer_for(self, uint32_t server, uint32_t client, uint16_t status, int64_t now_us) noexcept nogil
    cdef void absorb(self, uint32_t server, int64_t now_us) noexcept nogil
    # What the received CANCEL asks for (section 16.10).
    cdef void cancel_request(self, uint32_t server, const Message* cancel, int64_t now_us) noexcept nogil
    cdef void keep_reason(self, uint32_t server, const Message* cancel) noexcept nogil
    cdef void cancel_branches(self, uint32_t server, int64_t now_us) noexcept nogil
    cdef void cancel_client(self, uint32_t client, int64_t now_us) noexcept nogil
    cdef Text cancel_reason(self, uint32_t server, uint8_t* room, uint32_t size) noexcept nogil
