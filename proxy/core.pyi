"""ProxyCore: datagrams and deadlines in, datagrams and events out."""

from collections.abc import Sequence

from engine._screener import Screener
from proxy.call_limits import CallLimits
from proxy.config import Capacity, Timers
from proxy.counters import Counters
from proxy.gateways import TargetRoute
from proxy.outbox import Outbox
from proxy.overload_server import OverloadServer
from proxy.router import ListenerAddress
from proxy.trunks import Routing

class ProxyCore:
    """One worker's proxy.

    workers: how many share the listeners; what belongs to another goes into `handed_over`. secret: 32 bytes, the same
    for all workers of a node. `configure` must be called before the first datagram.
    """

    handed_over: Outbox
    load: OverloadServer
    generation: int
    open_transactions: int
    open_calls: int
    pending_events: int
    def __init__(
        self,
        listeners: Sequence[ListenerAddress],
        *,
        worker: int,
        secret: bytes,
        workers: int = 1,
        counters: Counters,
        capacity: Capacity,
        timers: Timers,
        server_header: str = "callsieve",
        open_on_error: bool = True,
    ) -> None: ...
    def configure(self, routing: Routing, screener: Screener, limits: CallLimits | None = None) -> None:
        """The one swap point: from the next message on, routing, policy and caps are these.

        limits: for `routing.limits`; None = this core is alone and counts for itself.
        """
    def drain(self) -> None:
        """New calls are answered 503 with Retry-After from now on; what is open goes on."""
    def refresh_gauges(self) -> None:
        """Brings the gauges among the counters up to date; the edge does it after every batch."""
    def next_deadline(self) -> int:
        """When `handle_timer` has something to do, in microseconds; 0 = nothing is armed."""
    def handle_timer(self, now_us: int, out: Outbox) -> None:
        """Fires every timer whose deadline has come."""
    def receive_datagram(self, data: bytes, source: tuple[str, int], listener: int, now_us: int, out: Outbox) -> None:
        """One datagram from `source` (ip, port)."""
    def receive_stream(
        self,
        data: bytes,
        source: tuple[str, int],
        listener: int,
        flow: int,
        now_us: int,
        out: Outbox,
        tls_trunk: int = -1,
        refusal: int = 0,
    ) -> None:
        """One complete message from a connection. flow: its number. tls_trunk: that the peer's certificate names.

        refusal: the status to answer, of a message whose framing was lost (RFC 3261 section 18.3); `data` is its head.
        """
    def transport_failed(self, token: int, now_us: int, out: Outbox) -> None:
        """The request with this token could not be delivered (RFC 3261 sections 16.9, 18.4)."""
    def note_load(self, busy: float, queued: float, now_us: int) -> None:
        """What the edge measured since the last time: busy part of a processor, filled part of the receive buffers."""
    def take_refused(self) -> dict[int, int]:
        """Requests answered 503 for want of room or over a limit since the last time, by index of their trunk."""
    def take_events(self) -> bytes:
        """The oldest events as concatenated C records, b"" when there are none."""
    def probe(self, gateway: int, target: int, now_us: int, out: Outbox) -> int:
        """Sends OPTIONS to a target. The caller says `probe_timeout` if nothing came back in time."""
    def leave_target(
        self, gateway: int, target: int, position: int, now_us: int, out: Outbox
    ) -> tuple[int, int]:
        """A target has gone down: what only rings there goes to the next one.

        One step of it: (how many calls, position of the next step; 0 = that was the last). The first position is 1.
        """
    def probe_timeout(self, probe: int) -> bool:
        """Gives up a probe; True if it was still unanswered, and so counts against the target."""
    def target_health(self) -> list[tuple[int, int, bool]]:
        """(gateway, target, up) of every target."""
    def targets(self, gateway: int) -> list[tuple[int, str]]:
        """(target, host[:port] as written) of a gateway's targets."""
    def set_targets(self, gateway: int, routes: Sequence[TargetRoute]) -> None:
        """From now on the gateway has these targets: what its names lead to has changed."""
    def take_questions(self) -> list[tuple[int, str, int | None, str | None, bool]]:
        """What the resolver is to be asked: (question, host, port, transport, of a SIPS URI) each."""
    def resolved(
        self, question: int, destinations: Sequence[tuple[str, str, int]], ttl_s: float, now_us: int, out: Outbox
    ) -> None:
        """The answer: (transport, ip, port) each, in the order in which they are tried; none = it leads nowhere."""
