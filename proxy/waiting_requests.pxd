# Requests that wait for the name of their next hop, and what becomes of them once it is known or time is up.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from proxy.parking cimport ParkedRequest, ParkingLot
from proxy.request_forwarding cimport RequestForwarding
from proxy.sip.message cimport Message

cdef class WaitingRequests(RequestForwarding):
    cdef ParkingLot parked
    cdef Message waiting     # a parked one, read again

    cdef void name_known(self, uint64_t name, int64_t now_us) noexcept nogil
    cdef void resume(self, ParkedRequest* parked, int64_t now_us) noexcept nogil
    cdef void go_on(self, ParkedRequest* parked, bint cancelled, int64_t now_us) noexcept nogil
