# Requests whose next hop is a name that nobody has looked up yet: kept aside, a bounded number for a bounded time.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from proxy.memory cimport Block
from proxy.routing_table cimport Peer
from proxy.sip.address cimport Address

cdef struct ParkedRequest:
    uint64_t name            # key of the name it waits for; 0 = it has left
    Block message
    Address source
    int64_t until_us
    uint32_t server          # its server transaction, open so that repeats are absorbed
    uint32_t generation
    uint32_t call            # of an initial INVITE, 0 = none
    uint32_t routing         # generation of the routing that `peer` is of
    Peer peer
    uint8_t judged           # as in Incoming
    uint8_t tagged
    uint8_t listener

cdef class ParkingLot:
    cdef ParkedRequest* places
    cdef readonly uint32_t capacity
    cdef uint32_t first      # in order of arrival, which is the order of the deadlines
    cdef uint32_t count

    # A free place with its deadline, NULL = there is none.
    cdef ParkedRequest* enter(self, int64_t now_us) noexcept nogil
    # The next one that waits for this name, from `cursor` on, which moves; NULL = there is no more.
    cdef ParkedRequest* next_for(self, uint64_t name, uint32_t* cursor) noexcept nogil
    # The oldest if its time is up.
    cdef ParkedRequest* next_due(self, int64_t now_us) noexcept nogil
    cdef void leave(self, ParkedRequest* parked) noexcept nogil
    cdef int64_t deadline(self) noexcept nogil
    cdef void drop_left(self) noexcept nogil
