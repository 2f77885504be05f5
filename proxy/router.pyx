"""Where requests go: our own Routes, Route, Request-URI, the call's other side, or a trunk's gateway.

RFC 3261 sections 16.4 to 16.6, RFC 3263 section 4.3 for the targets of a gateway.
"""

from libc.string cimport memcpy, memset
from proxy.outbox cimport Writer, put, put_hex, writer_over
from proxy.routing_table cimport COMPAT_NONE, PEER_TRUNK, GatewayEntry, TargetEntry
from proxy.sip.address cimport address_from_python, is_unicast, parse_ip, same_address, same_host
from proxy.sip.grammar cimport Slice, parse_hex, sip_equal_nocase
from proxy.sip.keyed_hash cimport KeyedHash, keyed_hash_add, keyed_hash_begin, keyed_hash_end
from proxy.sip.name_addr cimport NameAddr
from proxy.sip.route cimport first_route, next_route, read_route
from proxy.sip.transaction cimport CLIENT_MOVED, NO_GATEWAY
from proxy.sip.transport cimport TRANSPORT_TCP, TRANSPORT_TLS, TRANSPORT_UDP, default_port, transport_of
from proxy.sip.uri cimport SCHEME_SIP, SCHEME_SIPS, find_parameter, parse_uri
from proxy.trust_border cimport RIGHT_ASSERT, open_border

from typing import NamedTuple

from proxy.sip.transport import NAMES as TRANSPORT_NAMES


class ListenerAddress(NamedTuple):
    """Where a listener is bound (numeric), and what Via and Record-Route say of it. transport: as in a URI."""

    ip: str
    port: int
    advertised_host: str
    advertised_port: int
    transport: str = "udp"


cdef class Router:
    """Knows the listeners, the routing in force and the calls in progress; says where a request goes.

    listeners: ListenerAddress each. calls: room for calls in progress. secret: 32 bytes of the node.
    """

    def __init__(self, listeners, int worker, bytes secret, int calls):
        if not 0 < len(listeners) <= MAX_LISTENERS:
            raise ValueError(f"between 1 and {MAX_LISTENERS} listeners are possible")
        self.keep = []
        self.worker = worker
        self.calls = Calls(calls, secret[16:32])
        memcpy(self.secret, <const char*>secret, 16)
        self.listener_count = len(listeners)
        for index, listener in enumerate(listeners):
            self.set_listener(index, *listener)
        self.pair_listeners()

    cdef Text text(self, bytes value):
        cdef Text result
        self.keep.append(value)
        result.data = <const uint8_t*>value
        result.size = <uint32_t>len(value)
        return result

    def set_listener(self, int index, ip, port, host, advertised_port, transport="udp"):
        cdef ListenerEntry* entry = &self.listeners[index]
        sent_by = f"{host}:{advertised_port}"
        entry.transport = TRANSPORT_NAMES.index(transport)
        entry.host = self.text(host.encode("ascii"))
        entry.sent_by = self.text(sent_by.encode("ascii"))
        entry.via = self.text(f"SIP/2.0/{transport.upper()} {sent_by}".encode("ascii"))
        entry.route = self.text(route_start(sent_by, transport).encode("ascii"))
        address_from_python(ip, port, &entry.bound)
        memset(&entry.advertised, 0, sizeof(Address))
        parse_ip(entry.host.data, entry.host.size, &entry.advertised)
        entry.advertised.port = advertised_port

    def pair_listeners(self):
        """Finds for each UDP listener the TCP listener of the same address, and the other way round."""
        cdef int u, t
        for u in range(self.listener_count):
            self.listeners[u].stream = self.listeners[u].datagram = -1
        for u in range(self.listener_count):
            for t in range(self.listener_count):
                if (self.listeners[u].transport == TRANSPORT_UDP and self.listeners[t].transport == TRANSPORT_TCP
                        and same_address(&self.listeners[u].bound, &self.listeners[t].bound)):
                    self.listeners[u].stream, self.listeners[t].datagram = t, u

    # RFC 3261 section 16.4: our own Route values go; what our Record-Route put into them comes back here.
    cdef void read_routes(self, const Message* message, RouteState* state) noexcept nogil:
        cdef NameAddr value
        cdef Uri uri
        cdef Slice cookie
        cdef uint64_t worker, proof
        cdef int outcome, listener
        state.rest = first_route(message)
        state.cut = state.has_cookie = state.malformed = False
        state.worker = state.listener = -1
        while True:
            outcome = read_route(message, state.rest, &value)
            if outcome == 0:
                return
            if outcome < 0 or not parse_uri(
                message.data, value.uri.start, value.uri.start + value.uri.size, &uri
            ):
                state.malformed = True
                return
            if not self.is_own_host(message, &uri, &listener):
                return
            state.cut = True
            state.listener = listener
            if find_parameter(message.data, uri.parameters, b"cs", 2, &cookie) and cookie.size == 18:
                if parse_hex(message.data + cookie.start, 2, &worker) and parse_hex(
                    message.data + cookie.start + 2, 16, &proof
                ):
                    if proof == self.route_cookie(message, message.from_tag) or proof == self.route_cookie(
                        message, message.to_tag
                    ):
                        state.has_cookie = True
                        state.worker = <int>worker
            state.rest = next_route(message, state.rest, &value)

    # Proof that a dialog was set up through this node: nobody outside can make one for a Call-ID and the tag of the side
    # that opened it, which is the From-tag of that side's requests and the To-tag of the other's.
    cdef uint64_t route_cookie(self, const Message* message, Slice tag) noexcept nogil:
        cdef KeyedHash hash_
        keyed_hash_begin(&hash_, self.secret)
        keyed_hash_add(&hash_, message.data + message.call_id.start, message.call_id.size)
        keyed_hash_add(&hash_, message.data + tag.start, tag.size)
        return keyed_hash_end(&hash_)

    cdef bint is_own_host(self, const Message* message, const Uri* uri, int* listener) noexcept nogil:
        cdef int transport, i
        cdef bint secure = uri.scheme == SCHEME_SIPS
        if uri.scheme != SCHEME_SIP and uri.scheme != SCHEME_SIPS:
            return False
        transport = transport_of_uri(message, uri)
        listener[0] = -1
        for i in range(self.listener_count):
            if not self.is_own_address(
                message, uri.host, uri.port if uri.port > 0 else 5061 if secure else 5060, i
            ):
                continue
            if listener[0] < 0 or self.listeners[i].transport == transport:
                listener[0] = i
            if self.listeners[i].transport == transport:
                return True
        return listener[0] >= 0

    cdef bint is_own_address(self, const Message* message, Slice host, int port, int listener) noexcept nogil:
        cdef const ListenerEntry* entry = &self.listeners[listener]
        cdef const uint8_t* text = message.data + host.start
        cdef Address address
        if parse_ip(text, host.size, &address):
            return (port == entry.advertised.port and same_host(&address, &entry.advertised)) or (
                port == entry.bound.port and same_host(&address, &entry.bound)
            )
        return port == entry.advertised.port and host.size == entry.host.size and sip_equal_nocase(
            text, <const char*>entry.host.data, entry.host.size
        )

    # RFC 3261 section 18.1.2: a response whose top Via is not ours is dropped.
    cdef bint is_own_via(self, const Message* message) noexcept nogil:
        cdef int port = message.via.port
        cdef int i
        for i in range(self.listener_count):
            if self.is_own_address(
                message, message.via.host, port if port > 0 else default_port(self.listeners[i].transport), i
            ):
                return True
        return False

    cdef int listener_for(self, int transport, bint is_ipv4, int preferred) noexcept nogil:
        cdef int i
        if preferred >= 0 and self.listeners[preferred].transport == transport and (
            self.listeners[preferred].bound.is_ipv4 == is_ipv4
        ):
            return preferred
        for i in range(self.listener_count):
            if self.listeners[i].transport == transport and self.listeners[i].bound.is_ipv4 == is_ipv4:
                return i
        return -1

    cdef bint is_redirected(self, uint16_t trunk) noexcept nogil:
        return self.routing.trunks[trunk].redirection.compat != COMPAT_NONE

    # False: there is no way to go.
    cdef bint find_next_hop(self, Incoming* incoming, NextHop* hop) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef NameAddr value
        cdef Uri uri
        hop.gateway = NO_GATEWAY
        hop.target = 0
        if incoming.peer.kind == PEER_TRUNK and self.is_redirected(incoming.peer.index):
            return False         # it is answered, and nothing of it is forwarded
        hop.listener = <uint8_t>incoming.route.listener if incoming.route.listener >= 0 else incoming.listener
        if read_route(message, incoming.route.rest, &value) == 1:
            parse_uri(message.data, value.uri.start, value.uri.start + value.uri.size, &uri)
            return self.hop_by_target(incoming, &uri, hop)
        if message.to_tag.size:
            uri = message.request_uri
            return self.hop_by_target(incoming, &uri, hop)
        if incoming.peer.kind != PEER_TRUNK:
            return False
        return self.hop_by_gateway(self.routing.trunks[incoming.peer.index].gateway, 0, hop)

    # The topmost Route, or the Request-URI within a dialog.
    cdef bint hop_by_target(self, Incoming* incoming, Uri* uri, NextHop* hop) noexcept nogil:
        if self.hop_by_uri(incoming.message, uri, hop) or self.hop_by_call(incoming, hop):
            return True
        # The network behind the gateway knows its own names (RFC 3261 section 16.6 step 6, local policy).
        if incoming.peer.kind != PEER_TRUNK or not self.is_foreign_name(incoming.message, uri):
            return False
        return self.hop_by_gateway(self.routing.trunks[incoming.peer.index].gateway, 0, hop)

    cdef bint is_foreign_name(self, const Message* message, const Uri* uri) noexcept nogil:
        cdef Address address
        cdef int listener
        if uri.host.size == 0 or parse_ip(message.data + uri.host.start, uri.host.size, &address):
            return False
        return not self.is_own_host(message, uri, &listener)

    cdef bint hop_by_uri(self, const Message* message, Uri* uri, NextHop* hop) noexcept nogil:
        cdef int listener, transport
        if uri.host.size == 0 or not parse_ip(message.data + uri.host.start, uri.host.size, &hop.destination):
            return False
        if self.is_own_host(message, uri, &listener):
            return False         # names us, and not the other side of the dialog
        transport = transport_of_uri(message, uri)
        listener = self.listener_for(transport, hop.destination.is_ipv4, hop.listener)
        if transport < 0 or listener < 0:
            return False
        hop.listener = <uint8_t>listener
        hop.destination.flow = 0
        hop.destination.port = <uint16_t>(uri.port if uri.port > 0 else default_port(<uint8_t>transport))
        return is_unicast(&hop.destination)

    # A Contact that is a name: the other side of the call is where its signalling came from or went to.
    cdef bint hop_by_call(self, Incoming* incoming, NextHop* hop) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef uint32_t index = self.calls.find(message)
        cdef Call* call
        cdef uint64_t tag
        if index == 0:
            return False
        call = &self.calls.calls[index]
        tag = self.calls.tag_hash(message.data + message.from_tag.start, message.from_tag.size)
        if tag == call.caller_tag:
            hop.destination, hop.listener = call.callee, call.callee_listener
        else:
            hop.destination, hop.listener = call.caller, call.caller_listener
        return True

    cdef bint hop_by_gateway(self, uint16_t gateway, uint64_t tried, NextHop* hop) noexcept nogil:
        cdef int target = self.routing.choose_target(gateway, tried)
        if target < 0:
            return False
        hop.gateway = gateway
        hop.target = <uint16_t>target
        hop.listener = self.routing.gateways[gateway].targets[target].listener
        hop.destination = self.routing.gateways[gateway].targets[target].address
        return True

    cdef void fill_hop(self, Incoming* incoming, const NextHop* next_hop, Hop* hop) noexcept nogil:
        cdef const Message* message = incoming.message
        memset(hop, 0, sizeof(Hop))
        self.fill_via(next_hop.listener, hop)
        hop.source = incoming.source
        hop.cut_routes = incoming.route.cut
        hop.routes = incoming.route.rest
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
                self.routing.rights_of(self.routing.peer_of(&next_hop.destination)) & RIGHT_ASSERT, NULL, 0
            )
            return
        gateway = &self.routing.gateways[next_hop.gateway]
        open_border(
            border, incoming.message, rights, gateway.trusted, gateway.display if incoming.tagged else NULL,
            gateway.display_size
        )

    cdef bint open_response_border(
        self, const Message* message, const Address* sender, const Address* receiver, Border* border
    ) noexcept nogil:
        if not message.at_border:
            return False
        open_border(
            border, message, self.routing.rights_of(self.routing.peer_of(sender)),
            self.routing.rights_of(self.routing.peer_of(receiver)) & RIGHT_ASSERT, NULL, 0
        )
        return True

    cdef void fill_via(self, uint8_t listener, Hop* hop) noexcept nogil:
        hop.via = self.listeners[listener].via.data
        hop.via_size = self.listeners[listener].via.size

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

    # A Request-URI that names this proxy gets the host of the target; any other stays (section 16.5). 0 = stays.
    cdef uint32_t write_new_uri(self, const Message* message, const NextHop* next_hop, uint8_t* out) noexcept nogil:
        cdef const Uri* uri = &message.request_uri
        cdef const TargetEntry* target
        cdef Writer writer
        cdef int listener
        if next_hop.gateway == NO_GATEWAY or not self.routing.gateways[next_hop.gateway].rewrite_host:
            return 0
        if not self.is_own_host(message, uri, &listener):
            return 0
        target = &self.routing.gateways[next_hop.gateway].targets[next_hop.target]
        writer = writer_over(out, URI_ROOM)
        put(&writer, message.data + uri.whole.start, uri.host.start - uri.whole.start)
        put(&writer, target.text, target.text_size)
        if uri.parameters.size:
            put(&writer, b";", 1)
            put(&writer, message.data + uri.parameters.start, uri.parameters.size)
        return 0 if writer.full else <uint32_t>(writer.at - writer.start)

    # If the Request-URI had been given the old target's host, it gets the new one's. 0 = stays.
    cdef uint32_t retarget_uri(
        self, const Message* sent, const ClientTransaction* old, const NextHop* next_hop, uint8_t* out
    ) noexcept nogil:
        cdef GatewayEntry* gateway = &self.routing.gateways[next_hop.gateway]
        cdef const Uri* uri = &sent.request_uri
        cdef const TargetEntry* before = &gateway.targets[old.target]
        cdef const TargetEntry* after = &gateway.targets[next_hop.target]
        cdef Writer writer
        cdef const uint8_t* host = sent.data + uri.host.start
        cdef uint32_t end = uri.whole.start + uri.whole.size
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


# RFC 5658 section 6.2, RFC 5630: the transport is named, but for UDP which is the default, and TLS which is sips.
def route_start(sent_by, transport):
    scheme = "sips" if transport in ("tls", "wss") else "sip"
    named = {"tcp": ";transport=tcp", "ws": ";transport=ws", "wss": ";transport=ws"}.get(transport, "")
    return f"<{scheme}:{sent_by}{named};lr;cs="


# RFC 3263 section 4.1 without NAPTR: what the URI names, else UDP, and TLS for sips. -1 = none of ours.
cdef int transport_of_uri(const Message* message, const Uri* uri) noexcept nogil:
    cdef Slice name
    cdef bint secure = uri.scheme == SCHEME_SIPS
    if find_parameter(message.data, uri.parameters, b"transport", 9, &name):
        return transport_of(message.data + name.start, name.size, secure)
    return TRANSPORT_TLS if secure else TRANSPORT_UDP
