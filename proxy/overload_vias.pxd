# The Vias of a response on its way up, with overload control as a server (RFC 7339 sections 5.2, 5.4).

from proxy.outbox cimport Writer
from proxy.overload_server cimport OverloadReply
from proxy.sip.message cimport Message

# True: a Via below the top one carries parameters that must not go up.
cdef bint brings_overload(const Message* message) noexcept nogil
# The headers from the top Via on, without it and without overload parameters of others; the next Via, which is our
# client's, gets `reply` unless its algorithm is ALGORITHM_NONE.
cdef void write_vias_up(Writer* writer, const Message* message, const OverloadReply* reply) noexcept nogil
# One row of Via values data[start:end] of our client's request or response, likewise.
cdef void write_client_via(
    Writer* writer, const Message* message, int header, const OverloadReply* reply
) noexcept nogil
