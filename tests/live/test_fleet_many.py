"""M13: a thousand nodes in one process around Debian's mosquitto, in regions as the design has them.

All are the fleet's own nodes with their own keys; a region, the judges and the authority are connected as in the
product. Two things are cheaper than a thousand machines would have them, since all run on one core: the others'
connections are a plain client of the test (aiomqtt takes half a millisecond for each message), and a frame that goes to
everybody is verified once and not a thousand times. In each window of five seconds every proxy has one caller to tell
of, and one caller's verdict changes; two judges tell a thousand nodes of it.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from pathlib import Path

import aiomqtt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from proxy.control.hybrid_clock import HybridClock
from proxy.control.sync import mqtt
from proxy.control.sync.decay import UNIT
from proxy.control.sync.metrics import Metric
from proxy.control.sync.mqtt import BrokerAddress
from proxy.control.sync.node import Identity, Node
from proxy.control.sync.score import Band
from proxy.control.sync.session import Session, wall_ms
from proxy.control.sync.trust import Member, Role
from tests.abuse.size import FULL, size
from tests.live import plain_mqtt
from tests.live.fleet import LIVES, until
from tests.live.mosquitto import Mosquitto
from tests.live.programs import LOOPBACK, Ports
from tests.proxy.sync.fleet import FLEET, LOOSE, ROOT, block, bundle_of, member, number, private_key

NODES = size(50, 1000)
REGION = 30  # proxies and two reducers: no more than 32
WHOLE = 3 + REGION  # so many are connected by aiomqtt: those that judge, the authority and a region
CONNECTING = 20  # at a time
PATIENCE_S = 120.0
ORDER_S = 2.0
COMPLAINT_S = 10.0
UP_BYTES_PER_S = 1300  # of one proxy, by the design's reckoning
DOWN_BYTES_PER_S = 3700
FDS = 4096
WINDOW_S = 5  # in which a proxy collects what it tells
REMEMBERED = 16  # frames of each node


class Verified:
    """A public key that remembers which frames were good, for all nodes of this process."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._verify = lru_cache(REMEMBERED)(key.verify)

    def verify(self, signature: bytes, data: bytes) -> None:
        """InvalidSignature, as that of cryptography."""
        self._verify(signature, data)


class Simulated:
    """A node at work; when it heard of an order and of a block is what putting them into force would be."""

    def __init__(self, node: Node, port: int) -> None:
        self.node = node
        self.ordered_s = 0.0
        self.blocked_s = 0.0
        address = BrokerAddress(LOOPBACK, port, f"callsieve-{node.identity.name}")
        connect = plain_mqtt.connect if node.member.origin > WHOLE else mqtt.connect
        self.session = Session(node, address, on_tick=self._on_tick, connect=connect)

    def _on_tick(self, _: int) -> None:
        if self.node.take_decisions():
            self.ordered_s = time.monotonic()
        if Band.BLOCK in self.node.take_bands(1000)[1]:
            self.blocked_s = time.monotonic()


def members_of(count: int) -> list[Member]:
    """Two that judge, one authority, and regions of proxies with two reducers each."""
    members = [
        member(1, "top-a", Role.TOP, "centre", 0),
        member(2, "top-b", Role.TOP, "centre", 1),
        member(3, "office", Role.PROXY | Role.AUTHORITY, "centre", 2),
    ]
    while len(members) < count:
        region, index = divmod(len(members) - 3, REGION)
        role = Role.REDUCER if index < 2 else Role.PROXY
        members.append(member(len(members) + 1, f"r{region}-{index}", role, f"r{region}", index))
    return members


def nodes_of(members: Sequence[Member]) -> list[Node]:
    trust, raw = bundle_of(members, LOOSE)
    for each in trust.members:
        vars(each)["public_key"] = Verified(each.public_key)
    root = ROOT.public_key()
    identities = [Identity(FLEET, each.name, private_key(each.name), root, mesh=False) for each in members]
    return [Node(identity, trust, raw, next(LIVES), HybridClock(0), wall_ms()) for identity in identities]


@asynccontextmanager
async def at_work(nodes: Sequence[Node], port: int) -> AsyncIterator[list[Simulated]]:
    simulated = [Simulated(node, port) for node in nodes]
    tasks: list[asyncio.Task[None]] = []
    try:
        for at in range(0, len(simulated), CONNECTING):
            some = simulated[at : at + CONNECTING]
            tasks += [asyncio.create_task(one.session.run()) for one in some]
            await until(partial(all_connected, some), "some to connect", PATIENCE_S)
        yield simulated
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def all_connected(simulated: Sequence[Simulated]) -> bool:
    return all(one.session.connected for one in simulated)


async def waits(simulated: Sequence[Simulated], heard_s: Callable[[Simulated], float], what: str) -> list[float]:
    """Seconds until each has heard, sorted."""
    begun_s = time.monotonic()
    await until(lambda: all(heard_s(one) for one in simulated), what, PATIENCE_S)
    return sorted(heard_s(one) - begun_s for one in simulated)


async def octets(port: int) -> tuple[int, int]:
    """What the broker has received and sent, as it says once a second."""
    topics = {f"$SYS/broker/bytes/{way}": 0 for way in ("received", "sent")}
    async with aiomqtt.Client(LOOPBACK, port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.subscribe("$SYS/broker/bytes/+")
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            topics[message.topic.value] = int(message.payload)
            if all(topics.values()):
                break
    return topics["$SYS/broker/bytes/received"], topics["$SYS/broker/bytes/sent"]


def test_m13_many_nodes_around_one_broker(tmp_path: Path, ports: Ports, capsys: pytest.CaptureFixture[str]) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], FDS), before[1]))
    with Mosquitto(tmp_path / "broker", ports, "sys_interval 1\n") as broker, capsys.disabled():
        asyncio.run(_many(broker.port))


async def _many(port: int) -> None:
    nodes = nodes_of(members_of(NODES))
    async with at_work(nodes, port) as simulated:
        office = next(one for one in simulated if one.node.identity.name == "office")
        others = [one for one in simulated if one is not office]
        proxies = [one for one in others if one.node.member.has(Role.PROXY)]
        await until(lambda: all(one.node.repair.has_decisions for one in others), "all to have asked", PATIENCE_S)
        before, begun_s = await octets(port), time.monotonic()
        for turn in range(size(2, 30)):
            for one in proxies[turn % WINDOW_S :: WINDOW_S]:
                one.node.observe(number(10**6 + one.node.member.origin * 100 + turn), Metric.CALLS, wall_ms(), 2 * UNIT)
            if turn % WINDOW_S == 0:
                proxies[turn].node.observe(number(10**7 + turn), Metric.INVALID_CALLEE, wall_ms())
            await asyncio.sleep(1.0)
        order = block(number(1), wall_ms() << 16)
        office.node.decide([order], wall_ms())
        office.session.hurry()
        order_s = await waits(others, lambda one: one.ordered_s, "the order everywhere")
        proxies[-1].node.complain(number(8613900000000), "somebody", wall_ms())
        proxies[-1].session.hurry()
        complaint_s = await waits(proxies, lambda one: one.blocked_s, "the block everywhere")
        after, passed_s = await octets(port), time.monotonic() - begun_s
        up, down = ((after[way] - before[way]) / passed_s / len(nodes) for way in (0, 1))
    order_p99, complaint_p99 = (every[len(every) * 99 // 100] for every in (order_s, complaint_s))
    print(f"\nm13: {len(nodes)} nodes: order p99 {order_p99:.2f} s, complaint p99 {complaint_p99:.2f} s, "
          f"{up:.0f} B/s up and {down:.0f} B/s down a node")
    if FULL:  # in the short form what is told every 30 s falls into a few seconds, or does not
        assert up <= UP_BYTES_PER_S and down <= DOWN_BYTES_PER_S
        assert order_p99 <= ORDER_S and complaint_p99 <= COMPLAINT_S
