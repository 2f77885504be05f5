"""Orders by command on a running node: heeded by every worker with the next call, and after any process has died."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections.abc import Callable

import pytest

from tests.live.node import LISTED, Node
from tests.live.programs import Ports, wait_until
from tests.live.sipp import CALLER, SippFactory


@pytest.fixture
def two_workers(start_node: Callable[..., Node], ports: Ports) -> Node:
    return start_node(ports.udp(), workers=2)


def reject(node: Node, sipp: SippFactory, caller: str = CALLER, calls: int = 4) -> None:
    rejected = sipp.caller(node.port, "rejected", caller=caller, status=403, calls=calls)
    assert rejected.wait() == 0, rejected.tail()


def accept(node: Node, sipp: SippFactory, caller: str = CALLER) -> None:
    accepted = sipp.caller(node.port, caller=caller)
    assert accepted.wait() == 0, accepted.tail()


def test_a_block_by_command_and_its_withdrawal(two_workers: Node, sipp: SippFactory) -> None:
    node = two_workers
    sipp.callee(port=node.gateway_port)
    accept(node, sipp)
    begun_s = time.monotonic()
    blocked = node.command("block", CALLER, "--reason", "robot calls", "--owner", "li", "--json")
    took_s = time.monotonic() - begun_s
    assert blocked.returncode == 0, blocked.stderr
    assert json.loads(blocked.stdout)["decisions"][0]["reason"] == "robot calls"
    reject(node, sipp)
    assert node.command("status").returncode == 0
    assert node.metric("callsieve_generation") == 1, "nothing was reloaded"
    assert node.metric("callsieve_reloads_total") == 0
    shown = node.command("decisions", CALLER)
    assert "robot calls" in shown.stdout and CALLER in shown.stdout
    assert node.command("unblock", CALLER).returncode == 0
    assert node.command("unblock", CALLER).returncode == 1
    accept(node, sipp)
    print(f"callsieve block: {took_s:.2f} s, the command's own start included")
    assert [d["rule"] for d in node.decisions(6) if d["action"] == "reject"] == ["block-order"] * 4


def test_a_prefix_by_command(node: Node, sipp: SippFactory) -> None:
    sipp.callee(port=node.gateway_port)
    assert node.command("block", f"{CALLER[:7]}*").returncode == 0
    reject(node, sipp)


def test_an_allowance_lifts_the_list(node: Node, sipp: SippFactory) -> None:
    sipp.callee(port=node.gateway_port)
    reject(node, sipp, LISTED)
    assert "an owner and an end" in node.command("allow", LISTED).stderr
    assert node.command("allow", LISTED, "--owner", "li", "--until", "2059-01-01").returncode == 0
    accept(node, sipp, LISTED)


def test_mistakes_are_told_in_words(node: Node) -> None:
    for argv, why in (
        (("block", "12345"), "12345"),
        (("block", "+8*"), "a country and more"),
        (("block", "CN:110"), "an emergency number"),
        (("block", CALLER, "--until", "tomorrow"), "'tomorrow' is no time"),
        (("block", CALLER, "--until", "2020-01-01"), "over before it begins"),
    ):
        refused = node.command(*argv)
        assert (refused.returncode, why in refused.stderr) == (2, True), refused.stderr
        assert "Traceback" not in refused.stderr
    assert node.command("decisions").stdout.strip() == "nothing is ordered"
    node.stop()
    assert node.command("block", CALLER).returncode == 3


@pytest.mark.parametrize("victim", ["control", "everything"])
def test_r2_an_acknowledged_order_outlives_every_process(
    start_node: Callable[..., Node], ports: Ports, sipp: SippFactory, victim: str
) -> None:
    node = start_node(ports.udp())
    sipp.callee(port=node.gateway_port)
    assert node.command("block", CALLER).returncode == 0
    if victim == "control":
        os.kill(node.control(), signal.SIGKILL)
        reject(node, sipp)
        wait_until(node.healthy, "control to be back", 30)
    else:
        pids = [node.pid, node.control(), *node.workers()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        node.wait()
        (node.state / "tables" / "orders.tbl").unlink()
        node.start_again()
    wait_until(lambda: CALLER in node.command("decisions").stdout, "control to answer")
    reject(node, sipp)


def test_d3_an_order_that_the_disk_does_not_keep_is_refused_and_calls_go_on(node: Node, sipp: SippFactory) -> None:
    """A limit on file size stands for the full disk: every write of control fails."""
    sipp.callee(port=node.gateway_port)
    assert node.command("block", LISTED).returncode == 0
    full = resource.prlimit(node.control(), resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    refused = node.command("block", CALLER)
    assert (refused.returncode, "cannot be written" in refused.stderr) == (4, True), refused.stderr
    accept(node, sipp)
    reject(node, sipp, LISTED)
    assert node.metric("callsieve_store_failing") == 1
    resource.prlimit(node.control(), resource.RLIMIT_FSIZE, full)
    assert node.command("block", CALLER).returncode == 0
    reject(node, sipp)
