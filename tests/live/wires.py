"""How a test's own phone is joined to the proxy: a wire for each transport, whole SIP messages in and out.

Blocking, and on nothing of the proxy's own code: sockets, `ssl`, and the client's protocol of `websockets`.
"""

from __future__ import annotations

import re
import select
import socket
import ssl
import time
from abc import ABC, abstractmethod

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import Event, State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

Address = tuple[str, int]


class Wire(ABC):
    """transport: as Via spells it. place: host:port of this end, for Via and Contact."""

    transport: str
    place: str

    @abstractmethod
    def send(self, message: bytes) -> None:
        """To the proxy, or over the connection that the last message came by."""

    @abstractmethod
    def receive(self, timeout_s: float) -> bytes | None:
        """The next message, None if none comes in time."""

    @abstractmethod
    def close(self) -> None: ...


class UdpWire(Wire):
    """peer: where to send; None = where the last datagram came from."""

    transport = "UDP"

    def __init__(self, own: Address, peer: Address | None = None) -> None:
        self._socket = socket.socket(_family(own[0]), socket.SOCK_DGRAM)
        self._socket.bind(own)
        self._peer = peer
        self.place = _place(self._socket.getsockname())

    def send(self, message: bytes) -> None:
        assert self._peer is not None
        self._socket.sendto(message, self._peer)

    def receive(self, timeout_s: float) -> bytes | None:
        self._socket.settimeout(timeout_s)
        try:
            message, sender = self._socket.recvfrom(65536)
        except (TimeoutError, BlockingIOError):
            return None
        self._peer = self._peer or sender[:2]
        return message

    def close(self) -> None:
        self._socket.close()


class StreamWire(Wire):
    """A TCP or TLS connection to the proxy."""

    def __init__(self, peer: Address, source: str, tls: ssl.SSLContext | None = None) -> None:
        self.transport = "TLS" if tls else "TCP"
        end = socket.create_connection(peer, 10, source_address=(source, 0))
        self.place = _place(end.getsockname())
        self._stream = _Stream(tls.wrap_socket(end, server_hostname=peer[0]) if tls else end)

    def send(self, message: bytes) -> None:
        self._stream.end.sendall(message)

    def receive(self, timeout_s: float) -> bytes | None:
        return _next_message([self._stream], None, timeout_s)

    def close(self) -> None:
        self._stream.end.close()


class StreamServerWire(Wire):
    """Where the proxy connects to. Answers go over the connection that the last message came by."""

    def __init__(self, own: Address, tls: ssl.SSLContext | None = None) -> None:
        self.transport = "TLS" if tls else "TCP"
        self._listening = socket.create_server(own, family=_family(own[0]))
        self.place = _place(self._listening.getsockname())
        self._tls = tls
        self._streams: list[_Stream] = []

    def send(self, message: bytes) -> None:
        latest = max(self._streams, key=lambda stream: stream.heard_s)
        latest.end.sendall(message)

    def receive(self, timeout_s: float) -> bytes | None:
        return _next_message(self._streams, self._accept, timeout_s, self._listening)

    def close(self) -> None:
        for stream in self._streams:
            stream.end.close()
        self._listening.close()

    def _accept(self) -> None:
        end, _ = self._listening.accept()
        end.settimeout(10)
        self._streams.append(_Stream(self._tls.wrap_socket(end, server_side=True) if self._tls else end))


class WebSocketWire(Wire):
    """RFC 7118: each message is a frame; what a browser is called is known to nobody, so it names itself .invalid.

    The part of `websockets` without I/O, in one thread: its blocking client reads in another one, and two threads must
    not use one TLS connection of Python at once (CPython issue 143756).
    """

    def __init__(self, peer: Address, source: str, tls: ssl.SSLContext | None = None) -> None:
        self.transport = "WSS" if tls else "WS"
        self.place = "phone.invalid"
        end = socket.create_connection(peer, 10, source_address=(source, 0))
        self._end = tls.wrap_socket(end, server_hostname=peer[0]) if tls else end
        uri = parse_uri(f"{'wss' if tls else 'ws'}://{_place(peer)}/")
        self._protocol = ClientProtocol(uri, subprotocols=[Subprotocol("sip")])
        self._events: list[Event] = []
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        self._next_event(10)
        if self._protocol.state is not State.OPEN:
            raise self._protocol.handshake_exc or ConnectionError("no answer to the handshake")
        assert self._protocol.subprotocol == "sip"

    def send(self, message: bytes) -> None:
        self._protocol.send_binary(message)
        self._flush()

    def receive(self, timeout_s: float) -> bytes | None:
        deadline = time.monotonic() + timeout_s
        while (event := self._next_event(deadline - time.monotonic())) is not None:
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY):
                assert event.fin, "a message in pieces"
                return bytes(event.data)
        return None

    def close(self) -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.send_close()
            self._flush()
        self._end.close()

    def _next_event(self, timeout_s: float) -> Event | None:
        """The next frame, or the answer to the handshake."""
        deadline = time.monotonic() + timeout_s
        while not self._events:
            if not _readable([self._end], deadline - time.monotonic()):
                return None
            data = self._end.recv(65536)
            if not data:
                self._protocol.receive_eof()
                return None
            self._protocol.receive_data(data)
            self._flush()
            self._events += self._protocol.events_received()
        return self._events.pop(0)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._end.sendall(data)


class _Stream:
    """A connection and what has come of it that is no whole message yet."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.received = b""
        self.heard_s = time.monotonic()

    def cut(self) -> bytes | None:
        """The first whole message, by its Content-Length."""
        self.received = self.received.lstrip(b"\r\n")
        head, separator, rest = self.received.partition(b"\r\n\r\n")
        if not separator:
            return None
        length = re.search(rb"^(?:Content-Length|l)\s*:\s*(\d+)", head, re.IGNORECASE | re.MULTILINE)
        assert length, f"no Content-Length over a stream: {head!r}"
        if len(rest) < int(length[1]):
            return None
        size = len(head) + 4 + int(length[1])
        message, self.received = self.received[:size], self.received[size:]
        return message


def _next_message(
    streams: list[_Stream], accept: object, timeout_s: float, listening: socket.socket | None = None
) -> bytes | None:
    deadline = time.monotonic() + timeout_s
    while True:
        for stream in streams:
            if (message := stream.cut()) is not None:
                stream.heard_s = time.monotonic()
                return message
        waiting = [stream.end for stream in streams] + ([listening] if listening else [])
        ready = _readable(waiting, deadline - time.monotonic())
        if not ready:
            return None
        if listening in ready and callable(accept):
            accept()
        for stream in [stream for stream in streams if stream.end in ready]:
            data = stream.end.recv(65536)
            stream.received += data
            if not data:
                streams.remove(stream)


def _readable(ends: list[socket.socket], timeout_s: float) -> list[socket.socket]:
    """Those that have something to read, deciphered already or on the socket; waits for the first."""
    deciphered: list[socket.socket] = [end for end in ends if isinstance(end, ssl.SSLSocket) and end.pending()]
    return deciphered or select.select(ends, [], [], max(0, timeout_s))[0]


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _place(address: Address) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
