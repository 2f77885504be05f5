"""Group M of the fault and abuse tests where a real broker is asked for: Debian's mosquitto."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

import aiomqtt
import pytest

from proxy.control.decisions import Decision
from proxy.control.sync.metrics import Metric
from proxy.control.sync.mqtt import BrokerAddress, BrokerConnection, BrokerLost, connect
from proxy.control.sync.node import Node
from proxy.control.sync.session import wall_ms
from proxy.control.sync.topics import Outgoing
from proxy.control.sync.trust import Member, Role
from tests.certificates import Authority
from tests.live.fleet import at_work, make_node, roots, until
from tests.live.mosquitto import Mosquitto, fleet_configuration
from tests.live.programs import LOOPBACK, Ports, Program, require, wait_until
from tests.proxy.sync.fleet import FLEET, block, bundle_of, member, number

MEMBERS = [member(at, f"node-{at}") for at in range(1, 4)]
ROOT_TOPIC = f"callsieve/1/{FLEET}"


@pytest.fixture
def broker(tmp_path: Path, ports: Ports) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker", ports) as running:
        yield running


def nodes_of(members: list[Member] = MEMBERS) -> list[Node]:
    return [make_node(each.name, members) for each in members]


def now_block(digits: int) -> Decision:
    return block(number(digits), wall_ms() << 16)


def test_m1_three_nodes_around_mosquitto(broker: Mosquitto) -> None:
    asyncio.run(_three_nodes(broker))


async def _three_nodes(broker: Mosquitto) -> None:
    nodes = nodes_of()
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(at_work(node, broker.port)) for node in nodes]
        await until(lambda: all(session.connected for session in sessions), "all to connect")
        nodes[0].decide([now_block(1)], wall_ms())
        nodes[1].complain(number(2), "somebody", wall_ms())
        for at in range(500):
            nodes[2].observe(number(100 + at), Metric.INVALID_CALLEE, wall_ms())
        await until(lambda: all(len(node.replica.decisions) == 1 for node in nodes), "the decision everywhere", 2.0)
        await until(lambda: all(node.replica.verdicts.get(number(2)) for node in nodes), "the complaint", 10.0)
        await until(lambda: len(roots(nodes)) == 1 and len(nodes[0].replica.evidence) == 501, "equal digests")


def test_m3_the_broker_drops_what_it_has_acknowledged(broker: Mosquitto) -> None:
    """Mosquitto's default queue keeps the oldest 1,000 of what it acknowledged; the fleet converges all the same."""
    asyncio.run(_dropped(broker))


async def _dropped(broker: Mosquitto) -> None:
    away, there = nodes_of(MEMBERS[:2])
    async with at_work(away, broker.port) as session:
        await until(lambda: session.connected, "the first connection")
    async with at_work(there, broker.port) as session:
        await until(lambda: session.connected, "the other to connect")
        for at in range(5000):  # one frame each, as orders of an operator come
            there.decide([block(number(at), (wall_ms() << 16) + at)], wall_ms())
        await until(lambda: not there.outbound.backlog(), "5,000 messages to be acknowledged", 60.0)
        received = 0
        async for _ in queued_for(broker.port, away):
            received += 1
        assert 900 < received <= 1010  # of 5,000 that it acknowledged
        async with at_work(away, broker.port) as second:
            await until(lambda: second.connected, "the connection after that")
            await until(lambda: len(away.replica.decisions) == 5000, "every decision", 90.0)
            assert len(roots([away, there])) == 1


async def queued_for(port: int, node: Node) -> AsyncIterator[str]:
    """Takes what the broker kept for a node, as the node itself would, and throws it away."""
    address = BrokerAddress(LOOPBACK, port, f"callsieve-{node.identity.name}")
    async with connect(address, node.on_connecting(wall_ms())) as connection:
        messages = connection.messages()
        while True:
            try:
                async with asyncio.timeout(2.0):
                    topic, _ = await anext(messages)
            except TimeoutError:
                return
            if "/dec/" in topic:
                yield topic


def test_m4_a_broker_that_was_killed_has_its_heads_again(broker: Mosquitto) -> None:
    asyncio.run(_killed(broker))


async def _killed(broker: Mosquitto) -> None:
    nodes = nodes_of(MEMBERS[:2])
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(at_work(node, broker.port)) for node in nodes]
        await until(lambda: all(session.connected for session in sessions), "all to connect")
        broker.stop()
        await until(lambda: not any(session.connected for session in sessions), "the loss to be seen")
        nodes[0].decide([now_block(9)], wall_ms())
        with broker.again() as second:
            await until(lambda: all(len(node.replica.decisions) == 1 for node in nodes), "the decision", 30.0)
            wanted = {f"{ROOT_TOPIC}/{head}/{node.identity.name}" for head in ("st", "sum") for node in nodes}
            assert wanted | {f"{ROOT_TOPIC}/key"} <= await retained(second.port)


async def retained(port: int) -> set[str]:
    found = set()
    async with aiomqtt.Client(LOOPBACK, port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.subscribe("callsieve/#")
        try:
            async with asyncio.timeout(1.0):
                async for message in client.messages:
                    if message.retain:
                        found.add(message.topic.value)
        except TimeoutError:
            pass
    return found


# --- The recommended configuration ------------------------------------------------------------------------------------


@asynccontextmanager
async def recommended(directory: Path, ports: Ports) -> AsyncIterator[tuple[int, Authority]]:
    """conf/mosquitto/fleet.conf with certificates; node-1 is an authority by its ACL."""
    authority = Authority(directory, "ca")
    (directory / "ca.crt").write_bytes(authority.certificate.read_bytes())
    issued = authority.issue("broker", f"IP:{LOOPBACK}", common_name="broker")
    (directory / "broker.crt").write_bytes(issued.certificate.read_bytes())
    (directory / "broker.key").write_bytes(issued.key.read_bytes())
    port = ports.tcp()
    access = f"\nuser node-1\ntopic write {ROOT_TOPIC}/dec/#\ntopic write {ROOT_TOPIC}/key\n"
    path = fleet_configuration(directory, FLEET, port, access)
    with Program([require("mosquitto", "mosquitto"), "-c", str(path)], directory, "mosquitto") as program:
        wait_until(lambda: program.exit_code is not None or listens(port), f"mosquitto to listen: {program.tail()}")
        assert program.exit_code is None, program.tail()
        yield port, authority


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def tls_of(authority: Authority, name: str) -> ssl.SSLContext:
    issued = authority.issue(name, common_name=name)
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.load_cert_chain(issued.certificate, issued.key)
    return context


def test_m7_broker_and_receivers_refuse_what_a_node_may_not_say(tmp_path: Path, ports: Ports) -> None:
    asyncio.run(_forbidden(tmp_path, ports))


async def _forbidden(directory: Path, ports: Ports) -> None:
    members = [MEMBERS[0], member(2, "node-2", Role.PROXY)]
    async with recommended(directory, ports) as (port, authority), AsyncExitStack() as stack:
        node = make_node("node-1", members)
        session = await stack.enter_async_context(at_work(node, port, tls_of(authority, "node-1")))
        await until(lambda: session.connected, "node-1 to connect")
        tls = tls_of(authority, "node-2")
        liar = make_node("node-2", members)
        async with connect(BrokerAddress(LOOPBACK, port, "node-2", tls), liar.on_connecting(wall_ms())) as connection:
            before = node.counts.copy()
            for topic in ("up/one/node-1/0", "dec/operator", "key", "st/node-1", "dn/0", "in/hotline"):
                await refused(connection, f"{ROOT_TOPIC}/{topic}")
            await asyncio.sleep(0.5)
            assert node.counts == before  # none came through
            await connection.publish(Outgoing(f"{ROOT_TOPIC}/rq/0", b"noise"))
            await until(lambda: node.counts["refused: msgpack"], "what is allowed to come through")
        assert node.inbound.statuses.get(2) is None
        for client_id in ("#", "+", "a/b"):
            await harmless(port, client_id, tls, liar)
        with pytest.raises(BrokerLost):
            async with connect(
                BrokerAddress(LOOPBACK, port, "stranger", ssl_without_certificate(authority)),
                liar.on_connecting(wall_ms()),
            ) as connection:
                await connection.subscribe([("#", 0, False)])


async def refused(connection: BrokerConnection, topic: str) -> None:
    """The broker may say so or be silent; it hands nothing on, which the caller checks."""
    try:
        await connection.publish(Outgoing(topic, b"x", retain=True))
    except BrokerLost:
        return


async def harmless(port: int, client_id: str, tls: ssl.SSLContext, node: Node) -> None:
    """A client id that looks like a filter gives nobody another's topics (CVE-2017-7650): names are certificates'."""
    try:
        address = BrokerAddress(LOOPBACK, port, client_id, tls)
        async with connect(address, node.on_connecting(wall_ms())) as connection:
            await refused(connection, f"{ROOT_TOPIC}/up/one/node-1/0")
            await refused(connection, f"{ROOT_TOPIC}/dec/operator")
    except BrokerLost:
        return


def ssl_without_certificate(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.certificate))


def test_m7_a_revoked_node_is_not_heard(broker: Mosquitto) -> None:
    asyncio.run(_revoked(broker))


async def _revoked(broker: Mosquitto) -> None:
    nodes = nodes_of()
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(at_work(node, broker.port)) for node in nodes]
        await until(lambda: all(session.connected for session in sessions), "all to connect")
        nodes[2].complain(number(5), "x", wall_ms())
        await until(lambda: nodes[0].replica.evidence.read(number(5)), "the evidence")
        _, raw = bundle_of(MEMBERS, version=2, revoked=[3])
        nodes[0].inbound.take_bundle(raw)
        sessions[0].hurry()
        async with connect(BrokerAddress(LOOPBACK, broker.port, "office"), nodes[0].on_connecting(wall_ms())) as office:
            await office.publish(Outgoing(f"{ROOT_TOPIC}/key", raw, retain=True))
        await until(lambda: not nodes[1].replica.evidence.read(number(5)), "the evidence to be gone")
        nodes[2].complain(number(6), "x", wall_ms())
        await until(lambda: nodes[1].counts["refused: kid"], "what it still says to be refused")
        assert not nodes[1].replica.evidence.read(number(6))
        late = make_node("node-2", MEMBERS)  # a retained message of the revoked is no better
        late.inbound.take_bundle(raw)
    async with at_work(late, broker.port) as session:
        await until(lambda: late.counts["refused: kid"], "its retained status to be refused")
        assert session.connected and 3 not in late.inbound.statuses


def test_m14_three_brokers_in_a_ring(tmp_path: Path, ports: Ports) -> None:
    """Each hands on what was not said where it goes to, so that nothing goes round twice."""
    numbers = [ports.tcp() for _ in range(3)]
    with ExitStack() as stack:
        brokers = [
            stack.enter_context(Mosquitto(tmp_path / f"broker-{at}", ports, bridge(at, numbers), port=numbers[at]))
            for at in range(3)
        ]
        asyncio.run(_ring(brokers))


def bridge(at: int, numbers: list[int]) -> str:
    """From broker `at`, with node-(at + 1), to the next: what its own node said and the one before it.

    Orders come from node-1 alone, so they end at the last broker of the ring.
    """
    following = (at + 1) % 3
    sayers = [f"node-{(at - back) % 3 + 1}" for back in (0, 1)]
    said = [f"{ROOT_TOPIC}/{head}" for name in sayers for head in (f"up/+/{name}/#", f"st/{name}", f"sum/{name}")]
    asked = [f"{ROOT_TOPIC}/rs/node-{(at + ahead) % 3 + 1}" for ahead in (1, 2)]
    ordered = [f"{ROOT_TOPIC}/dec/#"] if following else []
    topics = "".join(f"topic {topic} out 1\n" for topic in said + asked + ordered)
    head = f"connection ring-{at}\naddress {LOOPBACK}:{numbers[following]}\nremote_clientid ring-{at}\n"
    return f"{head}bridge_protocol_version mqttv50\nrestart_timeout 1\n{topics}"


def came_to(broker: Mosquitto, *topics: str) -> list[int]:
    """How many messages a broker has received on each of these."""
    received = [line for line in broker.output().splitlines() if "Received PUBLISH" in line]
    return [sum(f"'{ROOT_TOPIC}/{topic}" in line for line in received) for topic in topics]


def echoes(node: Node) -> list[int]:
    return [node.counts[what] for what in ("taken: evidence", "refused: replay", "refused: own")]


async def _ring(brokers: list[Mosquitto]) -> None:
    nodes = nodes_of()
    async with AsyncExitStack() as stack:
        for node, broker in zip(nodes, brokers, strict=True):
            await stack.enter_async_context(at_work(node, broker.port))
        await until(lambda: all(len(node.inbound.statuses) >= 2 for node in nodes), "all to see each other", 40.0)
        said = "up/one/node-1/", "up/one/node-3/", "dec/"
        nodes[0].decide([now_block(6)], wall_ms())
        for node in (nodes[0], nodes[2]):
            node.complain(number(5), node.identity.name, wall_ms())
        await until(lambda: all(len(node.replica.evidence.read(number(5))) == 4 for node in nodes), "both complaints")
        await until(lambda: all(len(node.replica.decisions) == 1 for node in nodes), "the order everywhere")
        await until(lambda: len({tuple(came_to(broker, *said)) for broker in brokers}) == 1, "every broker to have all")
        heard, counts = [echoes(node) for node in nodes], [came_to(broker, *said) for broker in brokers]
        await asyncio.sleep(2.0)
        assert [echoes(node) for node in nodes] == heard
        assert [came_to(broker, *said) for broker in brokers] == counts, "nothing goes round"
        assert all(counts[0]), "and each broker had each message once"
        assert nodes[0].counts["taken: decision"] == 0  # nothing came back to who said it
        assert len({tuple(sorted(node.replica.evidence.read(number(5)))) for node in nodes}) == 1
