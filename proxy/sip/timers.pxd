# SIP timers (RFC 3261 table 4, RFC 6026 section 8.11): one FIFO per length, O(1) to arm, disarm and fire.

from libc.stdint cimport int64_t, uint8_t, uint32_t

# Every length that a timer can have. Within one queue deadlines only grow, so its head is always the next to fire.
cdef enum TimerLength:
    LENGTH_NONE = 0
    LENGTH_TRYING = 1        # 200 ms: 100 Trying when nothing else came (RFC 3261 section 17.2.1)
    LENGTH_T1 = 2            # 500 ms, then the doublings of timers A, E and G
    LENGTH_2T1 = 3
    LENGTH_4T1 = 4
    LENGTH_T2 = 5            # 4 s
    LENGTH_16T1 = 6          # 8 s, timer A only
    LENGTH_32T1 = 7          # 16 s, timer A only
    LENGTH_LATE_TRYING = 8   # 3.5 s: 100 to a non-INVITE over UDP (RFC 4320 section 4.1)
    LENGTH_FAILOVER = 9      # a gateway target that says nothing at all
    LENGTH_64T1 = 10         # 32 s: timers B, F, H
    LENGTH_LINGER_64T1 = 11  # 32 s: timers D, J, L, M: nothing but repeats is expected
    LENGTH_LINGER_T4 = 12    # 5 s: timers I, K
    LENGTH_C = 13            # timer C
    LENGTH_AT_ONCE = 14      # 0 s: timers D, I, J, K on transports that repeat nothing
    LENGTH_COUNT = 15

cdef struct TimerNode:
    uint32_t previous        # 0 = none: node 0 is never used
    uint32_t next
    int64_t deadline_us
    uint8_t length           # TimerLength it is armed with, LENGTH_NONE = not armed

cdef struct TimerQueue:
    uint32_t head
    uint32_t tail
    uint32_t count
    int64_t length_us

cdef struct TimerQueues:
    TimerNode* nodes
    TimerQueue queues[LENGTH_COUNT]

cdef void arm(TimerQueues* timers, uint32_t node, uint8_t length, int64_t now_us) noexcept nogil
cdef void disarm(TimerQueues* timers, uint32_t node) noexcept nogil
# The next node whose deadline has come, disarmed, and the length it was armed with; 0 = none.
cdef uint32_t pop_due(TimerQueues* timers, int64_t now_us, uint8_t* length) noexcept nogil
# The earliest deadline of all queues; 0 = no timer is armed.
cdef int64_t next_deadline(const TimerQueues* timers) noexcept nogil
cdef uint8_t doubled(uint8_t length, bint capped_at_t2) noexcept nogil
