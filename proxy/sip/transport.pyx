"""Transports by name."""

from proxy.sip.grammar cimport sip_equal_nocase

# In the order of `Transport`.
NAMES = ("udp", "tcp", "tls", "ws", "wss")


cdef int transport_of(const uint8_t* name, uint32_t size, bint secure) noexcept nogil:
    if size == 3 and sip_equal_nocase(name, b"udp", 3):
        return -1 if secure else TRANSPORT_UDP
    if size == 3 and sip_equal_nocase(name, b"tcp", 3):
        return TRANSPORT_TLS if secure else TRANSPORT_TCP
    if size == 3 and sip_equal_nocase(name, b"tls", 3):
        return TRANSPORT_TLS
    if size == 2 and sip_equal_nocase(name, b"ws", 2):
        return TRANSPORT_WSS if secure else TRANSPORT_WS
    if size == 3 and sip_equal_nocase(name, b"wss", 3):
        return TRANSPORT_WSS
    return -1
