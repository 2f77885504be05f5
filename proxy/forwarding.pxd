# Messages on their way out: what a proxy changes in a request or response, and the messages it makes itself.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.outbox cimport Writer
from proxy.overload_server cimport OverloadReply
from proxy.route_edit cimport RouteEdit
from proxy.sip.address cimport Address
from proxy.sip.message cimport Message
from proxy.trust_border cimport Border

# How a request leaves (RFC 3261 section 16.6).
cdef struct Hop:
    const uint8_t* uri       # new Request-URI, NULL = as received
    uint32_t uri_size
    const uint8_t* via       # "SIP/2.0/UDP host:port" of the listener it leaves by
    uint32_t via_size
    const uint8_t* branch
    uint32_t branch_size
    const Address* source    # where it came from; NULL = its top Via is complete already
    RouteEdit route_edit     # what becomes of the Route rows
    Border border            # what may cross to the receiver
    int32_t max_forwards
    int32_t max_breadth      # RFC 5393; 0 = as received
    const uint8_t* extra     # complete header lines to add: Record-Route, labels
    uint32_t extra_size

# An answer of our own (RFC 3261 section 8.2.6).
cdef struct Answer:
    uint16_t status
    const uint8_t* reason
    uint32_t reason_size
    uint64_t to_tag          # 0 = none (100 Trying); ignored where the request has one
    const Address* source    # as in Hop
    bint skip_top_via        # the message is our own copy with our Via on top
    const uint8_t* extra
    uint32_t extra_size
    OverloadReply overload   # for the client, in its Via
    const uint8_t* server    # Server header value, NULL = none
    uint32_t server_size

cdef void write_request(Writer* writer, const Message* message, const Hop* hop) noexcept nogil
# False: nobody is named whom this response could go on to.
cdef bint has_lower_via(const Message* message) noexcept nogil
# The response without its top Via, and without what may not cross `border` (NULL = everything may); the client is told
# `overload`.
cdef void write_response(
    Writer* writer, const Message* message, const Border* border, const OverloadReply* overload
) noexcept nogil
cdef void write_answer(Writer* writer, const Message* request, const Answer* answer) noexcept nogil
# ACK of a 300-699 response to `request`, which is the INVITE as we sent it (RFC 3261 section 17.1.1.3).
cdef void write_ack(Writer* writer, const Message* request, const Message* response) noexcept nogil
# CANCEL of `request`, the INVITE as we sent it (RFC 3261 section 9.1). reason: complete header lines.
cdef void write_cancel(
    Writer* writer, const Message* request, const uint8_t* reason, uint32_t reason_size
) noexcept nogil
# The request as we sent it, for another target: hop.via and hop.branch on top, hop.uri if the Request-URI changes. The
# first `own_routes` Record-Route rows behind our Via give way to hop.extra.
cdef void write_retarget(Writer* writer, const Message* sent, const Hop* hop, int own_routes) noexcept nogil
# Where answers to a request go (RFC 3261 section 18.2.2, RFC 3581 section 4): always the packet's source address; over
# a stream its connection, and if that is gone the port of sent-by.
cdef Address answer_address(const Message* request, const Address* source, uint8_t transport) noexcept nogil
cdef const char* standard_reason(uint16_t status) noexcept nogil
