# Redirect mode: a trunk whose INVITEs are answered with a verdict and never forwarded.

from libc.stdint cimport uint16_t

from engine._decision cimport Verdict
from proxy.outbox cimport Writer
from proxy.routing_table cimport Redirection
from proxy.sip.message cimport Message

# What the peer is told to do with a call.
cdef enum Redirect:
    REDIRECT_GO_ON = 0       # take the next route
    REDIRECT_INDICATE = 1    # let it through under another name
    REDIRECT_DIVERT = 2      # send it somewhere else
    REDIRECT_BLOCK = 3

cdef Redirect redirect_of(const Redirection* redirection, const Message* message, const Verdict* verdict) noexcept nogil
cdef uint16_t redirect_status(const Redirection* redirection, Redirect redirect) noexcept nogil
# Contact rows of a redirect to somewhere; nothing for REDIRECT_GO_ON and REDIRECT_BLOCK.
cdef void write_contacts(
    Writer* writer, const Redirection* redirection, const Message* message, const Verdict* verdict, Redirect redirect
) noexcept nogil
