# What new requests are taken on when room or a next hop is short (RFC 7339 section 5.10).

from libc.stdint cimport uint32_t

from proxy.local_answers cimport LocalAnswers
from proxy.next_hop cimport Incoming, NextHop
from proxy.overload_server cimport RequestKind
from proxy.routing_table cimport TrunkEntry

cdef class Admission(LocalAnswers):
    # A new request of a trunk outside of dialogs. False: it was answered 503.
    cdef bint admits_new(self, Incoming* incoming) noexcept nogil
    cdef bint is_for_all(self, Incoming* incoming) noexcept nogil
    cdef bint may_enter(self, Incoming* incoming, bint within, RequestKind kind) noexcept nogil
    # The next hop, or the next target of its gateway, that takes this request. False: none does.
    cdef bint find_admitting(self, Incoming* incoming, uint32_t call, NextHop* next_hop) noexcept nogil
    cdef void refuse(self, Incoming* incoming, int counter) noexcept nogil
