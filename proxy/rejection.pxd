# What a verdict looks like on the wire: rejections by basis, and labels on calls that go on.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from engine._decision cimport Verdict
from proxy.outbox cimport Writer
from proxy.routing_table cimport GatewayEntry, RoutingTable, TrunkEntry

# As headers name it.
cdef const char* basis_name(uint8_t basis) noexcept nogil
# Status on the wire of a rejection on this trunk, and its reason phrase.
cdef uint16_t rejection_status(const TrunkEntry* trunk, const Verdict* verdict) noexcept nogil
cdef const char* rejection_reason(const TrunkEntry* trunk, const Verdict* verdict, uint16_t status) noexcept nogil
# Header lines that belong to the rejection.
cdef void write_rejection_headers(
    Writer* writer, RoutingTable routing, const TrunkEntry* trunk, const Verdict* verdict, uint16_t status
) noexcept nogil
# Header lines that label a call toward a gateway; nothing for one that was accepted untouched.
cdef void write_label_headers(
    Writer* writer, RoutingTable routing, const GatewayEntry* gateway, const Verdict* verdict
) noexcept nogil
