# A worker's counters: an array of 64-bit words in a memory-mapped file, written by one worker, read by anybody.

from libc.stdint cimport uint64_t

cdef enum Counter:
    RECEIVED = 0             # datagrams
    SENT
    SEND_FAILED
    KEEPALIVES
    NOT_SIP                  # nothing to answer to
    UNKNOWN_SOURCE           # requests dropped: no trunk has that address
    BAD_MESSAGES             # answered 4xx or dropped
    RETRANSMISSIONS          # requests received again, absorbed
    INVITES                  # new calls seen
    SCREENED
    ACCEPTED
    TAGGED
    DIVERTED
    REJECTED
    DROPPED                  # by verdict
    UNSCREENED               # forwarded unscreened: trunk setting or internal error
    IN_DIALOG                # requests within a dialog
    ACKS
    CANCELS
    RESPONSES
    STRAY_RESPONSES          # no transaction: dropped
    ANSWERED                 # calls
    ENDED                    # calls
    CALLS_EVICTED
    REFUSED_OVERLOAD         # 503: no room for a transaction
    REFUSED_DRAINING
    REFUSED_CAPPED           # 503: trunk or gateways have as many calls as they may
    TIMEOUTS                 # no final response in time
    FAILOVERS
    TRANSPORT_FAILURES       # requests that could not be delivered
    NO_ACK                   # final response never acknowledged (timer H)
    RESENT                   # retransmissions sent
    UNROUTABLE
    METHOD_REFUSED
    INTERNAL_ERRORS
    EVENTS_LOST              # the buffer between worker and control was full
    HANDED_OVER              # datagrams passed to the worker they belong to
    FLOODED                  # messages over the limit of their address: dropped unread
    QUARANTINED              # messages that killed workers before: dropped unread
    REFUSED_RATE             # 503: new calls over the limit of their address
    THROTTLED                # 503: what the next hop asked us to withhold
    DROPPED_UNHEARD          # by the kernel: for want of room, or new calls, more than could be refused
    ANSWERS_STATELESS        # final answers to INVITEs that left no transaction
    ANSWERS_SILENCED         # answers not given: too many, or too large, for where they would go
    STICKY_EVICTED           # stateless answers forgotten while they were still wanted
    PARKED                   # requests that waited for a name
    TRANSACTIONS_REAPED      # lingering transactions ended early to make room
    CONNECTIONS_ACCEPTED     # by listeners for TCP, TLS and WebSocket
    CONNECTIONS_REFUSED      # closed at once: a cap on connections, or a ban
    CONNECTIONS_OPENED       # by us
    CONNECTION_FAILURES      # that we could not open
    CONNECTION_TIMEOUTS      # closed: a message or a handshake that was begun and not finished
    TLS_FAILURES             # handshakes that failed, certificates that name somebody else
    TLS_RELOAD_FAILURES      # certificates on disk that cannot be used; the old ones stay
    FRAMING_ERRORS           # connections closed: no telling where the next message begins
    WRITE_QUEUE_OVERFLOWS    # connections closed: the peer takes too little
    ACCEPT_PAUSES            # descriptors or memory had run out
    CONNECTIONS              # gauge: open now
    SERVER_TRANSACTIONS      # gauge: open now
    CLIENT_TRANSACTIONS      # gauge
    CALLS                    # gauge
    MEMORY_TAKEN             # gauge: bytes for kept messages
    COUNTER_COUNT

cdef class Counters:
    cdef uint64_t* values
    cdef object mapping
    cdef object view
    cdef int attach(self, object mapping) except -1
