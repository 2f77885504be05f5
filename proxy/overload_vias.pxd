# The Vias of a response on its way up, with overload control as a server (RFC 7339 sections 5.2, 5.4).

from proxy.outbox cimport Writer
from proxy.overload_server cimport OverloadReply
from proxy.sip.message cimport Message

# True: a Via below the top one carries parameters that must not go up.
cdef bint brings_overload(const Message* message) noexcept nogil
# A row of Via values without overload parameters. The first of them is our client's and gets `reply`, unless that is
# NULL or its algorithm is ALGORITHM_NONE.
cdef void write_via_row(Writer* writer, const Message* message, int header, const OverloadReply* reply) noexcept nogil
# The same for the row of the top Via, without that one.
cdef void write_rest_of_row(Writer* writer, const Message* message, const OverloadReply* reply) noexcept nogil
