"""One connection: bytes between a transport of the event loop and a framer, with what is known of the peer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Protocol, cast

from proxy.tls_names import certificate_names

_LINGER_S = 1.0  # how long a peer that is being refused has to read why


class Framer(Protocol):
    """What `proxy.sip.framing.StreamFramer` and `proxy.websocket.WebSocketFramer` have in common."""

    @property
    def status(self) -> int: ...
    @property
    def refused(self) -> bytes: ...
    @property
    def under_way(self) -> bool: ...
    @property
    def ended(self) -> bool: ...
    def feed(self, data: memoryview) -> None: ...
    @property
    def ahead(self) -> bytes: ...
    def next_message(self) -> bytes | None: ...
    def take_replies(self) -> bytes: ...
    def encode(self, message: bytes) -> bytes: ...
    def ping(self) -> bytes: ...


class Owner(Protocol):
    """Who is told what happens to a connection."""

    receive_buffer: memoryview  # one for all: it is emptied before anything else is received

    def opened(self, connection: Connection) -> None: ...
    def received(self, connection: Connection) -> None: ...
    def overflowed(self, connection: Connection) -> None: ...
    def lost(self, connection: Connection) -> None: ...


class Connection(asyncio.BufferedProtocol):
    """flow: its number, unique in the node. peer: (ip, port). incoming: it was opened by the peer.

    expected_names: identities of which the peer's certificate must have one (RFC 5922 section 7.3); None: any will do.
    max_queue: bytes that may wait to be sent; a peer that takes them more slowly is cut off.
    """

    def __init__(
        self,
        owner: Owner,
        listener: int,
        flow: int,
        peer: tuple[str, int],
        framer: Framer,
        *,
        incoming: bool,
        max_queue: int,
        expected_names: Iterable[str] | None = None,
    ) -> None:
        self.listener = listener
        self.flow = flow
        self.peer = peer
        self.framer = framer
        self.incoming = incoming
        self.expected_names = expected_names
        self.names: frozenset[str] = frozenset()  # of the peer's certificate
        self.tls_trunk = -1
        self.alias: tuple[int, str, int] | None = None  # where requests may be sent by it (RFC 5923)
        self.waits = False  # its turn is over, and more of what it sent is there
        self._owner = owner
        self._max_queue = max_queue
        self._transport: asyncio.Transport | None = None
        self._closing = False
        self._queue: list[tuple[bytes, int]] = []  # until the connection is there
        self._queue_bytes = 0
        self._written = 0
        self._unsent: deque[tuple[int, int]] = deque()  # (end in the stream, token) of requests not known to be sent

    @property
    def usable(self) -> bool:
        """Whether a message given to `send` has a chance."""
        return not self._closing

    def send(self, message: bytes, token: int) -> bool:
        """False: it was not taken. A request taken that cannot be delivered shows up in `undelivered`."""
        if self._closing:
            return False
        if self._transport is None:
            if self._queue_bytes + len(message) > self._max_queue:
                return False
            self._queue.append((message, token))
            self._queue_bytes += len(message)
            return True
        self.write(self.framer.encode(message), token)
        return True

    def write(self, data: bytes, token: int = 0) -> None:
        """Sends bytes as they are."""
        if self._transport is None or self._transport.is_closing() or not data:
            return
        self._written += len(data)
        if token:
            self._unsent.append((self._written, token))
        self._transport.write(data)
        if self._unsent:
            self._forget_sent()

    def undelivered(self) -> list[int]:
        """Tokens of the requests that have not left; asked once it is lost."""
        if self._transport is not None:
            self._forget_sent()
        tokens = [*(token for _, token in self._queue if token), *(token for _, token in self._unsent)]
        self._queue.clear()
        self._unsent.clear()
        return tokens

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """What was given to it is still sent."""
        self._closing = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._forget_sent()
            self._transport.abort()

    def refuse(self) -> None:
        """Ends our side and reads on for a moment: a close with bytes unread would take the answer back (TCP reset)."""
        self._closing = True
        if self._transport is None or not self._transport.can_write_eof():
            self.close()
            return
        self._transport.write_eof()
        asyncio.get_running_loop().call_later(_LINGER_S, self.abort)

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._max_queue)
        if self._closing:
            self._transport.abort()
            return
        certificate = self._transport.get_extra_info("peercert")
        self.names = certificate_names(certificate) if certificate else frozenset()
        self._owner.opened(self)
        if not self._closing:
            queue, self._queue = self._queue, []
            for message, token in queue:
                self.write(self.framer.encode(message), token)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._owner.receive_buffer

    def buffer_updated(self, nbytes: int) -> None:
        if not self._closing:
            self.framer.feed(self._owner.receive_buffer[:nbytes])
            self._owner.received(self)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        """More than `max_queue` bytes wait."""
        self._owner.overflowed(self)
        self.abort()

    def resume_writing(self) -> None:
        """Nothing waits for it."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._owner.lost(self)
        self._transport = None  # which holds this in turn: without a cycle its memory is given back now

    def _forget_sent(self) -> None:
        assert self._transport is not None
        sent = self._written - self._transport.get_write_buffer_size()
        while self._unsent and self._unsent[0][0] <= sent:
            self._unsent.popleft()
