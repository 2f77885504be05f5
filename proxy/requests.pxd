# Requests: what each one is, and what becomes of it.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.call_attempts cimport CallAttempts
from proxy.calls cimport Call
from proxy.next_hop cimport Incoming
from proxy.sip.message cimport Message
from proxy.sip.transaction cimport ServerTransaction

cdef class RequestProcessing(CallAttempts):
    cdef void on_request(self, Incoming* incoming) noexcept nogil
    cdef void on_new_request(self, Incoming* incoming) noexcept nogil
    cdef void on_repeat(self, uint32_t server) noexcept nogil
    cdef void on_ack(self, Incoming* incoming) noexcept nogil
    cdef void on_cancel(self, Incoming* incoming) noexcept nogil
    cdef void on_bye(self, Incoming* incoming) noexcept nogil
    cdef bint is_known_dialog(self, Incoming* incoming) noexcept nogil
    cdef bint is_ping(self, const Message* message) noexcept nogil
    cdef void answer_options(self, Incoming* incoming) noexcept nogil
    cdef bint is_closed(self, Incoming* incoming) noexcept nogil
    cdef bint needs_dialog(self, Incoming* incoming) noexcept nogil
    cdef void on_question(self, Incoming* incoming) noexcept nogil
    cdef bint steers(self, Incoming* incoming) noexcept nogil
    cdef void on_request_of_no_dialog(self, Incoming* incoming) noexcept nogil
    cdef uint16_t fault_of(self, const Message* message) noexcept nogil
    cdef uint16_t return_of(self, Incoming* incoming) noexcept nogil
