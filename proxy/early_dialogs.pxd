# Early dialogs that end before their INVITE does: 199 (RFC 6228).

from libc.stdint cimport uint32_t

from proxy.outbox cimport Writer
from proxy.sip.message cimport Message

# What tells the early dialog of a response, 0 = it makes none.
cdef uint32_t early_dialog(const Message* response) noexcept nogil
# Whether the sender of this INVITE wants to hear of early dialogs that have ended, and a proxy may tell it.
cdef bint wants_199(const Message* invite) noexcept nogil
# The 199 for the early dialog that this final response has ended.
cdef void write_199(Writer* writer, const Message* final) noexcept nogil
