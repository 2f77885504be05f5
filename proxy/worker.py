"""Worker: what a process of the call path does. Batches between edges and core, generations, gateways, the end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence

from engine._screener import Screener
from proxy.call_limits import CallLimits
from proxy.config import Probe
from proxy.core import ProxyCore
from proxy.event_channel import (
    MESSAGE_BYTES,
    Certificate,
    Certificates,
    EventSender,
    Hello,
    Refused,
    Swap,
    Swapped,
    Target,
    Targets,
    decode_message,
)
from proxy.hearing import Hearing
from proxy.in_flight import InFlight
from proxy.logs import Log
from proxy.name_service import NameService
from proxy.resolver import Resolver
from proxy.stream import StreamEdge
from proxy.trunks import Routing
from proxy.udp import UdpEdge

_COALESCE_EVENTS = 32
_COALESCE_S = 0.02
_RECONNECT_S = 0.5
_HEALTH_S = 1.0
_DRAIN_POLL_S = 0.05
_BEAT_S = 0.2

Prepared = tuple[Routing, Screener, CallLimits]


class Worker:
    """Drives a core by its edges. prepare: what it takes to put a generation into force; runs in a thread.

    renew: keeps certificates up to date, for as long as it is let; troubled_certificates: those that it cannot use.
    reopen_tables: whether any had been replaced.
    """

    def __init__(
        self,
        number: int,
        core: ProxyCore,
        edge: UdpEdge,
        streams: StreamEdge,
        renew: Callable[[], Coroutine[None, None, None]],
        troubled_certificates: Callable[[], tuple[Certificate, ...]],
        sockets: Sequence[socket.socket],
        in_flight: InFlight,
        hearing: Hearing,
        sender: EventSender,
        prepare: Callable[[int], Prepared],
        reopen_tables: Callable[[], bool],
        make_resolver: Callable[[], Resolver],
        log: Log,
    ) -> None:
        self._number = number
        self._core = core
        self._edge = edge
        self._streams = streams
        self._renew = renew
        self._troubled_certificates = troubled_certificates
        self._sockets = sockets
        self._in_flight = in_flight
        self._hearing = hearing
        self._sender = sender
        self._prepare = prepare
        self._reopen_tables = reopen_tables
        self._make_resolver = make_resolver
        self._log = log
        self._generation = 0
        self._armed_us = 0
        self._timer: asyncio.TimerHandle | None = None
        self._flush_timer: asyncio.TimerHandle | None = None
        self._probes: list[asyncio.Task[None]] = []
        self._swaps: asyncio.Queue[int] = asyncio.Queue()
        self._gateway_names: list[str] = []
        self._trunk_names: list[str] = []
        self._refused: Counter[str] = Counter()  # by trunk, not reported yet
        self._health: tuple[Target, ...] = ()
        self._certificates: tuple[Certificate, ...] = ()
        self._down: set[tuple[int, int, int]] = set()  # (generation, gateway, target)

    async def run(self, generation: int, drain_s: float, lifeline: int | None) -> None:
        """Serves until SIGTERM, then drains for drain_s at most."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        if lifeline is not None:
            loop.add_reader(lifeline, stop.set)
        self._names = NameService(self._make_resolver(), self._resolved, self._core.set_targets, self._log)
        self._configure(generation, self._prepare(generation))
        for index, bound in enumerate(self._sockets):
            if bound.type == socket.SOCK_DGRAM:
                loop.add_reader(self._edge.poll_fileno(index), self._readable, index)
        self._streams.start(self._batch_done)
        if self._edge.hand_over_fileno >= 0:
            loop.add_reader(self._edge.hand_over_fileno, self._handed_over)
        background = [
            asyncio.create_task(self._beat()),
            asyncio.create_task(self._hearing.keep(self._edge.now_us)),
            asyncio.create_task(self._keep_connected()),
            asyncio.create_task(self._swap_when_told()),
            asyncio.create_task(self._report_health()),
            asyncio.create_task(self._renew()),
        ]
        self._log.info("worker is up", generation=generation)
        await stop.wait()
        if lifeline is not None:
            loop.remove_reader(lifeline)
        self._streams.stop_accepting()
        await self._drain(drain_s)
        self._streams.close()
        for task in [*background, *self._probes]:
            task.cancel()
        self._names.close()
        self._collect()
        self._sender.flush()

    async def _beat(self) -> None:
        while True:
            self._in_flight.beat()
            await asyncio.sleep(_BEAT_S)

    # The call path

    def _readable(self, index: int) -> None:
        self._edge.read(index)
        self._batch_done()

    def _handed_over(self) -> None:
        self._edge.take_over()
        self._batch_done()

    def _tick(self) -> None:
        self._armed_us = 0
        self._edge.tick()
        self._batch_done()

    def _batch_done(self) -> None:
        self._collect()
        self._arm()

    def _arm(self) -> None:
        """One timer, at the earliest deadline; one that has become later fires early and is armed again."""
        deadline_us = self._edge.next_deadline_us
        if not deadline_us or (self._armed_us and self._armed_us <= deadline_us):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_us = deadline_us
        delay_s = max(0, deadline_us - self._edge.now_us()) / 1_000_000
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _resolved(self, question: int, destinations: Sequence[tuple[str, str, int]], ttl_s: float) -> None:
        self._edge.resolved(question, destinations, ttl_s)
        self._collect()
        self._arm()

    # Events

    def _collect(self) -> None:
        if questions := self._core.take_questions():
            self._names.ask(questions)
        while events := self._core.take_events():
            self._sender.add(events)
        if self._sender.pending >= _COALESCE_EVENTS:
            self._sender.flush()
        if self._sender.pending and self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(_COALESCE_S, self._flush)

    def _flush(self) -> None:
        self._flush_timer = None
        self._sender.flush()
        self._collect()

    # Control

    async def _keep_connected(self) -> None:
        while True:
            end = self._sender.connect()
            if end is not None:
                self._sender.note(Hello(self._number, os.getpid(), self._generation))
                self._health, self._certificates = (), ()
                with end:
                    await self._hear(end)
                    self._sender.disconnect()
            await asyncio.sleep(_RECONNECT_S)

    async def _hear(self, end: socket.socket) -> None:
        """Takes control's orders until it goes away."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                data = await loop.sock_recv(end, MESSAGE_BYTES)
                order = decode_message(data) if data else None
            except (OSError, ValueError):
                return
            if not isinstance(order, Swap):
                return
            self._swaps.put_nowait(order.generation)

    async def _swap_when_told(self) -> None:
        while True:
            generation = await self._swaps.get()
            try:
                prepared = await asyncio.get_running_loop().run_in_executor(None, self._prepare, generation)
                self._configure(generation, prepared)
            except Exception as why:  # whatever it is, the old generation goes on
                self._log.error("generation cannot be put into force", generation=generation, exc_info=True)
                self._sender.note(Swapped(generation, str(why) or type(why).__name__))
            else:
                self._log.info("swapped", generation=generation)
                self._sender.note(Swapped(generation))

    def _configure(self, generation: int, prepared: Prepared) -> None:
        """The one point at which a configuration comes into force."""
        self._note_refused()
        routing, screener, limits = prepared
        self._core.configure(routing, screener, limits)
        self._streams.configure(routing)
        self._generation = generation
        for task in self._probes:
            task.cancel()
        self._probes = [
            asyncio.create_task(self._probe(index, gateway.probe))
            for index, gateway in enumerate(routing.gateways)
            if gateway.probe.enabled
        ]
        self._gateway_names = [gateway.name for gateway in routing.gateways]
        self._trunk_names = [trunk.name for trunk in routing.trunks]
        self._names.watch(routing.gateways)

    # Gateways

    async def _probe(self, gateway: int, probe: Probe) -> None:
        while True:
            sent = [self._edge.probe(gateway, target) for target, _ in self._core.targets(gateway)]
            self._arm()
            await asyncio.sleep(probe.timeout_s)
            for one in sent:
                self._edge.probe_timeout(one)
            await asyncio.sleep(max(0.0, probe.interval_s - probe.timeout_s))

    async def _report_health(self) -> None:
        while True:
            await asyncio.sleep(_HEALTH_S)
            self._note_refused()
            await self._leave_what_is_down()
            if self._reopen_tables():
                self._swaps.put_nowait(self._generation)
            texts = [dict(self._core.targets(gateway)) for gateway in range(len(self._gateway_names))]
            health = tuple(
                Target(self._gateway_names[gateway], texts[gateway][target], up)
                for gateway, target, up in self._core.target_health()
            )
            if health != self._health and self._sender.note(Targets(health)):
                self._health = health
            certificates = self._troubled_certificates()
            if certificates != self._certificates and self._sender.note(Certificates(certificates)):
                self._certificates = certificates

    async def _leave_what_is_down(self) -> None:
        """Once for each target that goes down; at a reload those that are down are looked at again."""
        down = {(self._generation, gateway, target) for gateway, target, up in self._core.target_health() if not up}
        for _, gateway, target in down - self._down:
            await self._leave(gateway, target)
        self._down = down

    async def _leave(self, gateway: int, target: int) -> None:
        """Step by step, with turns of the loop between for everybody else."""
        generation, position, calls = self._generation, 1, 0
        while position and generation == self._generation:
            left, position = self._edge.leave_target(gateway, target, position)
            calls += left
            self._arm()
            await asyncio.sleep(0)
        if calls:
            self._log.warning("ringing calls go to the next target", gateway=self._gateway_names[gateway], calls=calls)

    def _note_refused(self) -> None:
        for trunk, count in self._core.take_refused().items():
            self._refused[self._trunk_names[trunk]] += count
        if self._refused and self._sender.note(Refused(dict(self._refused))):
            self._refused.clear()

    # The end

    async def _drain(self, drain_s: float) -> None:
        self._core.drain()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + drain_s
        self._log.info("draining", open_transactions=self._core.open_transactions)
        while self._core.open_transactions and loop.time() < deadline:
            await asyncio.sleep(_DRAIN_POLL_S)
        self._log.info("drained", open_transactions=self._core.open_transactions)
