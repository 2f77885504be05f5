"""This node in its fleet: begun from what the store knows, kept there, and put into force. Off unless [fleet] is on.

Nothing here is needed for screening. When a file is missing or the broker is away, the node works on by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from aiohttp import web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from engine._reputation import ReputationCache
from engine._shares import ShareTable
from engine._table import TableError
from engine.tables import SHARES
from proxy.config import Configuration
from proxy.config_address import parse_host_port
from proxy.config_fleet import Fleet as Settings
from proxy.config_fleet import FleetMode, node_name
from proxy.control.complaints import Counted
from proxy.control.decisions import Decision, Kind
from proxy.control.durable import Durable
from proxy.control.evidence_slots import Slot
from proxy.control.fleet_effects import FleetEffects
from proxy.control.fleet_events import observe_calls
from proxy.control.fleet_routes import FleetRoutes
from proxy.control.held_sources import read_held, write_held
from proxy.control.hybrid_clock import HybridClock
from proxy.control.limit_shares import LimitShares
from proxy.control.orders import Orders
from proxy.control.protected_numbers import ProtectedNumbers
from proxy.control.store import Store
from proxy.control.store_thread import StoreThread, StoreUnavailable
from proxy.control.sync.decay import UNIT
from proxy.control.sync.mqtt import BrokerAddress
from proxy.control.sync.node import Identity, Node
from proxy.control.sync.records import Refused
from proxy.control.sync.session import Session, wall_ms
from proxy.control.sync.trust import Role, Trust, open_bundle
from proxy.events import EventBatch
from proxy.fleet_files import FleetFileError, broker_context, public_key, read_bundle, read_private_key
from proxy.logs import Log
from proxy.state_directory import StateDirectory

VERDICTS_AT_ONCE = 5000
FLUSH_S = 5.0
RETRY_S = 5.0
_CLOCK, _SEEN = "fleet-clock", "fleet-seen-ms"  # numbers that the store keeps


class FleetAtWork:
    """A node that has begun. link: what is wrong with the connection, or that nothing is."""

    def __init__(
        self,
        node: Node,
        settings: Settings,
        effects: FleetEffects,
        orders: Orders,
        shares: LimitShares,
        thread: StoreThread,
        clock: HybridClock,
        log: Log,
    ) -> None:
        broker = parse_host_port(settings.broker, None)
        client_id = f"callsieve-{settings.name}-{node.identity.name}"
        address = BrokerAddress(broker.host, broker.port, client_id, broker_context(settings))
        self.node = node
        self.effects = effects
        self.orders = orders
        self.shares = shares
        self.link = "not connected yet"
        self.session = Session(node, address, on_tick=self._on_tick, on_link=self._on_link)
        self._thread = thread
        self._clock = clock
        self._log = log
        self._arrived = asyncio.Event()
        self._judged = asyncio.Event()
        self._holds_changed = asyncio.Event()
        self._told_holds: set[str] = set()
        self._judges_disagreed = False

    @staticmethod
    def now_ms() -> int:
        return wall_ms()

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.session.run())
            tasks.create_task(self._store_decisions())
            tasks.create_task(self._judge_for_ever())
            tasks.create_task(self._flush_for_ever())

    def take(self, batch: EventBatch) -> None:
        self.shares.take(batch, self.node.limits.borrower)
        observe_calls(batch, self.node.observe, self.effects.callers, self.node.called, self.shares.trunk_of)

    async def second(self, subject: tuple[Kind, int], namespace: str) -> list[Decision]:
        """Signs what another authority has ordered of a protected subject; what is in force by it."""
        own = self.node.member.origin
        waiting = [
            one
            for one in self.node.replica.decisions.waiting()
            if (one.kind, one.key) == subject and one.ns == namespace and one.signer != own
        ]
        return await self.orders.give(waiting[:1])

    def on_local(self, decisions: Sequence[Decision]) -> None:
        """This node's operator has ordered it, and it is durable."""
        self.node.decide(decisions, self.now_ms())
        self.session.hurry()

    def on_counted(self, complaint: Counted) -> None:
        """A complaint that counts here is told at once."""
        events = round(complaint.weight * UNIT)
        if events:
            self.node.complain(complaint.caller, f"{complaint.complainant:x}", self.now_ms(), events)
            self.session.hurry()

    def take_bundle(self, raw: bytes) -> None:
        """A newer bundle, handed over by `callsieve fleet`. Refused if the root has not signed it."""
        self.node.inbound.take_bundle(raw)
        self.session.hurry()

    def release(self) -> int:
        """All that the circuit breaker holds; how much."""
        count = self.effects.release(self.now_ms())
        self._judged.set()
        self._arrived.set()
        return count

    def _on_tick(self, now_ms: int) -> None:
        self.shares.apply(self.node.limits.borrower, now_ms)
        if self.node.replica.changed_verdicts or self.node.replica.keys_to_judge:
            self._judged.set()
        self.effects.take_decisions(self.node.take_decisions(), now_ms)
        if self.effects.waiting:
            self._arrived.set()
        self._tell_of_hold()
        self._tell_of_judges(now_ms)

    def _tell_of_judges(self, now_ms: int) -> None:
        disagree = _disagreements(self.node, now_ms)
        if bool(disagree) != self._judges_disagreed:
            self._judges_disagreed = bool(disagree)
            if disagree:
                self._log.error("judges disagree, the milder word counts: one of them lies or is behind", keys=disagree)

    def _tell_of_hold(self) -> None:
        breaker = self.effects.breaker
        if breaker.sources == self._told_holds:
            return
        for source in breaker.holds.keys() - self._told_holds:
            what = "held by the circuit breaker, see callsieve fleet status; to let it pass: callsieve fleet release"
            self._log.error(what, source=source, why=breaker.holds[source].why)
        self._told_holds = breaker.sources
        self._holds_changed.set()

    async def _judge_for_ever(self) -> None:
        """And puts into force: in small steps, between which others have the event loop."""
        while True:
            await self._judged.wait()
            self._judged.clear()
            more = True
            while more or self.node.replica.changed_verdicts:
                more = self.node.judge(self.now_ms())
                self.effects.take_bands(*self.node.take_bands(VERDICTS_AT_ONCE), self.now_ms())
                self._tell_of_hold()
                await asyncio.sleep(0)
            while self.effects.put_released(VERDICTS_AT_ONCE, self.now_ms()):
                await asyncio.sleep(0)

    def _on_link(self, up: bool, why: str) -> None:
        link = "connected" if up else why
        if link != self.link:
            self.link = link
            tell = self._log.info if up else self._log.warning
            tell("broker of the fleet", state=link)

    async def _store_decisions(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            try:
                await self.effects.store_decisions()
            except StoreUnavailable:
                await asyncio.sleep(RETRY_S)
                self._arrived.set()

    async def _flush_for_ever(self) -> None:
        """What a restart is to know again. What is lost of it the fleet tells, or it is seen anew."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._holds_changed.wait()
            self._holds_changed.clear()
            await self.flush()

    async def flush(self) -> None:
        gone, slots, trust = self.node.take_gone(), self.node.take_unsaved(), self.node.take_trust()
        generations = self.node.replica.evidence.generations()
        seen_ms = self.now_ms() if self.session.connected else 0
        held = self.effects.breaker.sources
        try:
            await self._thread.do(lambda store: self._flush(store, gone, slots, trust, generations, seen_ms, held))
        except StoreUnavailable:
            self.node.keep_unsaved(slots)

    def _flush(
        self,
        store: Store,
        gone: list[int],
        slots: list[Slot],
        trust: bytes | None,
        generations: list[tuple[int, int]],
        seen_ms: int,
        held: set[str],
    ) -> None:
        store.evidence.forget(gone)
        store.evidence.save(slots)
        for key, gen in generations:
            store.evidence.set_generation(key, gen)
        store.node.set_cursor(_CLOCK, self._clock.mark)
        write_held(store, held)
        if trust is not None:
            store.node.save_trust(self.node.trust.version, trust)
        if seen_ms:
            store.node.set_cursor(_SEEN, seen_ms)


def _disagreements(node: Node, now_ms: int) -> int:
    return node.replica.opinions.lasting(now_ms)


class Fleet(Collector):
    """What control holds of it, whether there is a fleet or not."""

    def __init__(
        self, configuration: Configuration, base_dir: Path, durable: Durable, state: StateDirectory, log: Log
    ) -> None:
        self._base_dir = base_dir
        self._settings = configuration.fleet
        self._name = node_name(configuration)
        self._durable = durable
        self._state = state
        self._log = log
        self._at_work: FleetAtWork | None = None
        self._running: asyncio.Task[None] | None = None
        self._shares = ShareTable(state.tables / "shares.tbl", SHARES)
        self._shares.clear()
        self._routes = FleetRoutes(lambda: self._at_work)
        self._read: tuple[int, Configuration] = (0, configuration)

    def start(self) -> None:
        if self._settings.enabled:
            self._running = asyncio.create_task(self._run())

    def close(self) -> None:
        if self._running is not None:
            self._running.cancel()

    def take(self, batch: EventBatch) -> None:
        if self._at_work is not None:
            self._at_work.take(batch)

    def reading(self) -> list[web.RouteDef]:
        return self._routes.reading()

    def commands(self) -> list[web.RouteDef]:
        return self._routes.commands()

    def _configuration(self) -> tuple[int, Configuration]:
        """That in force, with its generation."""
        generation = self._state.current()
        if generation is not None and generation != self._read[0]:
            self._read = generation, self._state.configuration(generation)
        return self._read

    async def _run(self) -> None:
        while True:
            try:
                self._at_work = await self._begin()
                break
            except (FleetFileError, TableError, ValueError) as why:
                self._log.error("no part of the fleet", why=str(why))
                return
            except (StoreUnavailable, FileNotFoundError):
                await asyncio.sleep(RETRY_S)
        await self._at_work.run()

    async def _begin(self) -> FleetAtWork:
        settings, thread, orders = self._settings, self._durable.thread, self._durable.orders
        root = public_key(settings.root)
        trust, raw = await self._newest_trust()
        identity = Identity(
            settings.name,
            self._name,
            read_private_key(Path(settings.key)),
            root,
            settings.mode is FleetMode.MESH,
            float(settings.max_bytes_per_s),
        )
        reputation = ReputationCache.attach(self._state.tables / "reputation.tbl")
        await orders.load()
        epoch, mark, seen_ms, held = await thread.do(
            lambda store: (
                store.node.next_epoch(0, time.time()),
                store.node.cursor(_CLOCK),
                store.node.cursor(_SEEN),
                read_held(store),
            )
        )
        clock = HybridClock(mark)
        protected = ProtectedNumbers(self._configuration, self._base_dir).needs_second
        node = Node(identity, trust, raw, epoch, clock, wall_ms(), last_seen_ms=seen_ms, is_protected=protected)
        orders.signer = node.member.origin
        orders.needs_second = protected
        orders.trunks.use_salt(trust.bundle.salt)
        await self._take_back(node)
        shares = LimitShares(self._shares, self._state.configuration)
        shares.learn(self._state.current() or 0)
        effects = FleetEffects(orders, reputation, node.replica.verdicts, lambda origin: node.trust.name_of(origin))
        effects.breaker.hold_again(held, wall_ms())
        at_work = FleetAtWork(node, settings, effects, orders, shares, thread, clock, self._log)
        orders.on_local(at_work.on_local)
        self._durable.complaints.on_counted(at_work.on_counted)
        return at_work

    async def _newest_trust(self) -> tuple[Trust, bytes]:
        """Of the file and of what the fleet has said since."""
        root = public_key(self._settings.root)
        bundle, raw = read_bundle(Path(self._settings.trust), root)
        stored = await self._durable.thread.do(lambda store: store.node.trust())
        if stored is not None and stored[0] > bundle.version:
            try:
                return Trust(open_bundle(stored[1], root)), stored[1]
            except Refused:
                self._log.warning("the stored trust bundle is of another root key", version=stored[0])
        return Trust(bundle), raw

    async def _take_back(self, node: Node) -> None:
        orders, origin = self._durable.orders, node.member.origin
        decisions, proposals, slots, generations = await self._durable.thread.do(
            lambda store: (
                list(store.decisions.all()),
                list(store.proposals.all()),
                list(store.evidence.load(origin)),
                list(store.evidence.generations()),
            )
        )
        unsigned = [one for one in decisions if not one.signer]
        if unsigned and node.member.has(Role.AUTHORITY):
            signed = [msgspec.structs.replace(one, signer=origin) for one in unsigned]
            await orders.merge(signed)
            decisions = [one for one in decisions if one.signer] + signed
        for key, gen in generations:
            node.replica.evidence.raise_generation(key, gen)
        node.take_back(decisions, slots)
        if node.member.has(Role.AUTHORITY):
            node.propose_again(one for one in proposals if one.signer == origin)

    def collect(self) -> Iterator[Metric]:
        fleet = self._at_work
        yield GaugeMetricFamily("callsieve_fleet_member", "Whether this node takes part in a fleet", int(bool(fleet)))
        if fleet is None:
            return
        node, now_ms = fleet.node, fleet.now_ms()
        gauges = {
            "connected": ("Whether the broker is there", fleet.session.connected),
            "stale": ("Whether no peer's digest came for a minute", node.is_stale(now_ms)),
            "trust_version": ("Version of the trust bundle in force", node.trust.version),
            "backlog": ("Keys and messages that are still to be told", node.outbound.backlog()),
            "held": ("Changes that the circuit breaker holds", sum(fleet.effects.held.values())),
            "peers_that_differ": ("Members whose digests differ twice in a row", node.repair.differs()),
            "judges_disagree": ("Keys on which judges disagree for a minute", _disagreements(node, now_ms)),
            "lending": ("Whether a lender of the fleet's limits is at work", node.limits.borrower.is_lent_to(now_ms)),
            "claims": ("Subjects of limits of the whole fleet that this node asks for", len(node.limits.borrower)),
            "shares_without_room": ("Shares that the table had no room for", fleet.shares.no_room),
            "keys": ("Keys with evidence", len(node.replica.evidence)),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"callsieve_fleet_{name}", text, float(value))
        frames = CounterMetricFamily("callsieve_fleet_frames", "Frames that came in, by outcome", labels=["outcome"])
        for outcome, count in node.counts.items():
            frames.add_metric([outcome], count)
        yield frames
