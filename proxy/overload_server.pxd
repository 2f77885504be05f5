# Overload control as a server: how much of what comes can be done, and what clients are told of it (RFC 7339, 7415).

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from proxy.overload_parameters cimport OverloadParameters
from proxy.sources cimport Source

# The parameters of one response.
cdef struct OverloadReply:
    uint8_t algorithm        # ALGORITHM_NONE = the client did not ask
    uint32_t value
    uint32_t validity_ms
    uint64_t sequence

# Who pays for whom: others first, then calls, requests with priority never.
cdef enum RequestKind:
    REQUEST_CALL = 0         # a new INVITE
    REQUEST_OTHER = 1        # another method outside of dialogs: REGISTER, SUBSCRIBE, MESSAGE ...
    REQUEST_PRIORITY = 2     # category 2 of RFC 7339 section 5.10.1

cdef class OverloadServer:
    cdef double load_part    # of the requests what the processor can take, 0 to 1
    cdef double room_part    # likewise for transactions and memory
    cdef public double heard # of new calls that come as datagrams, the part that is not dropped before we see it
    cdef double busy_target  # of one processor
    cdef double calls_share  # of the requests those that are new calls
    cdef double others_share
    cdef double offered_rate # requests per second, as measured when everything was last admitted
    cdef uint64_t requests   # since `since_us`
    cdef uint32_t clients    # addresses heard in this interval
    cdef uint32_t last_clients
    cdef int64_t since_us
    cdef uint64_t sequence

    cdef void note_request(self, RequestKind kind, bint new_client) noexcept nogil
    cdef void note_room(self, double used) noexcept nogil
    cdef void measure(self, double busy, double queued, int64_t now_us) noexcept nogil
    cdef double part(self) noexcept nogil
    # The same for new calls, when the others have paid what they can.
    cdef double calls_part(self) noexcept nogil
    # Of new calls that come as datagrams, the part that is worth being heard.
    cdef double worth_hearing(self, int64_t now_us) noexcept nogil
    # True: this request of a client that takes no part in overload control is refused (RFC 7339 section 5.10.2).
    # was_drawn: of its kind only the part `heard` has come.
    cdef bint refuses(self, uint64_t key, RequestKind kind, bint was_drawn) noexcept nogil
    # The algorithm that this client is controlled by: its first choice, kept for an hour (RFC 7339 section 5.8).
    cdef uint8_t choose(self, Source* client, const OverloadParameters* offered, int64_t now_us) noexcept nogil
    cdef OverloadReply reply(self, uint8_t algorithm) noexcept nogil
    cdef uint32_t rate(self, double part) noexcept nogil
