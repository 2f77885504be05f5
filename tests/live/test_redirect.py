"""Redirect mode, asked by SIPp as a session border controller would ask."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.live.node import LISTED, STRANGER, SUSPECTED, Node
from tests.live.programs import Ports
from tests.live.sipp import CALLEE, CALLER, SippFactory

BORDER = "127.0.0.8"
ASKING = f"""
[[trunk]]
name = "border-controller"
sources = ["{BORDER}"]
trusted = true
dial_plan = "cn"
policy = "default"
compat = "clearip"

[trunk.redirect]
contacts = ["{BORDER}:5999"]
"""


@pytest.fixture
def asked(start_node: Callable[..., Node], ports: Ports) -> Node:
    return start_node(ports.udp(), more=ASKING)


@pytest.mark.parametrize(("caller", "status"), [(CALLER, 404), (SUSPECTED, 302), (LISTED, 603)])
def test_every_invite_is_answered_with_its_verdict(asked: Node, sipp: SippFactory, caller: str, status: int) -> None:
    gateway = sipp.callee(port=asked.gateway_port)
    border = sipp.caller(asked.port, "rejected", caller=caller, status=status, source=BORDER)
    assert border.wait() == 0, border.tail()

    (answer,) = border.received(status)
    (decision,) = asked.decisions(1)
    assert (decision["trunk"], decision["status"]) == ("border-controller", status)
    if status == 302:
        contact = str(answer.get("Contact"))
        assert contact.startswith(f'"<SPAM>" <sip:{CALLEE}@{BORDER}:5999?X-Callsieve-Verdict=tag%3Bscore%3D')
    assert gateway.received("INVITE") == [], "nothing is forwarded"


def test_an_unknown_source_is_told_so(asked: Node, sipp: SippFactory) -> None:
    stranger = sipp.caller(asked.port, "rejected", status=403, source=STRANGER)
    assert stranger.wait() == 0, stranger.tail()
    assert asked.metric("callsieve_worker_unknown_source_total") >= 1
