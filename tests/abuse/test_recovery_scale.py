"""R2 with full tables: everything is killed at once, and a node with millions of entries serves again in seconds."""

from __future__ import annotations

import json
import os
import signal
import time
from array import array
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from engine._reputation import ReputationCache
from proxy.control.fleet import FLUSH_S
from proxy.control.store import Store
from proxy.control.sync.outbound import WINDOW_MS
from tests.abuse.size import FULL, size
from tests.live.company import FLEET, fleet_command
from tests.live.node import CONFIGURATION, LISTED, Node
from tests.live.programs import Ports, wait_until
from tests.live.sipp import CALLER, SippFactory

FIRST = 1 << 60 | 1_86_139_00000_0000  # +8613900000000
POINTS = 200
SERVING_S = 5.0
PATIENCE_S = 60.0


def a_fleet_of_one(directory: Path, broker: int) -> str:
    """The [fleet] table of a node whose broker is not there."""
    made = json.loads(fleet_command("init", "alone", "--directory", str(directory / "fleet"), "--json"))
    return FLEET.format(name="alone", broker=broker, root=made["fleet"]["root"])


def slots(node: Node) -> set[int]:
    """Keys with evidence in the node's store."""
    with closing(Store.read_only(node.state / "store.db")) as store:
        return {slot[0] for slot in store.evidence.load(1)}


def test_r2_killed_with_full_tables(
    start_node: Callable[..., Node], ports: Ports, sipp: SippFactory, tmp_path: Path
) -> None:
    entries = size(200_000, 5_000_000)
    base = CONFIGURATION.replace("reputation = 10000", f"reputation = {2 * entries}")
    more = a_fleet_of_one(tmp_path, ports.tcp())
    node = start_node(ports.udp(), base=base, more=more, calls_a_minute=1000)
    sipp.callee(port=node.gateway_port)
    numbers = array("Q", range(FIRST, FIRST + entries))
    reputation = ReputationCache.attach(node.state / "tables" / "reputation.tbl")
    reputation.add_many(numbers, time.time_ns() // 1000, POINTS)
    ordered = [f"+86201300{at:04}" for at in range(size(20, 200))]
    assert node.command("block", *ordered).returncode == 0
    called_s = time.monotonic()
    calls = sipp.caller(node.port, calls=5, rate=50)
    assert calls.wait() == 0, calls.tail()
    caller = 1 << 60 | int(f"1{CALLER.removeprefix('+')}")
    wait_until(lambda: caller in slots(node), "what was seen of the caller to be kept", PATIENCE_S)
    kept_s = time.monotonic() - called_s
    for pid in (node.pid, node.control(), *node.workers()):
        os.kill(pid, signal.SIGKILL)
    node.wait()
    begun_s = time.monotonic()
    node.start_again()
    rejected = sipp.caller(node.port, "rejected", caller=ordered[-1], status=403)
    assert rejected.wait() == 0, rejected.tail()
    serving_s = time.monotonic() - begun_s
    print(f"r2: {entries} entries, serving after {serving_s:.2f} s; evidence kept {kept_s:.2f} s after the call")
    assert caller in slots(node)
    reputation = ReputationCache.attach(node.state / "tables" / "reputation.tbl")
    standing = sum(points > 0 for points in reputation.read_many(numbers, time.time_ns() // 1000))
    assert standing == entries
    with closing(Store.read_only(node.state / "store.db")) as store:
        assert len(store.decisions) == len(ordered)
    for number in (ordered[0], LISTED):
        rejected = sipp.caller(node.port, "rejected", caller=number, status=403)
        assert rejected.wait() == 0, rejected.tail()
    if FULL:
        assert serving_s <= SERVING_S
        assert kept_s <= FLUSH_S + WINDOW_MS / 1000
