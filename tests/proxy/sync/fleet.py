"""A fleet in one process on a fake clock: real nodes around a broker that loses, repeats, reorders and forgets."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proxy.control.decisions import Act, Decision, Kind
from proxy.control.hybrid_clock import HybridClock, stamp_of
from proxy.control.sync.node import Identity, Node
from proxy.control.sync.topics import Outgoing
from proxy.control.sync.trust import Bundle, Member, Parameters, Role, Trust, sign_bundle

FLEET = "test"
START_MS = 1_795_000_000_000
TICK_MS = 250
NUMBER = 1 << 60
ROOT = Ed25519PrivateKey.from_private_bytes(b"root".ljust(32))
LOOSE = Parameters(f=0, cap=5, tag=100, challenge=150, block=200, origins=1)
EVERYTHING = Role.PROXY | Role.REDUCER | Role.TOP | Role.AUTHORITY


def number(digits: int) -> int:
    return NUMBER | int(f"1{digits}")


def private_key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"."))


def member(
    origin: int, name: str, roles: Role = EVERYTHING, region: str = "one", index: int | None = None
) -> Member:
    return Member(
        origin,
        name,
        region,
        (origin - 1) % 32 if index is None else index,
        1000 + origin,
        private_key(name).public_key().public_bytes_raw(),
        int(roles),
        0,
        0xFFFF_FFFF,
    )


def bundle_of(
    members: Iterable[Member], parameters: Parameters = LOOSE, version: int = 1, revoked: Sequence[int] = ()
) -> tuple[Trust, bytes]:
    bundle = Bundle(1, version, b"salt of the test", tuple(members), tuple(revoked), parameters)
    return Trust(bundle), sign_bundle(bundle, ROOT)


def block(
    key: int, hlc: int, ns: str = "operator", prio: int = 2, act: Act = Act.BLOCK, tomb: bool = False
) -> Decision:
    return Decision(ns, Kind.EXACT, key, act, prio, hlc, tomb=tomb, reason="test")


def matches(pattern: str, topic: str) -> bool:
    wanted, there = pattern.split("/"), topic.split("/")
    for level, name in zip(wanted, there, strict=False):
        if level == "#":
            return True
        if level not in ("+", name):
            return False
    return len(wanted) == len(there)


@dataclass
class Weather:
    """What the way to each subscriber does to messages."""

    loss: float = 0.0
    duplicates: float = 0.0
    delay_ms: int = 0


@dataclass
class Broker:
    """queued: what is kept for who is away; beyond it the newest are lost, as mosquitto does it."""

    rng: random.Random
    weather: Weather = field(default_factory=Weather)
    up: bool = True
    queued: int = 1000
    retained: dict[str, bytes] = field(default_factory=dict)
    messages: int = 0
    octets: int = 0
    on_its_way: list[tuple[int, int, str, str, bytes]] = field(default_factory=list)
    by_topic: dict[str, int] = field(default_factory=dict)


class Fleet:
    """now_ms: the clock of all. nodes: by name; those in `away` are not connected."""

    def __init__(
        self,
        members: Sequence[Member],
        parameters: Parameters = LOOSE,
        *,
        mesh: bool = True,
        seed: int = 1,
        weather: Weather | None = None,
        **identity: Any,
    ) -> None:
        self.rng = random.Random(seed)
        self.broker = Broker(self.rng, weather or Weather())
        self.now_ms = START_MS
        self.members = list(members)
        self.parameters = parameters
        self.mesh = mesh
        self.trust, self.trust_raw = bundle_of(members, parameters)
        self.nodes: dict[str, Node] = {}
        self.away: set[str] = set()
        self.applied: dict[str, list[Decision]] = {m.name: [] for m in members}
        self.bands: dict[str, dict[int, int]] = {m.name: {} for m in members}
        self.wills: dict[str, Outgoing] = {}
        self.epochs: dict[str, int] = {}
        self._identity = identity
        self._subscriptions: dict[str, list[tuple[str, bool]]] = {}
        self._counter = 0
        self._routes: dict[str, tuple[list[tuple[str, bool]], list[str]]] = {}
        for each in members:
            self.start(each.name)

    def start(self, name: str, **options: Any) -> Node:
        """A new life of a node, with an empty memory."""
        self.epochs[name] = self.epochs.get(name, 0) + 1
        identity = Identity(FLEET, name, private_key(name), ROOT.public_key(), self.mesh, **self._identity)
        node = Node(
            identity,
            self.trust,
            self.trust_raw,
            self.epochs[name],
            HybridClock(0),
            self.now_ms,
            **options,
        )
        self.nodes[name] = node
        self.bands[name] = {}
        self.connect(name)
        return node

    def restart(self, name: str, *, with_disk: bool) -> Node:
        """with_disk: its slots and decisions come back from its store."""
        old = self.nodes[name]
        slots = [
            (key, origin, epoch, old.replica.evidence.generation(key), metric, q)
            for shard in range(64)
            for key in old.replica.evidence.keys(shard)
            for origin, epoch, metric, q in old.replica.evidence.read(key)
            if origin == old.member.origin
        ]
        generations = old.replica.evidence.generations()
        frames = list(old.replica.decisions.frames_since(0))
        node = self.start(name)
        if with_disk:
            for key, gen in generations:
                node.replica.evidence.raise_generation(key, gen)
            for key, origin, epoch, gen, metric, q in slots:
                node.replica.merge_evidence(origin, epoch, [(key, gen, [metric, q])])
            node.inbound.take_frames(frames)
        return node

    def connect(self, name: str) -> None:
        node = self.nodes[name]
        self.away.discard(name)
        self.wills[name] = node.on_connecting(self.now_ms)
        self._routes.clear()
        self._subscriptions[name] = [(topic, no_local) for topic, _, no_local in node.subscriptions()]
        node.on_connected(self.now_ms)
        for topic, payload in list(self.broker.retained.items()):
            if any(matches(pattern, topic) for pattern, _ in self._subscriptions[name]):
                node.on_frame(topic, payload, self.now_ms)

    def disconnect(self, name: str) -> None:
        self.away.add(name)
        self.nodes[name].on_disconnected()

    def stop_broker(self, *, forgets: bool = True) -> None:
        self.broker.up = False
        if forgets:
            self.broker.retained.clear()
        for name in self.nodes:
            if name not in self.away:
                self.nodes[name].on_disconnected()

    def start_broker(self) -> None:
        self.broker.up = True
        for name in self.nodes:
            if name not in self.away:
                self.connect(name)

    def publish(self, sender: str, message: Outgoing) -> None:
        broker = self.broker
        broker.messages += 1
        broker.octets += len(message.payload)
        branch = message.topic.split("/")[3]
        broker.by_topic[branch] = broker.by_topic.get(branch, 0) + len(message.payload)
        if message.retain:
            broker.retained[message.topic] = message.payload
        direct, shared = self._route(message.topic)
        for name, no_local in direct:
            if name not in self.away and not (no_local and name == sender):
                self._send(name, message)
        there = [name for name in shared if name not in self.away]
        if there:
            self._send(self.rng.choice(there), message)

    def _route(self, topic: str) -> tuple[list[tuple[str, bool]], list[str]]:
        """Who listens to a topic: each for itself, with no-local; and those of whom one gets it."""
        if topic not in self._routes:
            share = "$share/sync/"
            direct, shared = [], []
            for name, patterns in self._subscriptions.items():
                hits = [(name, no_local) for pattern, no_local in patterns if matches(pattern, topic)]
                direct += hits[:1]
                shared += [name for p, _ in patterns if p.startswith(share) and matches(p.removeprefix(share), topic)]
            self._routes[topic] = direct, shared
        return self._routes[topic]

    def _send(self, name: str, message: Outgoing) -> None:
        weather = self.broker.weather
        if self.rng.random() < weather.loss:
            return
        for _ in range(1 + (self.rng.random() < weather.duplicates)):
            self._counter += 1
            due = self.now_ms + (self.rng.randrange(weather.delay_ms) if weather.delay_ms else 0)
            self.broker.on_its_way.append((due, self._counter, name, message.topic, message.payload))

    def step(self) -> None:
        """A quarter of a second."""
        self.now_ms += TICK_MS
        due = sorted(each for each in self.broker.on_its_way if each[0] <= self.now_ms)
        self.broker.on_its_way = [each for each in self.broker.on_its_way if each[0] > self.now_ms]
        for _, _, name, topic, payload in due:
            if name not in self.away and self.broker.up:
                self.nodes[name].on_frame(topic, payload, self.now_ms)
        for name, node in self.nodes.items():
            for message in node.on_tick(self.now_ms):
                node.outbound.pacing.acknowledged()
                if self.broker.up and name not in self.away:
                    self.publish(name, message)
            self.applied[name] += node.take_decisions()
            self.bands[name].update(zip(*node.take_bands(100_000), strict=True))

    def run(self, seconds: float) -> None:
        for _ in range(int(seconds * 1000 / TICK_MS)):
            self.step()

    def decide(self, name: str, decision: Decision) -> None:
        self.nodes[name].decide([decision], self.now_ms)

    def hlc(self) -> int:
        return stamp_of(self.now_ms)

    def roots(self) -> set[tuple[bytes, int, int]]:
        """The evidence digest and the decisions of every node: one element if all are equal."""
        return {
            (node.replica.evidence.digest.roots(), len(node.replica.decisions), node.replica.decisions.hash)
            for node in self.nodes.values()
        }

    def revoke(self, name: str) -> None:
        gone = self.trust.by_name(name)
        assert gone is not None
        version = self.trust.version + 1
        revoked = (*self.trust.bundle.revoked, gone.origin)
        self.trust, self.trust_raw = bundle_of(self.members, self.parameters, version, revoked)


def mesh_of(count: int, parameters: Parameters = LOOSE, **options: Any) -> Fleet:
    return Fleet([member(origin, f"node-{origin}") for origin in range(1, count + 1)], parameters, **options)
