# New INVITEs: room, verdict, and what the verdict asks for.

from libc.stdint cimport uint16_t, uint32_t

from proxy.calls cimport Call
from proxy.waiting_requests cimport WaitingRequests
from proxy.next_hop cimport Incoming
from proxy.routing_table cimport TrunkEntry

cdef class CallAttempts(WaitingRequests):
    cdef bint draining
    cdef bint open_on_error

    cdef void on_invite(self, Incoming* incoming) noexcept nogil
    cdef void redirect(self, Incoming* incoming, const TrunkEntry* trunk, Call* call) noexcept nogil
    cdef const TrunkEntry* trunk_of(self, Incoming* incoming) noexcept nogil
    cdef void reject(self, Incoming* incoming, const TrunkEntry* trunk, Call* call) noexcept nogil
    cdef void accept(self, Incoming* incoming, const TrunkEntry* trunk, uint32_t call) noexcept nogil
