"""H10: attempts to have calls to protected numbers blocked, or calls of protected callers: 0 blocked calls."""

from __future__ import annotations

import itertools
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.node import LISTED, Node
from tests.live.programs import LOOPBACK, Ports
from tests.live.sipp import CALLEE, Sipp, SippFactory

EMERGENCY = ("110", "119", "120", "122", "112", "911")
BANKS = ("+8695588", "+8695533", "+8695566", "+8695599", "+8695555")
PROTECTED = """
[[list]]
name = "banks"
action = "protected"
numbers = ["+8695588", "+8695533", "+8695566", "+8695599", "+8695555"]

[[list]]
name = "protected-as-callees"
action = "never-block"
numbers = ["+8695588", "+8695533", "+8695566", "+8695599", "+8695555"]

[[prefix_rule]]
name = "everybody"
prefixes = ["+8695", "+861", "+862", "+868"]
points = 1000
"""


@pytest.fixture
def node(start_node: Callable[..., Node], ports: Ports) -> Node:
    return start_node(ports.udp(), more=PROTECTED)


@pytest.fixture
def softswitch(node: Node, sipp: SippFactory) -> Sipp:
    return sipp.callee(port=node.gateway_port)


def attack(node: Node) -> None:
    """Everything that an operator's hands, or a thief of them, could write into the lists."""
    every = [LISTED, CALLEE, *BANKS, *EMERGENCY, *(f"+86{code}" for code in EMERGENCY), "+86", "CN:110", "95588", "95*"]
    for number in every:
        node.deny_list.write_text("\n".join([LISTED, number]) + "\n")
        node.command("reload")  # refused, or without effect
    node.deny_list.write_text("\n".join([LISTED, *BANKS, *(f"CN:{code}" for code in EMERGENCY)]) + "\n")
    node.command("reload")


def place(node: Node, sipp: SippFactory, caller: str, callee: str, calls: int = 1) -> None:
    program = sipp.caller(node.port, caller=caller, callee=callee, calls=calls, rate=20)
    assert program.wait(60) == 0, f"{caller} to {callee}: {program.tail()}"


def test_h10_protected_numbers_are_reached_whatever_is_written(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    attack(node)
    for callee in (*EMERGENCY, *BANKS):
        place(node, sipp, LISTED, callee)
    for caller in BANKS:
        place(node, sipp, caller, CALLEE)
    # What calling too often teaches a node does not count against them either.
    place(node, sipp, LISTED, "110", calls=10)
    place(node, sipp, BANKS[0], "120", calls=10)
    assert node.metric("callsieve_calls_total", action="reject") == 0
    assert node.metric("callsieve_calls_total", action="drop") == 0
    assert len({m.get("Call-ID") for m in softswitch.received("INVITE")}) == len(EMERGENCY) + 2 * len(BANKS) + 20

    rejected = sipp.caller(node.port, "rejected", caller=LISTED, callee=CALLEE, status=403)
    assert rejected.wait() == 0, "the caller itself is denied: nothing else let it through"


def test_h10_the_api_has_no_way_to_write_lists(node: Node) -> None:
    before = _files(node.state)
    paths = ("/v1/lists/deny", "/v1/numbers/110", "/v1/block?number=110", "/v1/decisions", "/v1/status", "/v1/reload")
    for method, path in itertools.product(("GET", "POST", "PUT", "DELETE", "PATCH"), paths):
        url = f"http://{LOOPBACK}:{node.admin_port}{path}"
        request = urllib.request.Request(url, method=method, data=b'{"deny": ["110"]}' if method != "GET" else None)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                assert (method, answer.status) == ("GET", 200)
        except urllib.error.HTTPError as refused:
            assert refused.code in (404, 405)
    assert _files(node.state) == before


def _files(state: Path) -> set[str]:
    return {entry.name for entry in state.iterdir()}
