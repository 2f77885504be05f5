# The transaction layer: sends, repeats, acknowledges and cancels; answers requests (RFC 3261 section 17, RFC 6026).

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.counters cimport Counters
from proxy.next_hop cimport Incoming, NextHop
from proxy.outbox cimport OutMessage, Outbox, Writer
from proxy.overload_server cimport OverloadServer
from proxy.router cimport Router
from proxy.routing_table cimport Text
from proxy.sip.address cimport Address
from proxy.sip.message cimport Message
from proxy.sip.transaction cimport ClientTransaction, ServerTransaction, Transactions

cdef class TransactionLayer:
    cdef Router router
    cdef Transactions transactions
    cdef Counters counters
    cdef uint64_t* counts
    cdef Outbox out          # of the batch in hand
    cdef Text server_header
    cdef readonly OverloadServer load
    cdef uint64_t secret[2]
    cdef Message kept        # one of our own, read again
    cdef uint8_t extra[4096] # header lines to add

    cdef void on_local_final(self, uint32_t server, uint16_t status, int64_t now_us) noexcept nogil
    cdef void on_target_silent(self, uint32_t client, int64_t now_us) noexcept nogil
    cdef void on_client_timeout(self, uint32_t client, int64_t now_us) noexcept nogil

    cdef void count(self, int counter) noexcept nogil
    cdef void answer_from_kept(
        self, uint32_t server, const ClientTransaction* client, uint16_t status, int64_t now_us
    ) noexcept nogil
    cdef uint64_t local_tag(self, uint64_t key, const Message* message) noexcept nogil
    # True if the To-tag is that of our own answer to the request with this key; 0 = to one that could not be read.
    cdef bint is_own_tag(self, const Message* message, uint64_t key) noexcept nogil
    cdef bint start_client(
        self, uint32_t server, const NextHop* next_hop, OutMessage* sent, uint32_t client, uint8_t method,
        int64_t now_us
    ) noexcept nogil
    cdef void acknowledge(self, uint32_t client, const Message* message) noexcept nogil
    # The response as it goes to where the request came from: without our Via, and changed at the trust border.
    cdef void write_passed(
        self, Writer* writer, uint32_t server, uint32_t client, const Message* message
    ) noexcept nogil
    # client: the branch that it came by.
    cdef bint pass_response(
        self, uint32_t server, uint32_t client, const Message* message, int64_t now_us
    ) noexcept nogil
    cdef uint32_t server_of(self, const ClientTransaction* client) noexcept nogil
    cdef void apply_server(self, uint32_t server, uint8_t input, int64_t now_us) noexcept nogil
    cdef void apply_client_timers(self, uint32_t client, uint16_t actions, int64_t now_us) noexcept nogil
    cdef int64_t deadline(self) noexcept nogil
    cdef void fire_timers(self, int64_t now_us) noexcept nogil
    cdef void fire_server(self, uint32_t server, int which, int64_t now_us) noexcept nogil
    cdef void fire_client(self, uint32_t client, int which, uint8_t length, int64_t now_us) noexcept nogil
