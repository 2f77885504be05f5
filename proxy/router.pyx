"""What a request carries for its way: Record-Route, Request-URI, Route rows, and what answers say of the targets.

RFC 3261 sections 16.5 and 16.6, RFC 5658 for Record-Route.
"""

from libc.string cimport memset
from proxy.outbox cimport Writer, put, put_hex, writer_over
from proxy.own_addresses cimport ListenerEntry
from proxy.prefix_routes cimport NO_ROUTE, RouteEntry
from proxy.routing_table cimport GatewayEntry, TargetEntry
from proxy.sip.address cimport same_address
from proxy.sip.grammar cimport Slice, sip_equal_nocase
from proxy.sip.name_addr cimport NameAddr
from proxy.sip.route cimport next_route, read_route
from proxy.sip.transaction cimport CLIENT_MOVED, NO_GATEWAY
from proxy.sip.uri cimport Uri, find_parameter, parse_uri
from proxy.trust_border cimport RIGHT_ASSERT, open_border

from typing import NamedTuple


class ListenerAddress(NamedTuple):
    """Where a listener is bound (numeric), and what Via and Record-Route say of it. transport: as in a URI."""

    ip: str
    port: int
    advertised_host: str
    advertised_port: int
    transport: str = "udp"


cdef class Router(NextHops):
    """Knows the listeners, the routing in force and the calls in progress; says where a request goes.

    listeners: ListenerAddress each. calls: room for calls in progress. secret: 32 bytes of the node.
    """

    cdef void fill_hop(
        self, Incoming* incoming, const NextHop* next_hop, bint asks_overload, Hop* hop
    ) noexcept nogil:
        cdef const Message* message = incoming.message
        memset(hop, 0, sizeof(Hop))
        self.fill_via(next_hop.listener, asks_overload, hop)
        hop.source = incoming.source
        hop.route_edit = incoming.route.edit
        hop.max_forwards = message.max_forwards - 1 if message.max_forwards > 0 else 70
        self.open_request_border(incoming, next_hop, &hop.border)

    # A tagged call is known by its name, where the gateway wants that.
    cdef void open_request_border(
        self, const Incoming* incoming, const NextHop* next_hop, Border* border
    ) noexcept nogil:
        cdef uint8_t rights = self.routing.rights_of(incoming.peer)
        cdef const GatewayEntry* gateway
        if next_hop.gateway == NO_GATEWAY:
            open_border(
                border, incoming.message, rights,
                self.routing.rights_of(self.routing.peer_of(&next_hop.destination, next_hop.listener)) & RIGHT_ASSERT,
                NULL, 0
            )
            return
        gateway = &self.routing.gateways[next_hop.gateway]
        open_border(
            border, incoming.message, rights, gateway.trusted, gateway.display if incoming.tagged else NULL,
            gateway.display_size
        )

    cdef bint open_response_border(
        self, const Message* message, const Address* sender, uint8_t arriving, const Address* receiver, uint8_t leaving,
        Border* border
    ) noexcept nogil:
        if not message.at_border:
            return False
        open_border(
            border, message, self.routing.rights_of(self.routing.peer_of(sender, arriving)),
            self.routing.rights_of(self.routing.peer_of(receiver, leaving)) & RIGHT_ASSERT, NULL, 0
        )
        return True

    # RFC 3261 section 16.6 step 4; two values when the sides differ (RFC 5658), the leaving one on top.
    cdef int write_record_route(
        self, Writer* lines, const Message* message, uint8_t arriving, uint8_t leaving
    ) noexcept nogil:
        cdef uint64_t cookie = self.route_cookie(message, message.from_tag)
        write_route_line(lines, &self.listeners[leaving], self.worker, cookie)
        if leaving == arriving:
            return 1
        write_route_line(lines, &self.listeners[arriving], self.worker, cookie)
        return 2

    cdef void fill_uri(self, Incoming* incoming, const NextHop* next_hop, uint8_t* uri, Hop* hop) noexcept nogil:
        hop.uri_size = self.write_new_uri(incoming, next_hop, uri)
        hop.uri = uri if hop.uri_size else NULL
        self.fill_strict(incoming, hop)

    # Section 16.6 step 6: a next hop whose Route has no `lr` wants to find itself in the Request-URI.
    cdef void fill_strict(self, Incoming* incoming, Hop* hop) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef NameAddr value
        cdef Slice flag
        cdef Uri route
        if read_route(message, incoming.route.rest, &value) != 1 or not parse_uri(
            message.data, value.uri.start, value.uri.start + value.uri.size, &route
        ) or find_parameter(message.data, route.parameters, b"lr", 2, &flag):
            return
        hop.route_edit.append = hop.uri if hop.uri != NULL else message.data + message.request_uri.whole.start
        hop.route_edit.append_size = hop.uri_size if hop.uri != NULL else message.request_uri.whole.size
        hop.route_edit.first = next_route(message, incoming.route.rest, &value)
        hop.route_edit.active = True
        hop.uri = message.data + value.uri.start
        hop.uri_size = value.uri.size

    # A diverted call gets the URI of its new destination. A Request-URI that names this proxy gets the host of the
    # target, and one that came with our maddr loses it; any other stays (sections 16.4, 16.5). 0 = stays.
    cdef uint32_t write_new_uri(self, Incoming* incoming, const NextHop* next_hop, uint8_t* out) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef const Uri* uri = &message.request_uri
        cdef const TargetEntry* target = NULL
        cdef const RouteEntry* route = &self.routing.routes[next_hop.route] if next_hop.route != NO_ROUTE else NULL
        cdef Writer writer = writer_over(out, URI_ROOM)
        cdef int listener
        if route != NULL and route.uri != NULL:
            put(&writer, route.uri, route.uri_size)
            return route.uri_size
        if next_hop.gateway != NO_GATEWAY and self.routing.gateways[next_hop.gateway].rewrite_host and (
            self.is_own_host(message, uri, &listener)
        ):
            target = &self.routing.gateways[next_hop.gateway].targets[next_hop.target]
        elif not incoming.route.maddr_cut:
            return 0
        put(&writer, message.data + uri.whole.start, uri.host.start - uri.whole.start)
        if target != NULL:
            put(&writer, target.text, target.text_size)
        else:
            put(&writer, message.data + uri.host.start, uri.host.size)
        if incoming.route.maddr_cut:
            write_other_parameters(&writer, message.data, incoming.route.uri_parameters)
        elif uri.parameters.size:
            put(&writer, b";", 1)
            put(&writer, message.data + uri.parameters.start, uri.parameters.size)
        return 0 if writer.full else <uint32_t>(writer.at - writer.start)

    # If the Request-URI had been given the old target's host, it gets the new one's. 0 = stays.
    cdef uint32_t retarget_uri(
        self, const Message* sent, const ClientTransaction* old, const NextHop* next_hop, uint8_t* out
    ) noexcept nogil:
        cdef const GatewayEntry* gateway
        cdef const Uri* uri = &sent.request_uri
        cdef const TargetEntry* before
        cdef const TargetEntry* after
        cdef Writer writer
        cdef const uint8_t* host = sent.data + uri.host.start
        cdef uint32_t end = uri.whole.start + uri.whole.size
        if next_hop.gateway == NO_GATEWAY:
            return 0
        gateway = &self.routing.gateways[next_hop.gateway]
        before, after = &self.routing.gateways[old.gateway].targets[old.target], &gateway.targets[next_hop.target]
        if not gateway.rewrite_host or uri.host.start + before.text_size > end or not sip_equal_nocase(
            host, <const char*>before.text, before.text_size
        ):
            return 0
        writer = writer_over(out, URI_ROOM)
        put(&writer, sent.data + uri.whole.start, uri.host.start - uri.whole.start)
        put(&writer, after.text, after.text_size)
        put(&writer, host + before.text_size, end - uri.host.start - before.text_size)
        return 0 if writer.full else <uint32_t>(writer.at - writer.start)

    cdef uint8_t routed_by(self, const ClientTransaction* client) noexcept nogil:
        return <uint8_t>self.listeners[client.listener].datagram if client.flags & CLIENT_MOVED else client.listener

    # What a target's answer, or its silence, says of it; of no use once another routing is in force.
    cdef void note_health(self, const ClientTransaction* client, bint alive) noexcept nogil:
        cdef GatewayEntry* entry
        cdef TargetEntry* t
        if client.gateway == NO_GATEWAY or client.routing != self.routing.generation:
            return
        entry = &self.routing.gateways[client.gateway]
        t = &entry.targets[client.target]
        if not same_address(&t.address, &client.destination):
            return               # its name leads elsewhere by now
        if alive == (not t.down):
            t.streak = 0
            return
        t.streak += 1
        if t.streak >= (entry.up_after if alive else entry.down_after):
            t.down = not alive
            t.streak = 0


cdef void write_route_line(
    Writer* lines, const ListenerEntry* listener, uint8_t worker, uint64_t cookie
) noexcept nogil:
    put(lines, b"Record-Route: ", 14)
    put(lines, listener.route.data, listener.route.size)
    put_hex(lines, worker, 2)
    put_hex(lines, cookie, 16)
    put(lines, b">\r\n", 3)


# All but maddr and transport.
cdef void write_other_parameters(Writer* writer, const uint8_t* data, Slice parameters) noexcept nogil:
    cdef uint32_t at = parameters.start
    cdef uint32_t end = parameters.start + parameters.size
    cdef uint32_t start
    while at < end:
        start = at
        while at < end and data[at] != 59:
            at += 1
        if not is_named(data, start, at, b"maddr", 5) and not is_named(data, start, at, b"transport", 9):
            put(writer, b";", 1)
            put(writer, data + start, at - start)
        at += 1


cdef inline bint is_named(
    const uint8_t* data, uint32_t start, uint32_t end, const char* name, uint32_t size
) noexcept nogil:
    return start + size <= end and sip_equal_nocase(data + start, name, size) and (
        start + size == end or data[start + size] == 61
    )
