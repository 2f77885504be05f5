"""One load run: the endpoints, each in a thread of its own, from the first call to the counts at the end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address

from tests.load._histogram import Histogram
from tests.load._uac import Uac
from tests.load._uas import Uas
from tests.load.mix import DEFAULT_MIX, Mix, draw_deck

BUFFER_BYTES = 4 << 20
LARGEST_DECK = 1 << 17
ANSWERING_LINGER_S = 0.2  # the answering endpoint stays that long after the last call, for what is on its way
SO_MEMINFO = 55  # socket(7) of Linux: nine u32, the last the datagrams dropped for want of room
SK_MEMINFO_DROPS = 8

HostPort = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """The harness's own answering endpoint. contact: where callers are told to send what follows; None = itself."""

    address: HostPort = ("127.0.0.1", 0)
    contact: str | None = None
    ring_ms: float = 0.0
    reject_status: int = 0
    reject_every: int = 1
    drop_every: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to place and where to. Either rate_per_s or in_flight; ends after `calls` or duration_s (0 = not by that).

    target: None = straight to the answering endpoint, with no proxy between.
    callers: calling endpoints, each with its own source port. answering: None = somebody else answers.
    spinning: one thread serves the only caller and the answering endpoint, and never sleeps.
    """

    target: HostPort | None
    rate_per_s: float = 0.0
    in_flight: int = 0
    calls: int = 0
    duration_s: float = 0.0
    drain_s: float = 5.0
    mix: Mix = DEFAULT_MIX
    seed: int = 1
    bind: HostPort = ("127.0.0.1", 0)
    callers: int = 1
    talk_ms: float | None = None
    t1_ms: float = 500.0
    record: bool = False
    spinning: bool = False
    answering: Answering | None = field(default_factory=Answering)


class LoadRun:
    """Binds at once, so `answering_address` may be told to a proxy before `start`."""

    def __init__(self, plan: Plan) -> None:
        if plan.spinning and (plan.callers != 1 or plan.answering is None):
            raise ValueError("spinning: expected one caller and an answering endpoint")
        self.plan = plan
        self.deck = draw_deck(plan.mix, min(plan.calls or LARGEST_DECK, LARGEST_DECK), plan.seed)
        self._sockets: list[socket.socket] = []
        self.uas = self._open_answering(plan.answering) if plan.answering else None
        self.uacs = [self._open_caller(i) for i in range(plan.callers)]
        self._threads: list[threading.Thread] = []
        self._answering_thread: threading.Thread | None = None
        self._started = self._ended = 0.0

    def start(self) -> None:
        self._started = time.monotonic()
        if self.uas and not self.plan.spinning:
            self._answering_thread = threading.Thread(target=self.uas.run, name="uas", daemon=True)
            self._answering_thread.start()
        for i, uac in enumerate(self.uacs):
            thread = threading.Thread(target=self._place, args=(uac, i), name=f"uac-{i}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Places no more calls; what is under way may end."""
        for uac in self.uacs:
            uac.stop()

    def wait(self, timeout_s: float) -> bool:
        """Whether all callers are done within the time."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            return False
        self._ended = self._ended or time.monotonic()
        return True

    def close(self) -> dict[str, int]:
        """Ends the answering endpoint and closes the sockets; returns its counts, and the datagrams dropped for us."""
        if self.uas and self._answering_thread:
            time.sleep(ANSWERING_LINGER_S)
            self.uas.stop()
            self._answering_thread.join()
        counts = self.uas.counts if self.uas else {}
        counts["dropped_by_kernel"] = sum(dropped_datagrams(sock) for sock in self._sockets)
        for sock in self._sockets:
            sock.close()
        return counts

    @property
    def elapsed_s(self) -> float:
        return (self._ended or time.monotonic()) - self._started

    @property
    def counts(self) -> dict[str, int]:
        """The callers' counts, added up."""
        return added(uac.counts for uac in self.uacs)

    def latencies(self) -> tuple[Histogram, Histogram]:
        """INVITE to first response other than 100, and to final response, of all callers."""
        ringing, final = Histogram(), Histogram()
        for uac in self.uacs:
            ringing.merge(uac.ringing_us)
            final.merge(uac.final_us)
        return ringing, final

    def _place(self, uac: Uac, i: int) -> None:
        plan, share = self.plan, len(self.uacs)
        uac.run(
            rate_per_s=plan.rate_per_s / share,
            in_flight=part(plan.in_flight, share, i),
            calls=part(plan.calls, share, i),
            duration_s=plan.duration_s,
            drain_s=plan.drain_s,
            partner=self.uas if plan.spinning else None,
        )

    def _open_answering(self, answering: Answering) -> Uas:
        sock = self._bound(answering.address)
        return Uas(
            sock,
            contact=answering.contact or host_port(sock.getsockname()),
            ring_ms=answering.ring_ms,
            reject_status=answering.reject_status,
            reject_every=answering.reject_every,
            drop_every=answering.drop_every,
            t1_ms=self.plan.t1_ms,
        )

    def _open_caller(self, i: int) -> Uac:
        plan = self.plan
        host, port = plan.bind
        families = self.deck.families
        return Uac(
            self._bound((host, port + i if port else 0)),
            target=plan.target or self.answering_address,
            deck=self.deck.packed,
            talk_ms=[family.talk_ms if plan.talk_ms is None else plan.talk_ms for family in families],
            cancel_ms=[family.cancel_ms for family in families],
            first=i,
            stride=plan.callers,
            t1_ms=plan.t1_ms,
            record=plan.record,
        )

    def _bound(self, address: HostPort) -> socket.socket:
        self._sockets.append(bound_socket(address))
        return self._sockets[-1]

    @property
    def answering_address(self) -> HostPort:
        if not self.uas:
            raise ValueError("somebody else answers: the run has no answering address")
        name = self._sockets[0].getsockname()
        return name[0], name[1]


def bound_socket(address: HostPort) -> socket.socket:
    """A non-blocking UDP socket with large buffers."""
    family = socket.AF_INET6 if ip_address(address[0]).version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    sock.setblocking(False)
    try:
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def dropped_datagrams(sock: socket.socket) -> int:
    memory = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36)
    return int.from_bytes(memory[4 * SK_MEMINFO_DROPS : 4 * SK_MEMINFO_DROPS + 4], "little")


def host_port(name: HostPort) -> str:
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


def part(total: int, parts: int, i: int) -> int:
    """The i-th of `parts` shares that add up to total."""
    return total // parts + (i < total % parts)


def added(tables: Iterable[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for table in tables:
        for name, value in table.items():
            total[name] = total.get(name, 0) + value
    return total
