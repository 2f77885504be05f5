"""The stream edge: connections between the core and its peers over TCP, TLS and WebSocket.

  accept ─▶ framer ─▶ receive_stream ─▶ core ─▶ outbox ─▶ send ─▶ the flow a request came by
                                                                  or a connection to that peer (RFC 5923)
                                                                  or a new one (RFC 3261 section 18)

A connection has a flow number, by which the core names it. Each gets a turn of a few messages, so that none that sends
without end keeps the others waiting.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol

from proxy.config import Streams, Transport
from proxy.config_address import parse_host_port
from proxy.counters import Counters
from proxy.sip.framing import StreamFramer
from proxy.sip.message import SipMessage
from proxy.stream_accept import AcceptLoop
from proxy.stream_admission import Admission
from proxy.stream_connection import Connection, Framer
from proxy.stream_deadlines import Deadlines
from proxy.tls import TlsMaterial
from proxy.tls_names import names_match, normal_name
from proxy.trunks import Routing
from proxy.websocket import WebSocketFramer

_RECEIVE_BYTES = 65_536
_MESSAGES_PER_TURN = 64
_UNREAD_PAUSE_S = 0.002  # between turns of a connection all of whose messages are dropped unread
_SWEEP_S = 0.25
_FLOW_BITS = 24
_MAX_FLOW = (1 << _FLOW_BITS) - 1

Destination = tuple[int, str, int]  # listener, ip, port


class MessageSink(Protocol):
    """The core behind its edge. What it answers is sent at `flush`."""

    def receive_stream(
        self, data: bytes, source: tuple[str, int], listener: int, flow: int, tls_trunk: int, refusal: int
    ) -> bool: ...
    def examine(self, data: bytes) -> bool: ...
    def transport_failed(self, token: int) -> None: ...
    def pass_on(self, worker: int, listener: int, ip: str, port: int, flow: int, data: bytes) -> None: ...
    def flush(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StreamListener:
    """A listening socket of the core's listener `index`. tls: for tls and wss."""

    index: int
    transport: Transport
    socket: socket.socket
    tls: TlsMaterial | None = None
    origins: tuple[str, ...] = ()

    @property
    def is_websocket(self) -> bool:
        return self.transport in (Transport.WS, Transport.WSS)

    @property
    def can_serve(self) -> bool:
        """Without a certificate that can be used nobody is let in."""
        return self.tls is None or self.tls.contexts is not None


class StreamEdge:
    """One worker's connections."""

    def __init__(
        self,
        core: MessageSink,
        listeners: Sequence[StreamListener],
        limits: Streams,
        counters: Counters,
        worker: int,
    ) -> None:
        self.receive_buffer = memoryview(bytearray(_RECEIVE_BYTES))
        self._core = core
        self._limits = limits
        self._counters = counters
        self._after_batch: Callable[[], None] = _nothing
        self._worker = worker
        self._last_flow = 0
        self._listeners = {listener.index: listener for listener in listeners}
        self._admission = Admission(limits)
        self._accepting = [
            AcceptLoop(row.socket, row.tls is not None, self._admission, counters, functools.partial(self._accept, row))
            for row in listeners
        ]
        self._flows: dict[int, Connection] = {}
        self._by_destination: dict[Destination, Connection] = {}
        self._started: Deadlines[Connection] = Deadlines(limits.message_timeout_s)
        self._idle: Deadlines[Connection] = Deadlines(limits.idle_timeout_s)
        self._quiet: Deadlines[Connection] = Deadlines(limits.websocket_ping_s)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: list[int] = []
        self._trunks: dict[str, int] = {}
        self._server_names: dict[tuple[str, int], set[str]] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    def start(self, after_batch: Callable[[], None]) -> None:
        """Serves from now on. after_batch: called whenever the core was given something."""
        self._after_batch = after_batch
        for accepting in self._accepting:
            accepting.start()
        self._sweep()

    def stop_accepting(self) -> None:
        for accepting in self._accepting:
            accepting.stop()

    def close(self) -> None:
        """Ends everything; what is in a connection's queue is still sent."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for task in self._tasks:
            task.cancel()
        for connection in list(self._flows.values()):
            connection.close()

    def configure(self, routing: Routing) -> None:
        """Whom certificates may name, from now on and for the connections that are open."""
        self._trunks = {
            normal_name(name): index for index, trunk in enumerate(routing.trunks) for name in trunk.tls_names
        }
        self._server_names = {}
        for gateway in routing.gateways:
            for target in gateway.targets:
                self._server_names.setdefault((target.ip, target.port), set()).add(parse_host_port(target.text).host)
        for connection in self._flows.values():
            connection.tls_trunk = self._trunk_of(connection)

    @property
    def open_connections(self) -> int:
        return len(self._flows)

    # From the core to a peer

    def send(self, listener: int, ip: str, port: int, flow: int, token: int, data: bytes) -> None:
        """As `proxy.udp.StreamSender` has it. By the flow if it is open, else by a connection to ip and port."""
        if flow and flow >> _FLOW_BITS != self._worker:
            self._core.pass_on(flow >> _FLOW_BITS, listener, ip, port, flow, data)
            return
        connection = self._flows.get(flow)
        if connection is None or not connection.usable:
            connection = self._to_destination((listener, ip, port))
        if connection is not None and connection.send(data, token):
            self._counters.add("sent")
            return
        self._counters.add("send_failed")
        self._fail([token])

    def _to_destination(self, destination: Destination) -> Connection | None:
        found = self._by_destination.get(destination)
        if found is not None and found.usable and self._is_expected(found, destination):
            return found
        row = self._listeners.get(destination[0])
        if row is None or row.is_websocket or not row.can_serve or self._admission.open >= self._limits.max_connections:
            return None  # a WebSocket client cannot be called back (RFC 7118 section 5.2)
        return self._open(row, destination)

    def _is_expected(self, connection: Connection, destination: Destination) -> bool:
        """A connection that the peer opened stands for another place only if its certificate does (RFC 5923).

        Its own end of it is where the peer is; no connection could be opened to there. A target must show who it is.
        """
        _, ip, port = destination
        if not connection.incoming or (connection.peer == (ip, port) and (ip, port) not in self._server_names):
            return True
        return names_match(connection.names, self._expected_names(destination))

    def _expected_names(self, destination: Destination) -> set[str]:
        """A target's name; of an address that is no target's, the address or the name of any peer that we know."""
        _, ip, port = destination
        known = self._server_names.get((ip, port))
        return known or {ip, *self._trunks, *(name for names in self._server_names.values() for name in names)}

    def _open(self, row: StreamListener, destination: Destination) -> Connection:
        must_match = row.tls is not None and row.tls.settings.verify_server
        connection = Connection(
            self,
            row.index,
            self._next_flow(),
            destination[1:],
            self._framer(row),
            incoming=False,
            max_queue=self._limits.write_queue_bytes,
            expected_names=self._expected_names(destination) if must_match else None,
        )
        self._flows[connection.flow] = connection
        self._by_destination[destination] = connection
        self._counters.add("connections_opened")
        self._run(self._connect(row, connection, destination))
        return connection

    async def _connect(self, row: StreamListener, connection: Connection, destination: Destination) -> None:
        assert row.can_serve
        _, ip, port = destination
        name = min(self._server_names.get((ip, port), {ip}))
        own = row.socket.getsockname()[0]
        local = None if ip_address(own).is_unspecified else (own, 0)
        try:
            async with asyncio.timeout(self._limits.connect_timeout_s):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection,
                    ip,
                    port,
                    local_addr=local,
                    ssl=row.tls.contexts.client if row.tls and row.tls.contexts else None,
                    server_hostname=name if row.tls else None,
                    ssl_handshake_timeout=self._limits.handshake_timeout_s if row.tls else None,
                )
        except (OSError, TimeoutError) as why:  # ssl.SSLError and a refused connection are OSErrors
            self._counters.add("tls_failures" if isinstance(why, ssl.SSLError) else "connection_failures")
            connection.abort()
            self._remove(connection)

    def _fail(self, tokens: Sequence[int]) -> None:
        """Told once the core is not in the middle of something."""
        known = [token for token in tokens if token]
        if known and not self._failed:
            asyncio.get_running_loop().call_soon(self._tell_failures)
        self._failed += known

    def _tell_failures(self) -> None:
        failed, self._failed = self._failed, []
        for token in failed:
            self._core.transport_failed(token)
        self._batch_done()

    # From a peer to the core

    def _accept(self, row: StreamListener, end: socket.socket, source: tuple[str, int]) -> None:
        if row.can_serve:
            self._run(self._welcome(row, end, source))
            return
        self._counters.add("tls_failures")
        self._admission.release(source[0])
        end.close()

    async def _welcome(self, row: StreamListener, end: socket.socket, source: tuple[str, int]) -> None:
        assert row.can_serve
        connection = Connection(
            self,
            row.index,
            self._next_flow(),
            source,
            self._framer(row),
            incoming=True,
            max_queue=self._limits.write_queue_bytes,
        )
        self._flows[connection.flow] = connection
        loop = asyncio.get_running_loop()
        try:
            if row.tls is None or row.tls.contexts is None:
                await loop.connect_accepted_socket(lambda: connection, end)
            else:
                timeout_s = self._limits.handshake_timeout_s
                await loop.connect_accepted_socket(
                    lambda: connection, end, ssl=row.tls.contexts.server, ssl_handshake_timeout=timeout_s
                )
        except (OSError, TimeoutError):
            self._counters.add("tls_failures")
            end.close()
            self._remove(connection)

    def opened(self, connection: Connection) -> None:
        """The handshake is done, and the certificate verified by its authority; here its names count."""
        if connection.expected_names is not None and not names_match(connection.names, connection.expected_names):
            self._counters.add("tls_failures")
            connection.abort()
            return
        connection.tls_trunk = self._trunk_of(connection)
        if connection.incoming:
            self._by_destination.setdefault((connection.listener, *connection.peer), connection)
        now_s = asyncio.get_running_loop().time()
        self._idle.put(connection, now_s)
        if self._listeners[connection.listener].is_websocket:
            self._started.put(connection, now_s)
            self._quiet.put(connection, now_s)

    def received(self, connection: Connection) -> None:
        """One turn: some messages of a connection to the core, and what comes of them."""
        framer = connection.framer
        taken = read = 0
        while taken < _MESSAGES_PER_TURN and (message := self._next_message(connection)) is not None:
            read += self._give(connection, message)
            self._note_alias(connection, message)
            taken += 1
        connection.write(framer.take_replies())
        if framer.status:
            self._counters.add("framing_errors")
            self._give(connection, framer.refused, framer.status)
        self._batch_done()
        self._time(connection, taken)
        if framer.status:
            connection.refuse()
        elif framer.ended:
            connection.close()
        elif taken == _MESSAGES_PER_TURN:
            self._wait_for_turn(connection, 0.0 if read else _UNREAD_PAUSE_S)
        elif connection.waits:
            connection.waits = False
            connection.resume_reading()

    def _next_message(self, connection: Connection) -> bytes | None:
        """Bytes that have killed workers are not framed: behind them nobody can tell where a message begins."""
        if self._core.examine(connection.framer.ahead):
            return connection.framer.next_message()
        connection.abort()
        return None

    def _give(self, connection: Connection, message: bytes, refusal: int = 0) -> bool:
        """False: it was dropped unread."""
        return self._core.receive_stream(
            message, connection.peer, connection.listener, connection.flow, connection.tls_trunk, refusal
        )

    def _wait_for_turn(self, connection: Connection, pause_s: float) -> None:
        """pause_s: so that who is not listened to does not take all the time that is left: it would pass for load."""
        if not connection.waits:
            connection.waits = True
            connection.pause_reading()
        asyncio.get_running_loop().call_later(pause_s, self._next_turn, connection)

    def _next_turn(self, connection: Connection) -> None:
        if connection.usable:
            self.received(connection)

    def _time(self, connection: Connection, taken: int) -> None:
        now_s = asyncio.get_running_loop().time()
        self._idle.put(connection, now_s)
        if not connection.framer.under_way:
            self._started.drop(connection)
        elif taken or connection not in self._started:
            self._started.put(connection, now_s)

    def _note_alias(self, connection: Connection, message: bytes) -> None:
        """RFC 5923 section 9: an address that the peer says it is, believed of who has a certificate."""
        if not connection.incoming or not connection.names or connection.alias is not None or b"alias" not in message:
            return
        parsed = SipMessage(message)
        if parsed.is_request and parsed.wants_alias:
            port = parsed.sent_by[1]
            connection.alias = (connection.listener, connection.peer[0], port if port > 0 else 5061)
            self._by_destination[connection.alias] = connection

    def overflowed(self, connection: Connection) -> None:
        self._counters.add("write_queue_overflows")

    def lost(self, connection: Connection) -> None:
        self._remove(connection)

    def _remove(self, connection: Connection) -> None:
        """Forgets it, once; requests that it did not deliver go elsewhere."""
        if self._flows.pop(connection.flow, None) is None:
            return
        if connection.incoming:
            self._admission.release(connection.peer[0])
        for key in (connection.alias, (connection.listener, *connection.peer)):
            if key is not None and self._by_destination.get(key) is connection:
                del self._by_destination[key]
        for deadlines in (self._started, self._idle, self._quiet):
            deadlines.drop(connection)
        self._fail(connection.undelivered())

    # Of both

    def _batch_done(self) -> None:
        self._core.flush()
        self._after_batch()

    def _framer(self, row: StreamListener) -> Framer:
        if row.is_websocket:
            return WebSocketFramer(row.origins, self._limits.max_message_bytes)
        return StreamFramer(self._limits.max_message_bytes, self._limits.max_message_bytes)

    def _trunk_of(self, connection: Connection) -> int:
        return next((self._trunks[name] for name in connection.names if name in self._trunks), -1)

    def _next_flow(self) -> int:
        """RFC 3261 knows no such number; ours names worker and connection, and 0 is nobody's."""
        while True:
            self._last_flow = self._last_flow % _MAX_FLOW + 1
            flow = self._worker << _FLOW_BITS | self._last_flow
            if flow not in self._flows:
                return flow

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        self._sweeping = loop.call_later(_SWEEP_S, self._sweep)
        self._counters.set("connections", len(self._flows))
        for connection in self._quiet.take_due(now_s):
            connection.write(connection.framer.ping())
            self._quiet.put(connection, now_s)
        for connection in self._started.take_due(now_s):
            self._counters.add("connection_timeouts")
            connection.abort()
        for connection in self._idle.take_due(now_s):
            connection.close()


def _nothing() -> None:
    """What follows a batch before the edge is started."""
