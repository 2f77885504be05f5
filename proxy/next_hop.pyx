"""The next hop (RFC 3261 section 16.6 steps 6 and 7, RFC 3263).

A name is looked up in the cache of names and never waited for: what is not known is asked for, and the request is told
to wait. A contact that leads nowhere gives way to the address that the call's other side has.
"""

from engine._decision cimport ACTION_DIVERT
from proxy.prefix_routes cimport NO_ROUTE, RouteEntry
from proxy.routing_table cimport COMPAT_NONE, PEER_TRUNK
from proxy.call_limits cimport NO_LIMIT
from proxy.name_cache cimport ANY_TRANSPORT, MAX_NAME, NameEntry, NameQuery
from proxy.sip.address cimport is_unicast, parse_ip
from proxy.sip.grammar cimport Slice, sip_equal_nocase
from proxy.sip.name_addr cimport NameAddr
from proxy.sip.route cimport read_route
from proxy.own_addresses cimport transport_of_uri
from proxy.sip.transaction cimport NO_GATEWAY
from proxy.sip.transport cimport default_port, is_secure
from proxy.sip.uri cimport SCHEME_SIPS, find_parameter, parse_uri


cdef class NextHops(RouteReading):
    """calls: room for calls in progress."""

    def __init__(self, listeners, int worker, bytes secret, int calls):
        super().__init__(listeners, worker, secret)
        self.calls = Calls(calls, secret[16:32])
        self.names = NameCache(secret[16:32])

    cdef HopOutcome find_next_hop(self, Incoming* incoming, Call* call, NextHop* hop) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef NameAddr value
        cdef Uri uri
        hop.gateway = NO_GATEWAY
        hop.route = NO_ROUTE
        hop.target = 0
        hop.position = 0
        hop.name = 0
        hop.secure = message.request_uri.scheme == SCHEME_SIPS
        hop.listener = <uint8_t>incoming.route.listener if incoming.route.listener >= 0 else incoming.listener
        if incoming.peer.kind == PEER_TRUNK and self.is_redirected(incoming.peer.index):
            return HOP_NONE      # it is answered, and nothing of it is forwarded
        if call != NULL and call.event.verdict.action == ACTION_DIVERT:
            return self.hop_of_divert(incoming, call, hop)
        if read_route(message, incoming.route.rest, &value) == 1:
            parse_uri(message.data, value.uri.start, value.uri.start + value.uri.size, &uri)
            return self.hop_by_message(incoming, &uri, call, hop)
        if message.to_tag.size:
            uri = message.request_uri
            return self.hop_by_message(incoming, &uri, call, hop)
        if incoming.peer.kind != PEER_TRUNK:
            return HOP_NONE
        hop.route = self.routing.route_of(incoming.peer.index, call.event.callee if call != NULL else 0)
        return self.next_target(call, 0, incoming.now_us, hop)

    # A diverted call goes nowhere else: not where it says itself, nor to the place that a reload gave the index to.
    cdef HopOutcome hop_of_divert(self, Incoming* incoming, Call* call, NextHop* hop) noexcept nogil:
        cdef NameAddr value
        if incoming.message.to_tag.size or read_route(incoming.message, incoming.route.rest, &value) == 1:
            return HOP_NONE
        if call.event.generation != self.routing.generation:
            return HOP_NONE
        hop.route = self.routing.route_of_divert(call.event.verdict.divert)
        return HOP_NONE if hop.route == NO_ROUTE else self.next_target(call, 0, incoming.now_us, hop)

    cdef bint is_redirected(self, uint16_t trunk) noexcept nogil:
        return self.routing.trunks[trunk].redirection.compat != COMPAT_NONE

    # The topmost Route, or the Request-URI within a dialog. The other side of a call is where its signalling came from
    # or went to, should its Contact lead nowhere.
    cdef HopOutcome hop_by_message(
        self, Incoming* incoming, Uri* uri, Call* call, NextHop* hop
    ) noexcept nogil:
        cdef HopOutcome outcome = self.hop_by_uri(incoming, uri, hop)
        cdef bint secure
        if outcome != HOP_NONE:
            return outcome
        hop.name = 0
        if self.hop_by_call(incoming, hop):
            secure = is_secure(self.listeners[hop.listener].transport)
            return HOP_FOUND if secure or not hop.secure else HOP_INSECURE
        # The network behind the gateway knows its own names (RFC 3261 section 16.6 step 6, local policy).
        if incoming.peer.kind != PEER_TRUNK or not self.is_foreign_name(incoming.message, uri):
            return HOP_NONE
        hop.route = self.routing.trunks[incoming.peer.index].route
        return self.next_target(call, 0, incoming.now_us, hop)

    cdef bint is_foreign_name(self, const Message* message, const Uri* uri) noexcept nogil:
        cdef Address address
        cdef int listener
        if uri.host.size == 0 or parse_ip(message.data + uri.host.start, uri.host.size, &address):
            return False
        return not self.is_own_host(message, uri, &listener)

    cdef HopOutcome hop_by_uri(self, Incoming* incoming, const Uri* uri, NextHop* hop) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef Uri target = uri[0]
        cdef int transport, listener
        if uri.host.size == 0:
            return HOP_NONE
        find_parameter(message.data, uri.parameters, b"maddr", 5, &target.host)
        if self.is_own_host(message, &target, &listener):
            return HOP_NONE      # names us, and not the other side of the dialog
        if not parse_ip(message.data + target.host.start, target.host.size, &hop.destination):
            return self.hop_by_name(incoming, &target, hop)
        transport = transport_of_uri(message, &target)
        if transport < 0 or not is_unicast(&hop.destination):
            return HOP_NONE
        hop.destination.flow = 0
        hop.destination.port = <uint16_t>(target.port if target.port > 0 else default_port(<uint8_t>transport))
        if hop.secure and not is_secure(<uint8_t>transport):
            return HOP_INSECURE
        return HOP_FOUND if self.leaves_by(transport, hop) else HOP_NONE

    cdef HopOutcome hop_by_name(self, Incoming* incoming, const Uri* uri, NextHop* hop) noexcept nogil:
        cdef const Message* message = incoming.message
        cdef const NameEntry* entry
        cdef NameQuery query
        cdef Slice named
        cdef int transport = ANY_TRANSPORT
        if find_parameter(message.data, uri.parameters, b"transport", 9, &named):
            transport = transport_of_uri(message, uri)
        if transport < 0 or uri.host.size > MAX_NAME or is_never_a_name(message, uri):
            return HOP_NONE
        query.host, query.size = message.data + uri.host.start, uri.host.size
        query.port = <uint16_t>uri.port if uri.port > 0 else 0
        query.transport = <uint8_t>transport
        query.secure = hop.secure or uri.scheme == SCHEME_SIPS
        hop.name = self.names.key_of(&query)
        entry = self.names.find(&query, hop.name, incoming.now_us)
        if entry == NULL:
            return HOP_NONE if incoming.waited else HOP_WAIT
        return self.next_place(0, hop)

    cdef HopOutcome next_place(self, uint64_t tried, NextHop* hop) noexcept nogil:
        cdef const NameEntry* entry = self.names.known(hop.name)
        cdef int place = self.names.next_place(entry, tried) if entry != NULL else -1
        while place >= 0:
            hop.destination = entry.places[place].address
            if self.leaves_by(entry.places[place].transport, hop):
                hop.target = <uint16_t>place
                return HOP_FOUND
            tried |= <uint64_t>1 << place
            place = self.names.next_place(entry, tried)
        return HOP_NONE

    cdef void note_place(self, uint64_t name, uint16_t place) noexcept nogil:
        cdef NameEntry* entry = self.names.known(name)
        if entry != NULL:
            entry.failed |= <uint8_t>(1 << place)

    cdef bint leaves_by(self, int transport, NextHop* hop) noexcept nogil:
        cdef int listener = self.listener_for(transport, hop.destination.is_ipv4, hop.listener)
        if listener >= 0:
            hop.listener = <uint8_t>listener
        return listener >= 0

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

    cdef HopOutcome next_target(self, Call* call, uint64_t tried, int64_t now_us, NextHop* hop) noexcept nogil:
        cdef const RouteEntry* route = &self.routing.routes[hop.route]
        cdef HopOutcome outcome = HOP_NONE
        cdef uint16_t gateway
        cdef int target
        while hop.position < route.count:
            gateway = route.gateways[hop.position]
            target = self.routing.choose_target(gateway, tried, hop.secure)
            if target < 0:
                if hop.secure and tried == 0:
                    outcome = HOP_INSECURE
            elif not self.enters(call, gateway, now_us):
                outcome = HOP_CAPPED
            else:
                hop.gateway = gateway
                hop.target = <uint16_t>target
                hop.listener = self.routing.gateways[gateway].targets[target].listener
                hop.destination = self.routing.gateways[gateway].targets[target].address
                return HOP_FOUND
            hop.position += 1
            tried = 0
        return outcome

    # Counts the call in at this gateway, and out at the one it was at before. False: there is no room for it.
    cdef bint enters(self, Call* call, uint16_t gateway, int64_t now_us) noexcept nogil:
        cdef uint16_t limit = self.routing.gateways[gateway].limit
        if call == NULL or call.gateway_limit == limit:
            return True
        self.calls.limits.leave(call.gateway_limit)
        call.gateway_limit = limit if self.calls.limits.admit(limit, now_us) else NO_LIMIT
        return call.gateway_limit == limit

    # Whether anybody is left to try should this target stay silent.
    cdef bint has_alternative(self, const NextHop* hop, uint64_t tried) noexcept nogil:
        cdef NextHop following = hop[0]
        if hop.name:
            return self.next_place(tried, &following) == HOP_FOUND
        if hop.route == NO_ROUTE:
            return False
        if hop.position + 1 < self.routing.routes[hop.route].count:
            return True
        return self.routing.untried(hop.gateway, tried, hop.secure) != 0


# RFC 7118 section 5.2: WebSocket clients have no address, and put this into their Contact.
cdef bint is_never_a_name(const Message* message, const Uri* uri) noexcept nogil:
    cdef const uint8_t* end = message.data + uri.host.start + uri.host.size
    return uri.host.size > 8 and sip_equal_nocase(end - 8, b".invalid", 8)
