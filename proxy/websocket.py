"""SIP over WebSocket, the server's side (RFC 7118): one SIP message a WebSocket message, subprotocol `sip`.

Without I/O: bytes in, messages out, and bytes that the protocol itself wants sent. The library knows RFC 6455; here
stands what RFC 7118 and the limits ask of it. The interface is that of `proxy.sip.framing.StreamFramer`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from websockets.exceptions import InvalidHandshake
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Origin, Subprotocol

_SIP = Subprotocol("sip")
_KEEPALIVES = (b"", b"\r\n", b"\r\n\r\n")


class WebSocketFramer:
    """The messages of one connection, whose Content-Length may be left out (RFC 7118 section 5).

    origins: which pages may connect; none: every one, and programs without an Origin too. max_message: bytes.
    """

    status = 0
    refused = b""

    def __init__(self, origins: Sequence[str], max_message: int) -> None:
        allowed = [Origin(origin) for origin in origins] or None
        # Extensions are left out: a compressed message would cost more memory than its bytes on the wire say.
        self._protocol = ServerProtocol(
            origins=allowed, extensions=None, subprotocols=[_SIP], select_subprotocol=_select, max_size=max_message
        )
        self._messages: deque[bytes] = deque()
        self._partial: bytearray | None = None  # a message whose last frame has not come
        self._held = bytearray()  # since the last whole frame, or the beginning
        self._read = 0  # of it

    @property
    def ended(self) -> bool:
        """Nothing more will come: refused, failed or closed by the peer; `take_replies` has what is to be sent."""
        return (
            self._protocol.state is State.CLOSED
            or self._protocol.handshake_exc is not None
            or self._protocol.close_expected()
        )

    @property
    def under_way(self) -> bool:
        """Whether the handshake or a message has begun and is not complete."""
        return self._protocol.state is State.CONNECTING or self._partial is not None or bool(self._held)

    def feed(self, data: bytes | memoryview) -> None:
        """Takes what was received; `next_message` looks at it."""
        if not self.ended:
            self._held += data

    @property
    def ahead(self) -> bytes:
        """What `next_message` is going to look at, from the last whole frame on; b"" if nothing."""
        return bytes(self._held) if self._read < len(self._held) else b""

    def next_message(self) -> bytes | None:
        """The next whole message; None if it has not come yet."""
        if self._read < len(self._held):
            self._read_on()
        return self._messages.popleft() if self._messages else None

    def take_replies(self) -> bytes:
        """The answer to the handshake, pongs, and the end of a connection that is to be closed."""
        return b"".join(self._protocol.data_to_send())

    def encode(self, message: bytes) -> bytes:
        """A SIP message as a WebSocket message: text where it is text, as browsers expect it."""
        if self._protocol.state is not State.OPEN:
            return b""
        try:
            message.decode()
        except UnicodeDecodeError:
            self._protocol.send_binary(message)
        else:
            self._protocol.send_text(message)
        return self.take_replies()

    def ping(self) -> bytes:
        """A ping, b"" before the handshake is done."""
        if self._protocol.state is not State.OPEN:
            return b""
        self._protocol.send_ping(b"")
        return self.take_replies()

    def _read_on(self) -> None:
        data, self._read = bytes(self._held[self._read :]), len(self._held)
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            self._held.clear()
            self._read = 0
            if isinstance(event, Request):
                self._accept(event)
            else:
                assert isinstance(event, Frame)
                self._take(event)

    def _accept(self, request: Request) -> None:
        if self._protocol.close_expected():
            return  # what came behind the request was no frame: the connection has failed already
        response = self._protocol.accept(request)
        self._protocol.send_response(response)

    def _take(self, frame: Frame) -> None:
        """The library has seen to the order of frames and to the size of the whole message."""
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if self._partial is None:
            self._partial = bytearray()
        self._partial += frame.data
        if frame.fin:
            if bytes(self._partial) not in _KEEPALIVES:
                self._messages.append(bytes(self._partial))
            self._partial = None


def _select(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """RFC 7118 section 4.1: a client that does not ask for `sip` is not one of ours."""
    if _SIP not in offered:
        raise InvalidHandshake("the subprotocol is sip (RFC 7118)")
    return _SIP
