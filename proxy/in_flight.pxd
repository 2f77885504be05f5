# What a worker is working on, in memory that outlives it, and the digests of messages that no worker takes.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from engine._siphash cimport SipKey

cdef enum:
    SLOTS = 64               # messages of one batch
    SLOT_BYTES = 65536 + 1088
    NONE = 0xFFFFFFFF        # nothing is in hand
    ALL = 0xFFFFFFFE         # the answers to a whole batch are

cdef struct InFlightHead:
    uint64_t beats
    uint32_t current         # the slot in hand, NONE or ALL
    uint32_t count           # slots of the batch, or of a connection's turn so far
    uint32_t sizes[SLOTS]

cdef class InFlight:
    cdef object memory
    cdef object view
    cdef InFlightHead* head
    cdef uint8_t* slots
    cdef void begin(self, const uint8_t* data, uint32_t size) noexcept nogil
    cdef void keep(self) noexcept nogil
    cdef void answer(self) noexcept nogil
    cdef void end(self) noexcept nogil

cdef struct QuarantineHead:
    SipKey key
    uint64_t count           # of digests ever added; the last of them are there
    uint64_t digests[SLOTS]

cdef class Quarantine:
    cdef object memory
    cdef object view
    cdef QuarantineHead* head
    cdef bint has(self, const uint8_t* data, uint32_t size) noexcept nogil
