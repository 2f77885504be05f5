"""Phones that nobody here wrote, over every transport that they speak: each calls, is called, and is rejected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.certificates import Authority, Issued
from tests.live.baresip import BaresipFactory
from tests.live.linphone import LinphoneFactory
from tests.live.node import LISTED, Node
from tests.live.programs import LOOPBACK, Ports, wait_until
from tests.live.sipp import CALLEE, CALLER, SippFactory

TRANSPORTS = ("udp", "tcp", "tls")
LISTENERS = """
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
"""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Starts nodes with a UDP, a TCP and a TLS listener, and knows where each listens."""

    start_node: Callable[..., Node]
    authority: Authority
    own: Issued
    tls_port: int

    def node(self, gateway_port: int, transport: str) -> Node:
        more = LISTENERS.format(
            tls_port=self.tls_port,
            certificate=self.own.certificate,
            key=self.own.key,
            authority=self.authority.certificate,
        )
        return self.start_node(gateway_port, more=more, gateway_transport=transport)

    def certificate_file(self) -> Path:
        """A certificate of this machine and its key in one file, as baresip wants them."""
        both = self.own.certificate.with_name("both.pem")
        both.write_bytes(self.own.key.read_bytes() + self.own.certificate.read_bytes())
        return both

    def port(self, node: Node, transport: str) -> int:
        return self.tls_port if transport == "tls" else node.port


@pytest.fixture
def exchange(start_node: Callable[..., Node], ports: Ports, tmp_path: Path) -> Exchange:
    authority = Authority(tmp_path)
    return Exchange(start_node, authority, authority.issue("node", f"IP:{LOOPBACK}"), ports.tcp())


def released_by(node: Node) -> str:
    by = node.call_ended()["released_by"]
    wait_until(lambda: node.metric("callsieve_worker_calls") == 0, "the call to be over")
    return str(by)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_linphone_calls(exchange: Exchange, linphone: LinphoneFactory, sipp: SippFactory, transport: str) -> None:
    callee = sipp.callee()
    node = exchange.node(callee.port, "udp")
    phone = linphone.phone(CALLER, exchange.authority.certificate)
    phone.dial(CALLEE, exchange.port(node, transport), transport)
    phone.wait_state("CallStreamsRunning")
    phone.hang_up()
    phone.wait_state("CallReleased")
    assert released_by(node) == "caller"


@pytest.mark.parametrize("transport", ["udp", "tcp"])  # linphone-daemon has no certificate to answer TLS with
def test_linphone_is_called(exchange: Exchange, linphone: LinphoneFactory, sipp: SippFactory, transport: str) -> None:
    phone = linphone.phone(CALLEE)
    node = exchange.node(phone.port, transport)
    caller = sipp.caller(node.port, "called_back")
    phone.wait_state("CallIncomingReceived")
    phone.answer()
    phone.wait_state("CallStreamsRunning")
    phone.hang_up()
    phone.wait_state("CallReleased")
    assert caller.wait() == 0, caller.tail()
    assert released_by(node) == "callee"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_linphone_is_rejected(exchange: Exchange, linphone: LinphoneFactory, ports: Ports, transport: str) -> None:
    node = exchange.node(ports.udp(), "udp")
    phone = linphone.phone(LISTED, exchange.authority.certificate)
    phone.dial(CALLEE, exchange.port(node, transport), transport)
    phone.wait_state("CallError")
    (decision,) = node.decisions(1)
    assert (decision["status"], decision["basis"]) == (403, "policy")


# baresip 1.0 sends nothing along a sips Route, which is what a proxy on TLS records (RFC 5630 section 5.3).
@pytest.mark.parametrize("who", ["caller", "callee"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_baresip_calls_baresip(exchange: Exchange, baresip: BaresipFactory, transport: str, who: str) -> None:
    bob = baresip.phone(CALLEE, transport=transport)
    node = exchange.node(bob.port, transport)
    alice = baresip.phone(CALLER, transport=transport, proxy_port=node.port)
    alice.dial(CALLEE, node.port)
    bob.wait_event("CALL_INCOMING")
    alice.wait_event("CALL_RINGING")
    bob.answer()
    for phone in (alice, bob):
        phone.wait_event("CALL_ESTABLISHED")
    (alice if who == "caller" else bob).hang_up()
    for phone in (alice, bob):
        phone.wait_event("CALL_CLOSED")
    assert released_by(node) == who


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_baresip_is_rejected(exchange: Exchange, baresip: BaresipFactory, ports: Ports, transport: str) -> None:
    node = exchange.node(ports.udp(), "udp")
    files = {"certificate": exchange.certificate_file(), "authority": exchange.authority.certificate}
    mallory = baresip.phone(LISTED, transport=transport, proxy_port=exchange.port(node, transport), **files)
    mallory.dial(CALLEE, exchange.port(node, transport))
    assert "403" in mallory.wait_event("CALL_CLOSED")["param"]
    (decision,) = node.decisions(1)
    assert (decision["status"], decision["basis"]) == (403, "policy")
