"""The UDP edge: whole batches between the sockets and the core."""

from collections.abc import Sequence
from os import PathLike
from socket import socket
from typing import Protocol

from proxy.core import ProxyCore
from proxy.in_flight import InFlight, Quarantine

class StreamSender(Protocol):
    """Sends messages over connections, made where there is none."""

    def send(self, listener: int, ip: str, port: int, flow: int, token: int, data: bytes) -> None:
        """flow: the connection to use, 0 = any to ip and port. token: for ProxyCore.transport_failed, 0 = none."""

class UdpEdge:
    """sockets: bound, non-blocking UDP sockets in the order of the core's listeners.

    clock_offset_us: Unix time minus CLOCK_MONOTONIC in microseconds, the same for all processes of a node.
    hand_over: directory in which the workers meet; a datagram that another worker of the node must have goes there
    over a Unix datagram socket. None: this worker is alone.
    in_flight, quarantine: shared with the supervisor; None: memory of its own.
    streams: to be set to what sends messages of all other listeners; None: they are lost and counted.
    """

    next_deadline_us: int
    hand_over_fileno: int
    streams: StreamSender | None
    def __init__(
        self,
        core: ProxyCore,
        sockets: Sequence[socket],
        clock_offset_us: int,
        hand_over: str | PathLike[str] | None = None,
        in_flight: InFlight | None = None,
        quarantine: Quarantine | None = None,
    ) -> None: ...
    def read(self, index: int) -> None:
        """Drains socket `index` into the core and sends what it answers."""
    def poll_fileno(self, index: int) -> int:
        """Descriptor that becomes readable when `read` has something to do; never the socket's own."""
    def take_over(self) -> None:
        """Receives what other workers hand over."""
    def receive_stream(
        self, data: bytes, source: tuple[str, int], listener: int, flow: int, tls_trunk: int = -1, refusal: int = 0
    ) -> bool:
        """One message from a connection; what is answered to it leaves at `flush`. False: it was dropped unread."""
    def examine(self, data: bytes) -> bool:
        """Bytes of a connection are about to be looked at, before they are a message. False: they must not be."""
    def transport_failed(self, token: int) -> None:
        """As ProxyCore has it; what comes of it leaves at `flush`."""
    def pass_on(self, worker: int, listener: int, ip: str, port: int, flow: int, data: bytes) -> None:
        """Has another worker send a message by a flow of its own."""
    def flush(self) -> None:
        """Sends what the core has answered since it last was sent."""
    def tick(self) -> None:
        """Fires what is due and sends what comes of it."""
    def probe(self, gateway: int, target: int) -> int:
        """Sends OPTIONS to a target; give the result to `probe_timeout` when the answer should have come."""
    def leave_target(self, gateway: int, target: int, position: int) -> tuple[int, int]:
        """As ProxyCore has it, and what comes of it is sent."""
    def probe_timeout(self, probe: int) -> bool:
        """True if that probe is still unanswered: it then counts against its target."""
    def resolved(self, question: int, destinations: Sequence[tuple[str, str, int]], ttl_s: float) -> None:
        """The resolver's answer to one of the core's questions; sends the requests that waited for it."""
    def now_us(self) -> int:
        """The node's time: Unix microseconds that never go back."""
