# A dialog as the calling endpoint keeps it (RFC 3261 section 12.1.2).

from libc.stdint cimport uint8_t

from tests.load._datagrams cimport Address
from tests.load._message cimport Message, Slice

cdef enum:
    TARGET_BYTES = 160
    ROUTES_BYTES = 640
    CALLEE_BYTES = 160

cdef struct Dialog:
    Address next_hop               # of requests inside the dialog
    uint8_t labelled               # the answering endpoint saw a label
    size_t target_length
    size_t routes_length
    size_t callee_length
    char target[TARGET_BYTES]      # Contact of the callee: Request-URI inside the dialog
    char routes[ROUTES_BYTES]      # Route header line, or nothing
    char callee[CALLEE_BYTES]      # value of To, with its tag

# Remote target and route set; -1 when they are unusable or too long. proxy: where a next hop that is a name is asked
# for.
cdef int learn_dialog(Dialog *dialog, Message *message, const Address *proxy) noexcept nogil
