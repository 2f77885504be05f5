# Requests that come first when room is short: emergency calls and what the Resource-Priority header marks.

from proxy.routing_table cimport TrunkEntry
from proxy.sip.message cimport Message

# An emergency call by its URN or number (RFC 5031), whoever makes it, or Resource-Priority (RFC 4412) of who may set
# it.
cdef bint has_priority(const Message* message, const TrunkEntry* trunk) noexcept nogil
cdef bint is_emergency(const Message* message, const TrunkEntry* trunk) noexcept nogil
