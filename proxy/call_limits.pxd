# Caps of trunks and gateways on calls a second and calls at the same time, shared by the workers of a node.

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t

cdef enum:
    NO_LIMIT = 0xFFFF

cdef struct CallLimit:
    int64_t interval_us      # between calls at the full rate; 0 = any rate
    int64_t burst_us         # how far calls may run ahead of the rate
    int32_t concurrent       # calls at the same time; 0 = any number

cdef class CallLimits:
    cdef CallLimit* limits
    cdef readonly uint32_t count
    cdef int workers
    cdef int worker
    cdef object memory       # exported buffer, so that `arrivals` and `open` stay valid
    cdef object view
    cdef int64_t* arrivals   # of each limit: theoretical arrival time of the next call (GCRA)
    cdef int32_t* open       # [limit][worker]: calls in progress
    cdef readonly list names

    # Counts one call in, unless the limit is reached. `index` may be NO_LIMIT.
    cdef bint admit(self, uint16_t index, int64_t now_us) noexcept nogil
    cdef uint16_t count_in(self, uint16_t index) noexcept nogil
    cdef void leave(self, uint16_t index) noexcept nogil
    cdef bint take_rate(self, uint32_t index, int64_t now_us) noexcept nogil
    cdef int32_t calls_of(self, uint32_t index) noexcept nogil
