"""R4 and R6: workers that stand still, and a message that kills whoever works on it."""

from __future__ import annotations

import functools
import os
import re
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from websockets.exceptions import WebSocketException

from tests.abuse.faults import FAULTS, preloaded
from tests.abuse.size import FULL, size
from tests.abuse.stream_clients import connect, invite, read_to_end
from tests.certificates import Authority
from tests.live.node import PROTECTED_CALLEE, ROOT, Node
from tests.live.programs import LOOPBACK, Ports, wait_until
from tests.live.sipp import SippFactory
from tests.live.wires import StreamWire, WebSocketWire

RESENT_EVERY_S = 0.1
RATE = 20
PATIENCE_S = 60.0

LISTENER = """
[[listener]]
name = "{transport}"
address = "{{host}}:{port}"
transport = "{transport}"
"""
TLS = """
[[tls]]
name = "own"
certificate = "{certificate}"
key = "{key}"
"""


# R4: the event loop stands still


@pytest.mark.parametrize("fault", ["stall", "gil"])
def test_r4_a_worker_that_stands_still_is_replaced(
    start_node: Callable[..., Node], ports: Ports, sipp: SippFactory, tmp_path: Path, fault: str
) -> None:
    file = tmp_path / "fault"
    environment = {"PYTHONPATH": f"{FAULTS}:{ROOT}", "CALLSIEVE_TEST_FAULT": str(file)}
    node = start_node(ports.udp(), environment=environment)
    sipp.callee(port=node.gateway_port)
    (before,) = node.workers()
    (tmp_path / "new").write_text(fault)
    os.rename(tmp_path / "new", file)
    begun_s = time.monotonic()
    node.wait_for("stands still", PATIENCE_S)
    seen_s = time.monotonic() - begun_s
    wait_until(lambda: before not in node.workers(), "the worker to be ended", PATIENCE_S)
    wait_until(lambda: node.metric("callsieve_worker_connected") == 1 and node.workers(), "another one", PATIENCE_S)
    replaced_s = time.monotonic() - begun_s
    print(f"r4: {fault} seen after {seen_s:.2f} s, replaced after {replaced_s:.2f} s")
    assert not FULL or (seen_s <= 1.0 and replaced_s <= 3.0)
    assert "stands still, killed" in node.output()
    assert ("in stall" if fault == "stall" else "in hold_the_lock") in node.output(), "the stack says where"
    later = sipp.caller(node.port, calls=5)
    assert later.wait() == 0, later.tail()


def test_r4_a_worker_that_somebody_stopped_is_left_to_them(node: Node, sipp: SippFactory) -> None:
    sipp.callee(port=node.gateway_port)
    (before,) = node.workers()
    os.kill(before, signal.SIGSTOP)
    try:
        node.wait_for("stands still", PATIENCE_S)
        time.sleep(size(2, 10))  # more than a worker that runs is given
    finally:
        os.kill(before, signal.SIGCONT)
    node.wait_for("turns again", PATIENCE_S)
    assert node.workers() == [before]
    later = sipp.caller(node.port, calls=5)
    assert later.wait() == 0, later.tail()


# R6: an INVITE of death


def invite_of_death(port: int, transport: str = "UDP") -> bytes:
    lines = (
        f"INVITE sip:{PROTECTED_CALLEE}@{LOOPBACK}:{port} SIP/2.0",
        f"Via: SIP/2.0/{transport} {LOOPBACK}:5099;branch=z9hG4bK-of-death",
        "Max-Forwards: 70",
        f"From: <sip:+8613900000001@{LOOPBACK}>;tag=1",
        f"To: <sip:{PROTECTED_CALLEE}@{LOOPBACK}>",
        "Call-ID: of-death",
        "CSeq: 1 INVITE",
        f"Contact: <sip:caller@{LOOPBACK}:5099>",
        "Content-Length: 0",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.bind((LOOPBACK, 0))
        yield end


def test_r6_an_invite_of_death_kills_two_workers_and_no_third(
    start_node: Callable[..., Node], ports: Ports, sipp: SippFactory, sender: socket.socket, tmp_path: Path
) -> None:
    environment = {"LD_PRELOAD": str(preloaded("deadly", tmp_path))}
    node = start_node(ports.udp(), calls_a_minute=100_000, environment=environment)
    sipp.callee(port=node.gateway_port)
    calls = size(150, 1200)
    caller = sipp.caller(node.port, calls=calls, rate=RATE, talk_ms=50)
    message = invite_of_death(node.port)

    def resent() -> bool:
        sender.sendto(message, (LOOPBACK, node.port))
        time.sleep(RESENT_EVERY_S)
        return caller.exit_code is not None

    wait_until(resent, "the calls to end while it is sent again and again", 120.0)
    deaths = len(re.findall(r'"ended, starting it again"', node.output()))
    assert deaths == 2, node.tail()
    wait_until(lambda: node.metric("callsieve_worker_quarantined_total") > 0, "the dropped ones to be counted")
    (kept,) = (node.state / "deadly").iterdir()
    assert kept.read_bytes() == message
    failed = failed_calls(caller.output())
    print(f"r6: {failed} of {calls} calls failed; {deaths} deaths")
    assert failed <= calls * size(0.2, 0.05), "of a short run the two deaths are a large part"


class Streams:
    """A node with a listener for TCP, TLS and WebSocket each, which what has a mark in it kills, and a softswitch."""

    def __init__(self, start_node: Callable[..., Node], ports: Ports, sipp: SippFactory, directory: Path) -> None:
        authority = Authority(directory)
        own = authority.issue("node", f"IP:{LOOPBACK}")
        self.ports = {transport: ports.tcp() for transport in ("tcp", "tls", "ws")}
        more = TLS.format(certificate=own.certificate, key=own.key)
        more += "".join(LISTENER.format(transport=transport, port=port) for transport, port in self.ports.items())
        more = more.replace('transport = "tls"', 'transport = "tls"\ntls = "own"')
        environment = {"LD_PRELOAD": str(preloaded("deadly", directory))}
        self.node = start_node(ports.udp(), calls_a_minute=100_000, more=more, environment=environment)
        self._trust = ssl.create_default_context(cafile=str(authority.certificate))
        self._sipp = sipp
        sipp.callee(port=self.node.gateway_port)

    def send_message(self, transport: str, message: bytes) -> None:
        kind = WebSocketWire if transport == "ws" else StreamWire
        place = (LOOPBACK, self.ports[transport])
        with closing(kind(place, LOOPBACK, self._trust if transport == "tls" else None)) as wire:
            wire.send(message)

    def send_bytes(self, transport: str, data: bytes) -> None:
        with connect(self.ports[transport]) as end:
            end.sendall(data)
            read_to_end(end)

    def resend(self, deadly: bytes, send: Callable[[], None]) -> None:
        """Until it is dropped; then the calls that come beside it must all go well."""
        before = self.deaths

        def sent() -> None:
            with suppress(OSError, EOFError, WebSocketException):  # nobody answers while the worker is dead
                send()
            time.sleep(RESENT_EVERY_S)

        def dropped() -> bool:
            sent()
            return deadly in self.kept

        wait_until(dropped, "it to be dropped", PATIENCE_S)
        calls = self._sipp.caller(self.node.port, calls=20, rate=RATE, talk_ms=50)
        wait_until(lambda: sent() or calls.exit_code is not None, "the calls to end beside it", PATIENCE_S)
        assert calls.exit_code == 0, calls.tail()
        assert self.deaths == before + 2, self.node.tail()
        wait_until(lambda: self.node.metric("callsieve_worker_quarantined_total") > 0, "the dropped ones to be counted")

    @property
    def deaths(self) -> int:
        return self.node.output().count('"ended, starting it again"')

    @property
    def kept(self) -> list[bytes]:
        return [file.read_bytes() for file in (self.node.state / "deadly").glob("*.sip")]


@pytest.fixture
def streams(start_node: Callable[..., Node], ports: Ports, sipp: SippFactory, tmp_path: Path) -> Streams:
    return Streams(start_node, ports, sipp, tmp_path)


def test_r6_a_deadly_message_of_a_connection_kills_two_workers_and_no_third(streams: Streams) -> None:
    for transport in ("tcp", "ws", "tls")[: size(2, 3)]:
        message = invite_of_death(streams.ports[transport], transport.upper())
        streams.resend(message, functools.partial(streams.send_message, transport, message))


def test_r6_what_kills_before_it_is_a_message_is_known_too(streams: Streams) -> None:
    """A head also when what stands before and behind it on the connection is another each time."""
    head = invite_of_death(streams.ports["tcp"], "TCP").replace(b"of-death", b"death-before-it-is-a-message")
    head = head.replace(b"Content-Length: 0", b"Content-Length: 20")

    def in_other_company() -> bytes:
        return invite("Content-Length: 0", method="OPTIONS") + head + b"%020d" % time.monotonic_ns()

    part = head[: head.index(b"CSeq")]
    handshake = b"GET / HTTP/1.1\r\nHost: death-before-it-is-a-message\r\nUpgrade: websocket\r\n\r\n"
    streams.resend(head, lambda: streams.send_bytes("tcp", in_other_company()))
    streams.resend(handshake, lambda: streams.send_bytes("ws", handshake))
    if FULL:
        streams.resend(part, lambda: streams.send_bytes("tcp", part))


def failed_calls(statistics: str) -> int:
    return int(re.findall(r"Failed call\s*\|\s*\d+\s*\|\s*(\d+)", statistics)[-1])
