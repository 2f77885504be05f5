"""A running node in an operator's hands: reload, drain, and what happens when one of its processes dies."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.live.node import LISTED, Node
from tests.live.programs import wait_until
from tests.live.sipp import CALLEE, CALLER, Sipp, SippFactory


@pytest.fixture
def softswitch(node: Node, sipp: SippFactory) -> Sipp:
    return sipp.callee(port=node.gateway_port)


def listed_on_next_load(node: Node) -> None:
    node.deny_list.write_text(f"{LISTED}\n{CALLER}\n")


def test_reload_swaps_the_policy(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    before = sipp.caller(node.port)
    assert before.wait() == 0, before.tail()
    listed_on_next_load(node)
    reloaded = node.command("reload")
    assert reloaded.returncode == 0, reloaded.stdout + reloaded.stderr
    after = sipp.caller(node.port, "rejected", status=403)
    assert after.wait() == 0, after.tail()
    assert [d["generation"] for d in node.decisions(2)] == [1, 2]


def test_hangup_signal_reloads(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    listed_on_next_load(node)
    node.send_signal(signal.SIGHUP)
    wait_until(lambda: node.metric("callsieve_generation") == 2, "the second generation")
    after = sipp.caller(node.port, "rejected", status=403)
    assert after.wait() == 0, after.tail()


def test_a_table_of_subscribers_that_replaces_the_old_one_counts_at_once(
    node: Node, softswitch: Sipp, sipp: SippFactory, tmp_path: Path
) -> None:
    before = sipp.caller(node.port)
    assert before.wait() == 0, before.tail()
    rows = tmp_path / "subscribers.csv"
    rows.write_text(f"{CALLEE},,00:00-00:00,\n")
    imported = node.command("subscriber", "import", "--replace", str(rows))
    assert imported.returncode == 0, imported.stdout + imported.stderr
    wait_until(lambda: "new tables" in node.output(), "the worker to take the new table up")
    wait_until(lambda: "swapped" in node.output(), "and to screen by it")
    after = sipp.caller(node.port, "rejected", status=607)
    assert after.wait() == 0, after.tail()


def test_a_reload_does_not_touch_a_call_in_progress(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    caller = sipp.caller(node.port, talk_ms=1500)
    wait_until(lambda: softswitch.received("ACK"), "the call to be answered")
    listed_on_next_load(node)
    assert node.command("reload").returncode == 0
    assert caller.wait() == 0, caller.tail()


def test_a_broken_file_keeps_the_old_policy(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    good = node.configuration.read_text()
    node.configuration.write_text(good.replace("period_s = 60", 'period_s = "a minute"'))
    refused = node.command("reload")
    said = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert node.configuration.name in said
    assert "period_s" in said
    assert "Traceback" not in said
    assert node.metric("callsieve_generation") == 1
    rejected = sipp.caller(node.port, "rejected", caller=LISTED, status=403)
    assert rejected.wait() == 0, rejected.tail()


def test_a_broken_list_keeps_the_old_policy(node: Node) -> None:
    node.deny_list.write_text("not a number\n")
    refused = node.command("reload")
    assert refused.returncode != 0
    assert node.deny_list.name in refused.stdout + refused.stderr
    assert node.metric("callsieve_generation") == 1


def test_termination_drains_a_call_being_set_up(node: Node, sipp: SippFactory) -> None:
    softswitch = sipp.callee(port=node.gateway_port, ring_ms=1500)
    caller = sipp.caller(node.port)
    wait_until(lambda: caller.received(180), "the call to ring")
    node.drain()
    late = sipp.caller(node.port, "rejected", status=503)
    assert late.wait() == 0, late.tail()
    (refused,) = late.received(503)
    assert refused.get("Retry-After") is not None
    wait_until(lambda: caller.received(200), "the ringing call to be answered")
    assert softswitch.received("ACK")
    assert node.wait(15) == 0, node.tail()


def test_an_idle_node_stops_at_once(node: Node) -> None:
    node.drain()
    assert node.wait(5) == 0, node.tail()
    assert "Traceback" not in node.output()


def test_a_killed_worker_is_replaced(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    (worker,) = node.workers()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: node.workers() not in ([], [worker]), "another worker")
    wait_until(lambda: node.get("/healthz")[0] == 200, "the node to be healthy again")
    caller = sipp.caller(node.port)
    assert caller.wait() == 0, caller.tail()


def test_calls_go_on_without_control(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    control = node.control()
    os.kill(control, signal.SIGSTOP)
    try:
        rejected = sipp.caller(node.port, "rejected", caller=LISTED, status=403)
        assert rejected.wait() == 0, rejected.tail()
        accepted = sipp.caller(node.port)
        assert accepted.wait() == 0, accepted.tail()
    finally:
        os.kill(control, signal.SIGKILL)
    wait_until(lambda: node.healthy(), "control to be back")
    again = sipp.caller(node.port, "rejected", caller=LISTED, status=403)
    assert again.wait() == 0, again.tail()


def test_health_and_status(node: Node) -> None:
    assert node.get("/healthz")[0] == 200
    status, body = node.get("/v1/status")
    assert status == 200
    assert '"generation"' in body
    assert node.get("/v1/reload")[0] in (404, 405), "commands are not taken on the admin address"


def test_a_second_node_on_the_same_state_is_refused(node: Node) -> None:
    second = node.command("run")
    assert second.returncode != 0
    assert "already running" in second.stdout + second.stderr
