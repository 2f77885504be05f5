"""The timer wheel of the endpoints: calls in circular lists, one list for each millisecond of the wheel's turn.

A deadline beyond one turn (8 s) stays in its list and is put back each time the wheel passes.
"""

from libc.stdlib cimport free, malloc

cdef enum:
    SLOTS = 8192
    STEP_US = 1000


cdef inline void unlink(TimerWheel *wheel, int32_t call) noexcept nogil:
    wheel.next[wheel.previous[call]] = wheel.next[call]
    wheel.previous[wheel.next[call]] = wheel.previous[call]
    wheel.next[call] = wheel.previous[call] = call


cdef inline void link_last(TimerWheel *wheel, int32_t head, int32_t call) noexcept nogil:
    wheel.previous[call] = wheel.previous[head]
    wheel.next[call] = head
    wheel.next[wheel.previous[head]] = call
    wheel.previous[head] = call


cdef inline void splice(TimerWheel *wheel, int32_t head, int32_t onto) noexcept nogil:
    """Moves everything in the list of `head` to the end of that of `onto`."""
    cdef int32_t first = wheel.next[head], last = wheel.previous[head]
    if first == head:
        return
    wheel.next[wheel.previous[onto]] = first
    wheel.previous[first] = wheel.previous[onto]
    wheel.next[last] = onto
    wheel.previous[onto] = last
    wheel.next[head] = wheel.previous[head] = head


cdef inline int32_t due_list(TimerWheel *wheel) noexcept nogil:
    return wheel.capacity + SLOTS


cdef int wheel_open(TimerWheel *wheel, int32_t capacity, int64_t now_us) noexcept nogil:
    """0, or -1 without memory."""
    cdef int32_t node
    cdef size_t nodes = <size_t>capacity + SLOTS + 1
    wheel.capacity = capacity
    wheel.armed = 0
    wheel.tick = now_us // STEP_US
    wheel.deadline_us = <int64_t *>malloc(capacity * sizeof(int64_t))
    wheel.next = <int32_t *>malloc(nodes * sizeof(int32_t))
    wheel.previous = <int32_t *>malloc(nodes * sizeof(int32_t))
    if wheel.deadline_us is NULL or wheel.next is NULL or wheel.previous is NULL:
        return -1
    for node in range(<int32_t>nodes):
        wheel.next[node] = wheel.previous[node] = node
    return 0


cdef void wheel_close(TimerWheel *wheel) noexcept nogil:
    free(wheel.deadline_us)
    free(wheel.next)
    free(wheel.previous)


cdef void wheel_arm(TimerWheel *wheel, int32_t call, int64_t deadline_us) noexcept nogil:
    cdef int64_t tick = deadline_us // STEP_US
    wheel_disarm(wheel, call)
    if tick < wheel.tick:
        tick = wheel.tick
    wheel.deadline_us[call] = deadline_us
    link_last(wheel, wheel.capacity + <int32_t>(tick & (SLOTS - 1)), call)
    wheel.armed += 1


cdef void wheel_disarm(TimerWheel *wheel, int32_t call) noexcept nogil:
    if wheel.next[call] != call:
        unlink(wheel, call)
        wheel.armed -= 1


cdef int32_t wheel_pop(TimerWheel *wheel, int64_t now_us) noexcept nogil:
    """A call whose deadline has come, no longer armed; -1 when there is none."""
    cdef int32_t call, due = due_list(wheel)
    cdef int64_t last_tick = now_us // STEP_US - 1     # a millisecond is looked at when it is over
    while True:
        while wheel.next[due] != due:
            call = wheel.next[due]
            unlink(wheel, call)
            wheel.armed -= 1
            if wheel.deadline_us[call] <= now_us:
                return call
            wheel_arm(wheel, call, wheel.deadline_us[call])
        if wheel.tick > last_tick:
            return -1
        if last_tick - wheel.tick >= SLOTS:            # after a long pause one turn sees every list
            wheel.tick = last_tick - SLOTS + 1
        splice(wheel, wheel.capacity + <int32_t>(wheel.tick & (SLOTS - 1)), due)
        wheel.tick += 1
