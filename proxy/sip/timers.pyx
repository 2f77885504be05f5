"""SIP timers without a clock: deadlines in microseconds, a FIFO for each of the few lengths there are."""


cdef void arm(TimerQueues* timers, uint32_t node, uint8_t length, int64_t now_us) noexcept nogil:
    cdef TimerNode* n = &timers.nodes[node]
    cdef TimerQueue* queue = &timers.queues[length]
    if n.length != LENGTH_NONE:
        disarm(timers, node)
    n.length = length
    n.deadline_us = now_us + queue.length_us
    n.next = 0
    n.previous = queue.tail
    if queue.tail:
        timers.nodes[queue.tail].next = node
    else:
        queue.head = node
    queue.tail = node
    queue.count += 1


cdef void disarm(TimerQueues* timers, uint32_t node) noexcept nogil:
    cdef TimerNode* n = &timers.nodes[node]
    if n.length == LENGTH_NONE:
        return
    cdef TimerQueue* queue = &timers.queues[n.length]
    if n.previous:
        timers.nodes[n.previous].next = n.next
    else:
        queue.head = n.next
    if n.next:
        timers.nodes[n.next].previous = n.previous
    else:
        queue.tail = n.previous
    n.length = LENGTH_NONE
    queue.count -= 1


cdef uint32_t pop_due(TimerQueues* timers, int64_t now_us, uint8_t* length) noexcept nogil:
    cdef int i
    cdef uint32_t node
    for i in range(1, LENGTH_COUNT):
        node = timers.queues[i].head
        if node and timers.nodes[node].deadline_us <= now_us:
            disarm(timers, node)
            length[0] = <uint8_t>i
            return node
    return 0


cdef int64_t next_deadline(const TimerQueues* timers) noexcept nogil:
    cdef int64_t earliest = 0
    cdef int64_t deadline
    cdef int i
    for i in range(1, LENGTH_COUNT):
        if timers.queues[i].head:
            deadline = timers.nodes[timers.queues[i].head].deadline_us
            if earliest == 0 or deadline < earliest:
                earliest = deadline
    return earliest


# The next interval of a retransmission: timer A doubles without end, E and G stop doubling at T2.
cdef uint8_t doubled(uint8_t length, bint capped_at_t2) noexcept nogil:
    if length == LENGTH_T1:
        return LENGTH_2T1
    if length == LENGTH_2T1:
        return LENGTH_4T1
    if length == LENGTH_4T1:
        return LENGTH_T2
    if capped_at_t2:
        return LENGTH_T2
    return LENGTH_16T1 if length == LENGTH_T2 else LENGTH_32T1
