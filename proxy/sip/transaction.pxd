# SIP transactions (RFC 3261 section 17, RFC 6026): the state machines as tables, and the store of open transactions.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.key_index cimport KeyIndex
from proxy.memory cimport Block, MemoryPool
from proxy.sip.address cimport Address
from proxy.sip.message cimport Message
from proxy.sip.timers cimport TimerNode, TimerQueues

cdef enum Machine:
    INVITE_SERVER = 0
    NON_INVITE_SERVER = 1
    INVITE_CLIENT = 2
    NON_INVITE_CLIENT = 3

cdef enum State:
    STATE_FREE = 0
    STATE_TRYING = 1         # INVITE client: Calling
    STATE_PROCEEDING = 2
    STATE_COMPLETED = 3
    STATE_CONFIRMED = 4
    STATE_ACCEPTED = 5
    STATE_COUNT = 6

cdef enum Input:
    INPUT_REQUEST = 0        # the request again
    INPUT_ACK = 1
    INPUT_1XX = 2            # server: to be sent; client: received
    INPUT_2XX = 3
    INPUT_FINAL = 4          # 300-699
    INPUT_RETRANSMIT = 5     # timers A, E, G
    INPUT_TIMEOUT = 6        # timers B, F, H
    INPUT_LINGER = 7         # timers D, I, J, K, L, M
    INPUT_COUNT = 8

cdef enum Action:
    DO_PASS = 1              # server: send the response; client: hand it to the proxy core
    DO_RESEND = 2            # send the last message again
    DO_ACK = 4               # answer with the ACK of this transaction
    DO_TIMED_OUT = 8         # tell the proxy core
    ARM_RETRANSMIT = 16      # start at T1
    NEXT_RETRANSMIT = 32     # the doubled interval
    STOP_RETRANSMIT = 64
    ARM_TIMEOUT = 128        # 64*T1
    ARM_LINGER = 256         # 64*T1
    ARM_LINGER_T4 = 512
    END = 1024

cdef struct Step:
    uint8_t next             # State
    uint16_t actions         # bits of Action; 0 with the same state = nothing to do

cdef enum ServerFlag:
    SERVER_CANCELLED = 1
    SERVER_SILENT = 2        # dropped by the verdict: never answered
    SERVER_SETTLED = 4       # a branch gave an answer that leads nowhere else: no further target

cdef struct ServerTransaction:
    uint64_t key
    Address peer             # where responses go (RFC 3261 section 18.2.2, RFC 3581)
    Block response           # the last one sent, for retransmission
    Block best               # the best final response so far, as it would be passed on; empty = one of our own
    Block reason             # Reason lines of the CANCEL received
    uint64_t tried           # bits of the gateway's targets, or of the name's places, already tried
    uint64_t name            # of the next hop, 0 = it is none
    uint32_t generation
    uint32_t client          # newest of its client transactions, 0 = none; the others follow by `sibling`
    uint32_t call            # call of the initial INVITE, 0 = none
    uint32_t routing         # generation of the routing that `gateway` and `tried` are of
    uint16_t status          # of `response`
    uint16_t best_status     # of `best`: 408 and 503 also stand for silence and failed transport, 0 = none yet
    uint16_t route           # NO_ROUTE = routed by the message itself
    uint16_t gateway         # NO_GATEWAY = routed by the message itself
    uint8_t position         # of the gateway in the route
    uint8_t state            # State
    uint8_t machine          # INVITE_SERVER or NON_INVITE_SERVER
    uint8_t listener
    uint8_t retransmit       # TimerLength of the running interval
    uint8_t reliable         # came over a stream
    uint8_t flags            # ServerFlag
    uint8_t overload         # OverloadAlgorithm that the client was told of

cdef enum ClientFlag:
    CLIENT_CANCEL_WANTED = 1     # send a CANCEL as soon as a provisional response allows it
    CLIENT_CANCEL_SENT = 2
    CLIENT_ABANDONED = 4         # the proxy has gone on to another target
    CLIENT_PROBE = 8             # OPTIONS of our own
    CLIENT_MOVED = 32            # too large for UDP: went by TCP instead (RFC 3261 section 18.1.1)
    CLIENT_CANCEL = 16           # a CANCEL: shares the branch of the INVITE client that `server` names

cdef struct ClientTransaction:
    Address destination
    Block message            # the request as sent; once a 300-699 came: its ACK
    uint32_t generation
    uint32_t server          # 0 = none; of a CANCEL: its INVITE's client transaction
    uint32_t server_generation
    uint32_t loop            # loop part of its branch (RFC 5393 section 4.2.1), 0 = of no forwarded request
    uint32_t sibling         # next older client transaction of the same server transaction, 0 = none
    uint32_t early           # its latest early dialog that the caller knows of, 0 = none
    uint32_t cancel          # client transaction of its CANCEL, 0 = none
    uint32_t routing         # generation of the routing that `gateway` and `target` are of
    uint16_t gateway
    uint16_t target
    uint8_t state
    uint8_t machine
    uint8_t method           # Method of the request
    uint8_t listener
    uint8_t retransmit
    uint8_t reliable         # went out over a stream
    uint8_t secure           # may go by TLS only
    uint8_t flags            # ClientFlag

cdef enum:
    NO_GATEWAY = 0xFFFF

cdef Step step(uint8_t machine, uint8_t state, uint8_t input) noexcept nogil

cdef class Transactions:
    cdef ServerTransaction* servers
    cdef ClientTransaction* clients
    cdef TimerQueues timers
    cdef MemoryPool memory
    cdef KeyIndex keys
    cdef uint32_t* free_servers
    cdef uint32_t* free_clients
    cdef uint32_t free_server_count
    cdef uint32_t free_client_count
    cdef readonly uint32_t capacity
    cdef uint64_t secret[2]
    cdef uint64_t sequence
    cdef readonly uint64_t reaped        # lingering transactions ended early to make room

    # Key under which a request finds its server transaction. ACK and CANCEL find their INVITE's (section 17.2.3, 9.2).
    cdef uint64_t key_of(self, const Message* message) noexcept nogil
    cdef void prefetch_client(self, const uint8_t* branch, uint32_t size) noexcept nogil
    cdef uint32_t find_server(self, uint64_t key) noexcept nogil
    # A client transaction by the branch of a response, 0 = none.
    cdef uint32_t find_client(self, const uint8_t* branch, uint32_t size) noexcept nogil
    # Room for a server and a client transaction of a new request: the last eighth of it is for those of priority, the
    # last hundredth for requests within dialogs, which nobody asks.
    cdef bint has_room(self, uint32_t message_size, bint priority) noexcept nogil
    cdef bint has_free(self, uint32_t spare) noexcept nogil
    # Of the room for requests without priority, what cannot be had by ending what only waits for repeats; 0 to 1 or
    # above.
    cdef double used_part(self) noexcept nogil
    # 0 = full.
    cdef uint32_t open_server(self, uint64_t key, uint8_t machine) noexcept nogil
    cdef uint32_t open_client(self, uint8_t machine) noexcept nogil
    # For repeats of the request. Where memory runs out, a request within a dialog needs it more.
    cdef void keep_response(self, uint32_t server, const uint8_t* data, uint32_t size) noexcept nogil
    cdef void end_server(self, uint32_t server) noexcept nogil
    cdef void end_client(self, uint32_t client) noexcept nogil
    # The client transaction works for this server transaction from now on.
    cdef void attach(self, uint32_t client, uint32_t server) noexcept nogil
    cdef void detach(self, uint32_t client) noexcept nogil
    # True while a branch of this server transaction may still bring a final response (RFC 3261 section 16.7 step 6).
    cdef bint has_pending(self, uint32_t server) noexcept nogil
    cdef void reap(self) noexcept nogil
    # Writes "z9hG4bK" + worker, index, generation and loop part; returns the length (BRANCH_SIZE).
    cdef uint32_t write_branch(self, uint32_t client, uint8_t worker, uint8_t* out) noexcept nogil
    # Timers: slot 0 retransmission and 100 Trying, slot 1 time-out, lingering, timer C, failover.
    cdef void arm_server(self, uint32_t server, int which, uint8_t length, int64_t now_us) noexcept nogil
    cdef void arm_client(self, uint32_t client, int which, uint8_t length, int64_t now_us) noexcept nogil
    cdef void disarm_server(self, uint32_t server, int which) noexcept nogil
    cdef void disarm_client(self, uint32_t client, int which) noexcept nogil

cdef enum:
    BRANCH_SIZE = 33         # z9hG4bK, worker 2, index 8, generation 8, loop part 8
    LOOP_SIZE = 8

# The worker that made this branch; -1 if it is none of ours.
cdef int branch_worker(const uint8_t* branch, uint32_t size) noexcept nogil
