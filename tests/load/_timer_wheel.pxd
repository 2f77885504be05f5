# One deadline for each of a fixed number of calls: O(1) to set, to withdraw and to fire, 1 ms steps.

from libc.stdint cimport int32_t, int64_t

cdef struct TimerWheel:
    int32_t capacity
    int32_t armed              # calls with a deadline
    int64_t tick               # the next millisecond to look at
    int64_t *deadline_us
    int32_t *next              # circular lists: calls first, then one head for each millisecond, then the due list
    int32_t *previous

cdef int wheel_open(TimerWheel *wheel, int32_t capacity, int64_t now_us) noexcept nogil
cdef void wheel_close(TimerWheel *wheel) noexcept nogil
cdef void wheel_arm(TimerWheel *wheel, int32_t call, int64_t deadline_us) noexcept nogil
cdef void wheel_disarm(TimerWheel *wheel, int32_t call) noexcept nogil
cdef int32_t wheel_pop(TimerWheel *wheel, int64_t now_us) noexcept nogil
