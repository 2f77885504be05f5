"""A stream edge on loopback with a list in place of the core: what is received and what becomes of what is sent."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec
import uvloop

from proxy.config import Streams, Transport
from proxy.counters import Counters
from proxy.stream import StreamEdge, StreamListener
from proxy.tls import TlsMaterial
from tests.sip.heads import START, message

LOOPBACK = "127.0.0.1"
QUICK = Streams(message_timeout_s=0.3, idle_timeout_s=60, connect_timeout_s=0.5, handshake_timeout_s=0.5)


class Received(NamedTuple):
    data: bytes
    source: tuple[str, int]
    listener: int
    flow: int
    tls_trunk: int
    refusal: int


class StreamPlay:
    """The edge, which answers what `answer` says to each message, and its listeners by transport."""

    def __init__(self, limits: Streams = QUICK, tls: TlsMaterial | None = None, worker: int = 0) -> None:
        self.received: list[Received] = []
        self.failed: list[int] = []
        self.passed_on: list[tuple[int, int]] = []
        self.reads = True  # what it is given
        self.deadly: set[bytes] = set()  # what must not be framed
        self.answer: Callable[[Received], bytes] = lambda received: b""
        self.counters = Counters.in_memory()
        transports = [Transport.TCP, Transport.WS, *([Transport.TLS] if tls else [])]
        self.sockets = {transport: socket.create_server((LOOPBACK, 0)) for transport in transports}
        self.index = {transport: index for index, transport in enumerate(transports, start=1)}
        listeners = [
            StreamListener(self.index[transport], transport, bound, tls if transport is Transport.TLS else None)
            for transport, bound in self.sockets.items()
        ]
        self.edge = StreamEdge(self, listeners, limits, self.counters, worker)
        self._answers: list[tuple[Received, bytes]] = []

    def port(self, transport: Transport = Transport.TCP) -> int:
        return int(self.sockets[transport].getsockname()[1])

    async def connect(
        self, transport: Transport = Transport.TCP, context: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(LOOPBACK, self.port(transport), ssl=context)

    def send(self, to: tuple[str, int], token: int, data: bytes, transport: Transport = Transport.TCP) -> None:
        """A request by whatever connection there is to `to`."""
        self.edge.send(self.index[transport], *to, 0, token, data)

    # What the edge asks of the core

    def receive_stream(
        self, data: bytes, source: tuple[str, int], listener: int, flow: int, tls_trunk: int, refusal: int
    ) -> bool:
        received = Received(data, source, listener, flow, tls_trunk, refusal)
        self.received.append(received)
        if answer := self.answer(received):
            self._answers.append((received, answer))
        return self.reads

    def examine(self, data: bytes) -> bool:
        return data not in self.deadly

    def transport_failed(self, token: int) -> None:
        self.failed.append(token)

    def pass_on(self, worker: int, listener: int, ip: str, port: int, flow: int, data: bytes) -> None:
        self.passed_on.append((worker, flow))

    def flush(self) -> None:
        answers, self._answers = self._answers, []
        for received, answer in answers:
            self.edge.send(received.listener, *received.source, received.flow, 0, answer)


def run(script: Callable[[StreamPlay], Awaitable[None]], play: StreamPlay) -> None:
    """Carries out a script on the event loop that the workers use."""

    async def whole() -> None:
        play.edge.start(lambda: None)
        try:
            await asyncio.wait_for(script(play), 20)
        finally:
            play.edge.stop_accepting()
            play.edge.close()
            await asyncio.sleep(0.05)
            for bound in play.sockets.values():
                bound.close()

    uvloop.run(whole())


async def until(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
    """Waits for what the loop is going to do."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


def numbered(number: int, body: bytes = b"") -> bytes:
    """An INVITE that can be told from others."""
    start = START.replace("+862088886666", str(number))
    return message(f"Content-Length: {len(body)}", start=start, body=body)


def limits(**changed: float) -> Streams:
    return msgspec.structs.replace(QUICK, **changed)
