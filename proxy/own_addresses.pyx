"""Our own addresses: the listeners, what Via and Record-Route say of them, and what in a message names one of them."""

from libc.string cimport memset
from proxy.sip.address cimport address_from_python, parse_ip, same_address, same_host
from proxy.sip.grammar cimport Slice, sip_equal_nocase
from proxy.sip.transport cimport TRANSPORT_TCP, TRANSPORT_TLS, TRANSPORT_UDP, default_port, transport_of
from proxy.sip.uri cimport SCHEME_SIP, SCHEME_SIPS, find_parameter

from proxy.sip.transport import NAMES as TRANSPORT_NAMES


cdef class OwnAddresses:
    """listeners: proxy.router.ListenerAddress each."""

    def __init__(self, listeners):
        if not 0 < len(listeners) <= MAX_LISTENERS:
            raise ValueError(f"between 1 and {MAX_LISTENERS} listeners are possible")
        self.keep = []
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
        via = f"SIP/2.0/{transport.upper()} {sent_by}"
        entry.via = self.text(via.encode("ascii"))
        entry.asking_via = self.text(f'{via};oc;oc-algo="loss,rate"'.encode("ascii"))
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

    cdef void fill_via(self, uint8_t listener, bint asks_overload, Hop* hop) noexcept nogil:
        cdef Text via = self.listeners[listener].asking_via if asks_overload else self.listeners[listener].via
        hop.via = via.data
        hop.via_size = via.size


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
