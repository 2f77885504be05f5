"""Kamailio on both sides of the proxy: the carrier that calls come from and the softswitch that they go to."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.live.baresip import TALK_S, BaresipFactory
from tests.live.kamailio import Kamailio, KamailioFactory
from tests.live.node import LISTED, Node
from tests.live.programs import LOOPBACK, Ports, wait_until
from tests.live.sipp import CALLEE, CALLER, SippFactory

CARRIER = "127.0.0.31"
SOFTSWITCH = "127.0.0.32"
TRANSPORTS = ("udp", "tcp", "tls")
BETWEEN = """
[[listener]]
name = "tcp"
address = "{{host}}:{{sip}}"
transport = "tcp"

[[listener]]
name = "tls"
address = "{{host}}:{tls_port}"
transport = "tls"
tls = "own"

[[tls]]
name = "own"
certificate = "{certificate}"
key = "{key}"
server_ca = "{authority}"

[[trunk]]
name = "kamailio"
sources = ["127.0.0.31"]
dial_plan = "cn"
policy = "default"
route = "kamailio"

[[gateway]]
name = "kamailio"
targets = [{{{{ address = "{softswitch}", transport = "{transport}" }}}}]
"""


@dataclass(frozen=True, slots=True)
class Chain:
    """caller → carrier → node → softswitch → callee; between the three servers one transport."""

    carrier: Kamailio
    node: Node
    softswitch: Kamailio
    callee_port: int


Start = Callable[[str], Chain]


@pytest.fixture
def start_chain(start_node: Callable[..., Node], kamailio: KamailioFactory, ports: Ports) -> Start:
    def start(transport: str) -> Chain:
        callee_port = ports.udp()
        softswitch = kamailio.server(SOFTSWITCH, f"sip:{LOOPBACK}:{callee_port}")
        own = kamailio.authority.issue("node", f"IP:{LOOPBACK}")
        tls_port = ports.tcp()
        more = BETWEEN.format(
            tls_port=tls_port,
            certificate=own.certificate,
            key=own.key,
            authority=kamailio.authority.certificate,
            softswitch=f"{SOFTSWITCH}:{softswitch.port_of(transport)}",
            transport=transport,
        )
        node = start_node(ports.udp(), more=more, calls_a_minute=1000)
        port = tls_port if transport == "tls" else node.port
        carrier = kamailio.server(CARRIER, f"sip:{LOOPBACK}:{port};transport={transport}")
        return Chain(carrier, node, softswitch, callee_port)

    return start


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_calls_between_two_kamailios(start_chain: Start, sipp: SippFactory, transport: str) -> None:
    chain = start_chain(transport)
    callee = sipp.callee(port=chain.callee_port)
    caller = sipp.caller(chain.carrier.port, host=CARRIER, calls=10)
    assert caller.wait() == 0, caller.tail() + chain.node.tail() + chain.carrier.tail()
    assert len(callee.received("INVITE")) == len(callee.received("BYE")) == 10
    for method in ("INVITE", "ACK", "BYE"):
        assert chain.softswitch.heard(method) == [transport] * 10
    assert {decision["trunk"] for decision in chain.node.decisions(10)} == {"kamailio"}
    wait_until(lambda: chain.node.metric("callsieve_worker_calls") == 0, "every call to be over")

    rejected = sipp.caller(chain.carrier.port, "rejected", host=CARRIER, caller=LISTED, status=403)
    assert rejected.wait() == 0, rejected.tail()
    assert len(chain.softswitch.heard("INVITE")) == 10, "a rejected call does not reach the softswitch"


@pytest.mark.parametrize("who", ["caller", "callee"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_phones_talk_through_two_kamailios(
    start_chain: Start, baresip: BaresipFactory, transport: str, who: str
) -> None:
    chain = start_chain(transport)
    bob = baresip.phone(CALLEE, own_port=chain.callee_port)
    alice = baresip.phone(CALLER)
    alice.dial(CALLEE, chain.carrier.port, host=CARRIER)
    bob.wait_event("CALL_INCOMING")
    alice.wait_event("CALL_RINGING")
    bob.answer()
    for phone in (alice, bob):
        phone.wait_event("CALL_RTPESTAB")
    time.sleep(TALK_S)
    (alice if who == "caller" else bob).hang_up()
    for phone in (alice, bob):
        phone.wait_event("CALL_CLOSED")
    assert chain.node.call_ended()["released_by"] == who
    assert wait_until(bob.loudness, "the callee's recording") > 10_000
