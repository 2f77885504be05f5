# Who diverted a call before it came here: History-Info (RFC 7044) and Diversion (RFC 5806).

from libc.stdint cimport uint8_t

from proxy.sip.grammar cimport Slice
from proxy.sip.message cimport Message

# Why, in the words of RFC 5806; History-Info says it by status in the `cause` parameter (RFC 7544 section 6).
cdef enum DiversionReason:
    DIVERSION_NONE = 0       # not diverted
    DIVERSION_UNKNOWN = 1
    DIVERSION_UNCONDITIONAL = 2
    DIVERSION_USER_BUSY = 3
    DIVERSION_NO_ANSWER = 4
    DIVERSION_DEFLECTION = 5
    DIVERSION_UNAVAILABLE = 6
    DIVERSION_OTHER = 7

cdef struct Diverter:
    Slice user               # user part of its URI, with its parameters
    uint8_t reason           # DiversionReason

# The last party that diverted the call; reason DIVERSION_NONE if nobody says so.
cdef void last_diverter(const Message* message, Diverter* diverter) noexcept nogil
