# The UDP edge: recvmmsg in, sendmmsg out, one batch at a time. The only place of the call path that makes system calls.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from proxy.core cimport ProxyCore, Received
from proxy.in_flight cimport InFlight, InFlightHead, Quarantine
from proxy.outbox cimport OutMessage, Outbox

cdef class UdpEdge:
    cdef ProxyCore core
    cdef Outbox out
    cdef uint64_t* counts    # the core's
    cdef list sockets        # kept open
    cdef int* fds
    cdef uint8_t* families   # AF_INET or AF_INET6
    cdef int socket_count
    cdef void* receiving     # Batch
    cdef void* sending       # Batch
    cdef Received* received       # of the batch in hand
    cdef int64_t clock_offset_us
    cdef uint64_t* lost      # tokens of requests that the kernel would not take
    cdef int lost_count
    cdef list polls          # a descriptor for each socket, readable too when it has errors
    cdef InFlight in_flight
    cdef InFlightHead* hand  # of in_flight
    cdef Quarantine quarantine
    cdef object hand_over    # proxy.hand_over.HandOver, None: this worker is alone
    cdef public object streams

    cdef int64_t measured_us # when our load was measured last, and our processor time then
    cdef int64_t busy_us

    cdef int64_t now(self) noexcept nogil
    cdef void measure(self, int64_t now_us) noexcept nogil
    cdef double fullest_part(self) noexcept nogil
    cdef bint begins(self, bytes data) noexcept
    cdef uint64_t dropped_unread(self) noexcept nogil
    cdef int receive_batch(self, int index, int64_t now_us) noexcept nogil
    cdef void send_all(self) noexcept nogil
    cdef void send_stream(self, const OutMessage* message) noexcept with gil
    cdef void take_errors(self, int index, int64_t now_us) noexcept
    cdef bint is_sent_on_retry(self, uint8_t listener, uint32_t count, int* sent) noexcept nogil
    cdef uint32_t send_run(self, uint32_t first, uint32_t last) noexcept nogil
