# The Route rows of a request as it leaves: own values gone, and what a strict router needs (RFC 3261 section 16.6).

from libc.stdint cimport int32_t, uint8_t, uint32_t

from proxy.outbox cimport Writer
from proxy.sip.message cimport Message
from proxy.sip.route cimport RouteCursor

cdef struct RouteEdit:
    bint active              # False: every row stays as it is
    RouteCursor first        # value that is the first to stay; header -1 = none stays
    int32_t last_header      # row whose last value goes; -1 = none does
    uint32_t last_end        # where the rest of that row ends, 0 = it was alone
    const uint8_t* append    # URI of a Route to add behind all others, NULL = none
    uint32_t append_size

# What takes the place of this row, nothing if it goes.
cdef void write_route_row(Writer* writer, const Message* message, int index, const RouteEdit* edit) noexcept nogil
