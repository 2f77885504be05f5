"""Route pre-processing (RFC 3261 section 16.4): our own Routes go, strict routers are made up for, maddr of ours goes.

A cookie in our Record-Route proves that a dialog was set up through this node, and says by which worker.
"""

from libc.string cimport memcpy
from proxy.sip.grammar cimport parse_hex
from proxy.sip.keyed_hash cimport KeyedHash, keyed_hash_add, keyed_hash_begin, keyed_hash_end
from proxy.sip.name_addr cimport NameAddr
from proxy.sip.route cimport first_route, next_route, read_route
from proxy.own_addresses cimport transport_of_uri
from proxy.sip.transport cimport default_port
from proxy.sip.uri cimport find_parameter, parse_uri

cdef enum:
    COOKIE_SIZE = 18         # worker 2, proof 16


cdef class RouteReading(OwnAddresses):
    """secret: 32 bytes of the node."""

    def __init__(self, listeners, int worker, bytes secret):
        super().__init__(listeners)
        self.worker = worker
        memcpy(self.secret, <const char*>secret, 16)

    cdef void read_routes(self, Message* message, uint8_t listener, RouteState* state) noexcept nogil:
        state.rest = first_route(message)
        state.edit.active = state.has_cookie = state.malformed = state.new_uri = state.maddr_cut = False
        state.edit.last_header = -1
        state.edit.append = NULL
        state.worker = state.listener = -1
        if self.is_recorded(message):
            self.read_cookie(message, &message.request_uri, state)
            state.malformed = not self.take_last_route(message, state)
        if not state.malformed:
            state.malformed = not self.take_own_routes(message, state)
        state.edit.first = state.rest
        self.cut_maddr(message, listener, state)

    # All that are ours in one pass: with double Record-Route there are two (RFC 5658 section 5).
    cdef bint take_own_routes(self, const Message* message, RouteState* state) noexcept nogil:
        cdef NameAddr value
        cdef Uri uri
        cdef int outcome, listener
        while True:
            if state.rest.header >= 0 and state.rest.header == state.edit.last_header and (
                state.rest.at >= state.edit.last_end
            ):
                state.rest.header = -1
            outcome = read_route(message, state.rest, &value)
            if outcome == 0:
                return True
            if outcome < 0 or not parse_uri(
                message.data, value.uri.start, value.uri.start + value.uri.size, &uri
            ):
                return False
            if not self.is_own_host(message, &uri, &listener):
                return True
            state.edit.active = True
            state.listener = listener
            self.read_cookie(message, &uri, state)
            state.rest = next_route(message, state.rest, &value)

    # The Request-URI is what we put into Record-Route: the last hop was a strict router.
    cdef bint is_recorded(self, const Message* message) noexcept nogil:
        cdef Slice cookie
        cdef int listener
        return (
            message.route_header >= 0
            and find_parameter(message.data, message.request_uri.parameters, b"cs", 2, &cookie)
            and cookie.size == COOKIE_SIZE
            and self.is_own_host(message, &message.request_uri, &listener)
        )

    # The last Route is where the request is meant to end: it becomes the Request-URI. False: malformed.
    cdef bint take_last_route(self, Message* message, RouteState* state) noexcept nogil:
        cdef RouteCursor cursor = first_route(message)
        cdef RouteCursor last = cursor
        cdef NameAddr value
        cdef uint32_t end = 0
        while cursor.header >= 0:
            if read_route(message, cursor, &value) != 1:
                return False
            state.edit.last_end = end if end and cursor.header == last.header else 0
            last = cursor
            end = value.end
            cursor = next_route(message, cursor, &value)
        state.edit.active = state.new_uri = True
        state.edit.last_header = last.header
        return parse_uri(message.data, value.uri.start, value.uri.start + value.uri.size, &message.request_uri)

    # Only if the request came as the URI says: by its port and transport.
    cdef void cut_maddr(self, Message* message, uint8_t listener, RouteState* state) noexcept nogil:
        cdef Uri* uri = &message.request_uri
        cdef Slice maddr
        cdef int transport
        state.uri_parameters = uri.parameters
        if uri.parameters.size == 0 or not find_parameter(message.data, uri.parameters, b"maddr", 5, &maddr):
            return
        transport = transport_of_uri(message, uri)
        if transport != self.listeners[listener].transport or not self.is_own_address(
            message, maddr, uri.port if uri.port > 0 else default_port(<uint8_t>transport), listener
        ):
            return
        state.maddr_cut = True
        uri.port = -1
        uri.parameters.size = 0

    cdef void read_cookie(self, const Message* message, const Uri* uri, RouteState* state) noexcept nogil:
        cdef Slice cookie
        cdef uint64_t worker, proof
        if not find_parameter(message.data, uri.parameters, b"cs", 2, &cookie) or cookie.size != COOKIE_SIZE:
            return
        if not parse_hex(message.data + cookie.start, 2, &worker) or not parse_hex(
            message.data + cookie.start + 2, 16, &proof
        ):
            return
        if proof == self.route_cookie(message, message.from_tag) or proof == self.route_cookie(message, message.to_tag):
            state.has_cookie = True
            state.worker = <int>worker

    # Proof that a dialog was set up through this node: nobody outside can make one for a Call-ID and the tag of the
    # side that opened it, which is the From-tag of that side's requests and the To-tag of the other's.
    cdef uint64_t route_cookie(self, const Message* message, Slice tag) noexcept nogil:
        cdef KeyedHash hash_
        keyed_hash_begin(&hash_, self.secret)
        keyed_hash_add(&hash_, message.data + message.call_id.start, message.call_id.size)
        keyed_hash_add(&hash_, message.data + tag.start, tag.size)
        return keyed_hash_end(&hash_)
