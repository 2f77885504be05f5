# From an INVITE to a verdict, and the events told of it.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._decision cimport Verdict
from engine._fastpath cimport FastPath
from proxy.events cimport Event
from proxy.routing_table cimport TrunkEntry
from proxy.sip.address cimport Address
from proxy.sip.message cimport Message

cdef class Screening:
    cdef FastPath screener
    cdef Event* ring
    cdef uint32_t ring_size
    cdef uint32_t first
    cdef uint32_t pending
    cdef uint64_t secret[2]
    cdef uint64_t sequence
    cdef uint16_t worker
    cdef readonly uint64_t lost

    # Decides on an initial INVITE and fills the event of its decision, which is not told yet.
    cdef void screen(
        self, const Message* message, const TrunkEntry* trunk, const Address* source, int64_t now_us, Event* event
    ) noexcept nogil
    cdef uint64_t source_key(self, const Address* source) noexcept nogil
    cdef void tell(self, const Event* event) noexcept nogil
    # What the dialog showed, for the engine: OutcomeKind, final status, who released it.
    cdef void observe(self, const Event* event, uint16_t policy_trunk, uint8_t kind, int64_t now_us) noexcept nogil
