# The answering endpoint: its calls in a fixed array, found by Call-ID.

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from tests.load._datagrams cimport Address, Port
from tests.load._message cimport Message, Slice
from tests.load._timer_wheel cimport TimerWheel

cdef enum:
    HEAD_BYTES = 1536

cdef struct Answer:
    uint64_t key               # hash of the Call-ID
    int32_t chained            # next call in the same hash bucket; -1 ends
    int state
    int status                 # final status sent
    int64_t interval_us        # until the next retransmission of the final response
    int64_t give_up_us         # when to stop waiting
    Address peer               # where the INVITE came from
    size_t head_length
    char head[HEAD_BYTES]      # the headers that every response to the INVITE repeats

cdef struct UasCounts:
    uint64_t invites
    uint64_t labelled
    uint64_t answered
    uint64_t rejected
    uint64_t cancelled
    uint64_t acks
    uint64_t byes
    uint64_t options
    uint64_t invites_repeated
    uint64_t retransmissions
    uint64_t unacknowledged
    uint64_t dropped
    uint64_t full
    uint64_t unreadable

cdef class Uas:
    cdef object _socket
    cdef bytes _tail_text
    cdef Slice _tail           # the rest of a 200, in `_tail_text`
    cdef Port *_port
    cdef TimerWheel _wheel
    cdef Answer *_answers
    cdef int32_t *_buckets
    cdef int32_t _bucket_mask
    cdef int32_t _free
    cdef UasCounts _counts
    cdef volatile bint _stop
    cdef int64_t _ring_us, _t1_us
    cdef int _reject_status, _reject_every, _drop_every
    cdef uint64_t _seen

    cdef void serve(self) noexcept nogil
    cdef void _loop(self) noexcept nogil
    cdef void _handle(self, const char *data, int length, const Address *source, int64_t now_us) noexcept nogil
    cdef void _invited(self, Message *message, const Address *source, int64_t now_us) noexcept nogil
    cdef void _begin(self, Message *message, uint64_t key, const Address *source, int64_t now_us) noexcept nogil
    cdef void _finalise(self, int32_t call, int status, int64_t now_us) noexcept nogil
    cdef void _acknowledged(self, Message *message, int64_t now_us) noexcept nogil
    cdef void _cancelled(self, Message *message, const Address *source, int64_t now_us) noexcept nogil
    cdef void _ended(self, Message *message, const Address *source) noexcept nogil
    cdef void _expire(self, int32_t call, int64_t now_us) noexcept nogil
    cdef void _respond(self, int32_t call, int status) noexcept nogil
    cdef void _reply(self, Message *message, const Address *source, int status) noexcept nogil
    cdef int32_t _find(self, uint64_t key) noexcept nogil
    cdef int32_t _take(self, uint64_t key) noexcept nogil
    cdef void _release(self, int32_t call) noexcept nogil
