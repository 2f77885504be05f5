"""Phones that nobody here wrote, in calls through the proxy: baresip, pyVoIP, sipsak."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.baresip import TALK_S, Baresip, BaresipFactory
from tests.live.node import LISTED, ROOT, SUSPECTED, Node
from tests.live.programs import LOOPBACK, Ports, Program, require, wait_until
from tests.live.sipp import CALLEE, CALLER, SippFactory


@pytest.fixture
def bob(baresip: BaresipFactory) -> Baresip:
    """The called phone."""
    return baresip.phone(CALLEE)


@pytest.fixture
def node(start_node: Callable[..., Node], bob: Baresip) -> Node:
    return start_node(bob.port)


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_two_phones_talk_and_either_hangs_up(node: Node, baresip: BaresipFactory, bob: Baresip, who: str) -> None:
    alice = baresip.phone(CALLER, proxy_port=node.port)
    alice.dial(CALLEE, node.port)
    bob.wait_event("CALL_INCOMING")
    alice.wait_event("CALL_RINGING")
    bob.answer()
    for phone in (alice, bob):
        phone.wait_event("CALL_RTPESTAB")
    time.sleep(TALK_S)
    (alice if who == "caller" else bob).hang_up()
    for phone in (alice, bob):
        phone.wait_event("CALL_CLOSED")

    assert wait_until(alice.loudness, "the caller's recording") > 10_000
    assert wait_until(bob.loudness, "the callee's recording") > 10_000
    (decision,) = node.decisions(1)
    assert (decision["caller"], decision["action"]) == (CALLER, "accept")
    call = node.call_ended()
    assert call["released_by"] == who
    assert call["talk_s"] >= TALK_S


def test_a_phone_hangs_up_while_it_rings(node: Node, baresip: BaresipFactory, bob: Baresip) -> None:
    alice = baresip.phone(CALLER, proxy_port=node.port)
    alice.dial(CALLEE, node.port)
    bob.wait_event("CALL_INCOMING")
    alice.hang_up()
    bob.wait_event("CALL_CLOSED")
    assert node.call_ended()["status"] == 487


def test_a_phone_declines(node: Node, baresip: BaresipFactory, bob: Baresip) -> None:
    alice = baresip.phone(CALLER, proxy_port=node.port)
    alice.dial(CALLEE, node.port)
    bob.wait_event("CALL_INCOMING")
    bob.hang_up()
    alice.wait_event("CALL_CLOSED")
    assert node.call_ended()["released_by"] == "callee"


def test_a_listed_phone_is_rejected(node: Node, baresip: BaresipFactory, bob: Baresip) -> None:
    mallory = baresip.phone(LISTED, proxy_port=node.port)
    mallory.dial(CALLEE, node.port)
    assert "403" in mallory.wait_event("CALL_CLOSED")["param"]
    assert "INVITE" not in bob.output()
    assert node.decisions(1)[0]["rule"] == "deny"


def test_the_callee_sees_the_label(node: Node, baresip: BaresipFactory, bob: Baresip) -> None:
    suspect = baresip.phone(SUSPECTED, proxy_port=node.port)
    suspect.dial(CALLEE, node.port)
    bob.wait_event("CALL_INCOMING")
    (line,) = [line for line in bob.output().splitlines() if line.startswith("X-Callsieve-Verdict:")]
    assert line.startswith("X-Callsieve-Verdict: tag;")
    assert 'label="Suspected spam: loans"' in line


@pytest.fixture
def sloppy_phone(tmp_path: Path, ports: Ports) -> Iterator[Callable[..., Program]]:
    """Starts pyVoIP: with a callee it calls, without one it waits for a call on its own port."""
    started: list[Program] = []

    def start(proxy_port: int, number: str, callee: str | None = CALLEE, own_port: int | None = None) -> Program:
        arguments = [str(proxy_port), str(own_port or ports.udp()), number, *([callee] if callee else [])]
        argv = [sys.executable, "-m", "tests.live.sloppy_phone", *arguments]
        program = Program(argv, tmp_path, "pyvoip", {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"})
        started.append(program)
        return program

    yield start
    for program in started:
        program.stop()


def test_a_phone_that_never_acknowledges(
    start_node: Callable[..., Node],
    sipp: SippFactory,
    sloppy_phone: Callable[..., Program],
    ports: Ports,
) -> None:
    node = start_node(sipp.callee().port)
    clean = sipp.caller(node.port, calls=5, rate=50)
    assert clean.wait() == 0, clean.tail()
    phone = sloppy_phone(node.port, CALLER)
    phone.wait_for("calling")
    wait_until(lambda: phone.output().count("INVITE 603") >= 3, "the 603 to be sent again without an ACK")
    assert len(node.decisions(6)) == 6, "screened once, however often it is answered"
    assert node.get("/healthz")[0] == 200


def test_a_sloppy_phone_calls(
    start_node: Callable[..., Node], sipp: SippFactory, sloppy_phone: Callable[..., Program]
) -> None:
    callee = sipp.callee()
    node = start_node(callee.port)
    phone = sloppy_phone(node.port, CALLER)
    phone.wait_for("\nANSWERED")  # its ACK goes past every Record-Route to the address in To, and is not looked for
    assert len(callee.received("INVITE")) == 1
    assert node.decisions(1)[0]["action"] == "accept"


def test_a_sloppy_phone_is_called(
    start_node: Callable[..., Node], sipp: SippFactory, sloppy_phone: Callable[..., Program], ports: Ports
) -> None:
    node = start_node(ports.udp())
    phone = sloppy_phone(node.port, CALLEE, callee=None, own_port=node.gateway_port)
    phone.wait_for("waiting")
    caller = sipp.caller(node.port, "called_back")
    phone.wait_for("answered")
    assert caller.wait() == 0, caller.tail() + phone.tail()
    assert node.call_ended()["released_by"] == "callee"


def test_a_sloppy_phone_is_rejected(
    start_node: Callable[..., Node], sloppy_phone: Callable[..., Program], ports: Ports
) -> None:
    node = start_node(ports.udp())
    phone = sloppy_phone(node.port, LISTED)
    phone.wait_for("INVITE 403")
    assert node.decisions(1)[0]["basis"] == "policy"


@pytest.mark.parametrize("user", ["", f"{CALLEE}@"], ids=["the proxy itself", "the phone behind it"])
def test_sipsak_pings(node: Node, user: str) -> None:
    argv = [require("sipsak", "sipsak"), "-v", "-s", f"sip:{user}{LOOPBACK}:{node.port}", "-l", "0"]
    pinged = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert pinged.returncode == 0, pinged.stdout + pinged.stderr
    assert "200 OK" in pinged.stdout
