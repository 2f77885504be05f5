"""A call over every pair of transports: ringing, answer, re-INVITE, UPDATE, and a BYE from either side."""

from __future__ import annotations

import itertools
import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.live.node import LISTED, Node, Setup
from tests.live.plain_phone import SDP, PlainPhone
from tests.live.programs import LOOPBACK, Ports, wait_until
from tests.live.sipp import CALLEE
from tests.live.wires import StreamServerWire, StreamWire, UdpWire, WebSocketWire, Wire

INBOUND = ("udp", "tcp", "tls", "ws", "wss")
OUTBOUND = ("udp", "tcp", "tls")
LOOPBACK_6 = "::1"

LISTENER = """
[[listener]]
name = "{name}"
address = "{address}:{port}"
transport = "{transport}"
"""
TRUNK = """
[[trunk]]
name = "to-{gateway}"
sources = ["{source}"]
dial_plan = "cn"
policy = "default"
route = "to-{gateway}"
"""
GATEWAY = """
[[gateway]]
name = "to-{gateway}"
targets = [{{{{ address = "{address}", transport = "{transport}" }}}}]
probe = {{{{ enabled = false }}}}
"""
TLS = """
[[tls]]
name = "own"
certificate = "{certificate}"
key = "{key}"
server_ca = "{authority}"
"""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A node that listens on every transport. sources: the address to call from, by the transport that leads on."""

    node: Node
    ports: dict[str, int]
    callees: dict[str, Wire]
    sources: dict[str, str]
    trust: ssl.SSLContext
    host: str

    def caller(self, inbound: str, outbound: str) -> Wire:
        source, peer = self.sources[outbound], (self.host, self.ports[inbound])
        if inbound == "udp":
            return UdpWire((source, 0), peer)
        tls = self.trust if inbound in ("tls", "wss") else None
        return (WebSocketWire if inbound in ("ws", "wss") else StreamWire)(peer, source, tls)

    def callee(self, outbound: str) -> PlainPhone:
        """The one that the transport leads to; what an earlier call that failed has left is gone."""
        while self.callees[outbound].receive(0) is not None:
            pass
        return PlainPhone(self.callees[outbound], CALLEE, self.host)


Start = Callable[..., Crossing]


@pytest.fixture(scope="module")
def start_crossing(tmp_path_factory: pytest.TempPathFactory, ports: Ports) -> Iterator[Start]:
    started: list[Crossing] = []

    def start(host: str, sources: dict[str, str]) -> Crossing:
        directory = tmp_path_factory.mktemp("crossing")
        crossing = _crossing(directory, ports, host, sources)
        started.append(crossing)
        return crossing

    yield start
    for crossing in started:
        crossing.node.stop()
        for wire in crossing.callees.values():
            wire.close()


@pytest.fixture(scope="module")
def crossing(start_crossing: Start) -> Crossing:
    return start_crossing(LOOPBACK, {"udp": "127.0.0.11", "tcp": "127.0.0.12", "tls": "127.0.0.13"})


def _crossing(directory: Path, ports: Ports, host: str, sources: dict[str, str]) -> Crossing:
    authority = Authority(directory)
    own = authority.issue("node", "IP:127.0.0.1,IP:::1")
    trust = ssl.create_default_context(cafile=str(authority.certificate))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(own.certificate, own.key)
    places = {transport: ports.tcp() for transport in INBOUND}
    callees: dict[str, Wire] = {}
    for outbound in sources:
        if outbound == "udp":
            callees[outbound] = UdpWire((host, 0))
        else:
            callees[outbound] = StreamServerWire((host, 0), server if outbound == "tls" else None)
    address = f"[{host}]" if ":" in host else host
    more = TLS.format(certificate=own.certificate, key=own.key, authority=authority.certificate)
    more += "\n[streams]\nmessage_timeout_s = 60\nhandshake_timeout_s = 60\n"  # a busy machine may be slow
    for transport, port in places.items():
        more += LISTENER.format(name=f"in-{transport}", address=address, port=port, transport=transport)
        more += 'tls = "own"\n' if transport in ("tls", "wss") else ""
    for outbound, source in sources.items():
        more += TRUNK.format(source=source, gateway=outbound)
        more += GATEWAY.format(gateway=outbound, address=callees[outbound].place, transport=outbound)
    node = Node(directory, ports, ports.udp(), Setup(more=more))
    return Crossing(node, places, callees, sources, trust, host)


@pytest.mark.parametrize("who_ends", ["caller", "callee"])
@pytest.mark.parametrize(("inbound", "outbound"), list(itertools.product(INBOUND, OUTBOUND)))
def test_a_call_over_every_pair(crossing: Crossing, inbound: str, outbound: str, who_ends: str) -> None:
    call_through(crossing, inbound, outbound, who_ends)


@pytest.mark.parametrize("outbound", OUTBOUND)
def test_a_call_over_ipv6(start_crossing: Start, outbound: str) -> None:
    crossing = start_crossing(LOOPBACK_6, {outbound: LOOPBACK_6})
    for inbound, who_ends in itertools.product(INBOUND, ("caller", "callee")):
        call_through(crossing, inbound, outbound, who_ends)


@pytest.mark.parametrize("inbound", INBOUND)
def test_a_rejection_by_each_basis(crossing: Crossing, inbound: str) -> None:
    wire = crossing.caller(inbound, "udp")
    softswitch = crossing.callee("udp")

    def caller(number: str) -> PlainPhone:
        return PlainPhone(wire, number, f"{crossing.host}:{crossing.ports[inbound]}")

    for number in (LISTED, "+8600"):  # the operator's list, a number that cannot exist
        phone = caller(number)
        phone.refused(*phone.invite(CALLEE), "403")
    often = caller(next_number())
    for _ in range(5):
        sent = often.invite(CALLEE)
        call, invite = softswitch.rung()
        softswitch.respond(invite, "486 Busy Here", call)
        often.refused(*sent, "486")
        softswitch.expect("ACK")
    sixth = often.refused(*often.invite(CALLEE), "603")
    assert sixth.start_line == "SIP/2.0 603 Network Blocked"
    wire.close()

    def bases() -> set[str]:
        verdicts = json.loads(crossing.node.get("/v1/counters")[1])["verdicts"]
        return {verdict["basis"] for verdict in verdicts if verdict["action"] == "reject"}

    wait_until(lambda: bases() == {"policy", "invalid", "analytics"}, "every basis to be counted")


def call_through(crossing: Crossing, inbound: str, outbound: str, who_ends: str) -> None:
    domain = f"[{crossing.host}]" if ":" in crossing.host else crossing.host
    wire = crossing.caller(inbound, outbound)
    caller = PlainPhone(wire, next_number(), f"{domain}:{crossing.ports[inbound]}")
    callee = crossing.callee(outbound)
    sent, invite = caller.invite(CALLEE)
    received, arrived = callee.rung()
    assert arrived.all("Via")[0].startswith(f"SIP/2.0/{outbound.upper()} ")
    assert arrived.body == SDP
    caller.expect("180")
    callee.respond(arrived, "200 OK", received)
    answer = caller.answered(sent)
    assert [via.startswith(invite.get("Via").removesuffix(";rport")) for via in answer.all("Via")] == [True]
    callee.expect("ACK")

    caller.request(sent, "INVITE", SDP)
    callee.respond(callee.expect("INVITE"), "200 OK", received)
    caller.answered(sent)
    callee.expect("ACK")

    callee.request(received, "UPDATE", SDP)
    caller.respond(caller.expect("UPDATE"), "200 OK", sent)
    callee.expect("200")

    if who_ends == "caller":
        caller.request(sent, "BYE")
        callee.respond(callee.expect("BYE"), "200 OK", received)
        caller.expect("200")
    else:
        callee.request(received, "BYE")
        caller.respond(caller.expect("BYE"), "200 OK", sent)
        callee.expect("200")
    wire.close()
    wait_until(lambda: crossing.node.metric("callsieve_worker_calls") == 0, "the call to be over")


def next_number() -> str:
    """A caller of whom nothing is known."""
    return f"+8613800{next(_numbers):06}"


_numbers = itertools.count(138_000)
