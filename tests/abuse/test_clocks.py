"""R5: clocks that jump, drift and freeze. Limits and timers follow the time that has passed; stamps only grow.

The clock on the wall of a real node is moved by libfaketime, CLOCK_MONOTONIC left alone as a kernel leaves it.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from pathlib import Path

from proxy.control.hybrid_clock import HybridClock
from proxy.control.order_request import text_of
from proxy.control.store import Store
from proxy.control.sync.metrics import Metric
from tests.abuse.size import FULL, size
from tests.live.company import NAMES, Company
from tests.live.control_socket import block
from tests.live.node import LISTED, Node
from tests.live.programs import Ports, wait_until
from tests.live.sipp import SippFactory
from tests.live.wall_clock import WallClock
from tests.proxy.messages import request
from tests.proxy.playbook import CARRIER, SOFTSWITCH, Play, response
from tests.proxy.sync.fleet import mesh_of, number

HOUR_MS = 3_600_000
JUMPS_MS = (HOUR_MS, -HOUR_MS, 30_000, -30_000, 600_000, -1, 0, 1)
CALLS_A_MINUTE = 5
RING_MS = 500
NUMBER_BITS = (1 << 60) - 1
SHIFTS = ("-30", "-3600", "+30", "+3600") if FULL else ("-30", "+3600")
RING_S = 180  # Timer C is longer than three minutes (RFC 3261 section 16.6)


# On a fake clock


def test_r5_stamps_only_grow() -> None:
    """Over jumps of the clock, stamps of others, and restarts from the mark that was stored."""
    dice = random.Random(5)
    for _ in range(size(50, 5000)):
        clock, now_ms, last, stored = HybridClock(0), 1_795_000_000_000, 0, 0
        for _ in range(200):
            now_ms += dice.choice(JUMPS_MS) if dice.random() < 0.2 else dice.randrange(3)
            if dice.random() < 0.1:
                clock.observe((now_ms + dice.randrange(5000)) << 16 | 0xFFFF, now_ms)
            if dice.random() < 0.05:
                clock = HybridClock(stored)
            stamp = clock.tick(now_ms)
            assert stamp > last
            last, stored = stamp, clock.mark


def test_r5_no_timer_fires_early_after_a_freeze() -> None:
    """Ten minutes without a turn: what was due comes at once, what was armed after it comes in its time."""
    play = Play()
    (invite,) = [sent for sent in play.receive(request(), CARRIER) if sent.method == "INVITE"]
    play.receive(response(invite, 180), SOFTSWITCH)
    assert play.wait(RING_S - 1) == []
    play.now_us += 600_000_000
    later = play.receive(request(branch="z9hG4bK-2", call_id="call-2@carrier", from_tag="2"), CARRIER)
    (second,) = [sent for sent in later if sent.method == "INVITE"]
    play.receive(response(second, 180), SOFTSWITCH)
    play.core.handle_timer(play.now_us, play.out)
    due = play.sent()
    assert [sent.method for sent in due if sent.to == SOFTSWITCH] == ["CANCEL"], "Timer C of the first call alone"
    assert not [sent for sent in play.wait(RING_S - 1) if second.branch in sent.branch]


def test_r5_a_back_jump_of_one_node_changes_no_score() -> None:
    fleet = mesh_of(3)
    fleet.run(2)
    for name in ("node-1", "node-2"):
        fleet.nodes[name].complain(number(4711), name, fleet.now_ms)
        fleet.nodes[name].observe(number(4711), Metric.INVALID_CALLEE, fleet.now_ms)
    fleet.run(40)
    roots = fleet.roots()
    judged = {name: node.replica.verdicts.get(number(4711)) for name, node in fleet.nodes.items()}
    assert len(roots) == 1 and all(judged.values())
    node = fleet.nodes["node-2"]
    for shift_ms in (-HOUR_MS, -30_000, 30_000, HOUR_MS, 0):
        for message in node.on_tick(fleet.now_ms + shift_ms):
            node.outbound.pacing.acknowledged()
            fleet.publish("node-2", message)
        fleet.run(1)
    fleet.run(40)
    assert fleet.roots() == roots
    after = {name: node.replica.verdicts.get(number(4711)) for name, node in fleet.nodes.items()}
    for name, verdict in judged.items():
        assert verdict is not None and after[name] is not None
        assert after[name].judgement == verdict.judgement  # type: ignore[union-attr]


# A real node


def test_r5_the_clock_of_a_node_jumps(
    start_node: Callable[..., Node], ports: Ports, sipp: SippFactory, tmp_path: Path
) -> None:
    clock = WallClock(tmp_path)
    node = start_node(ports.udp(), calls_a_minute=CALLS_A_MINUTE, environment=clock.environment)
    softswitch = sipp.callee(port=node.gateway_port, ring_ms=RING_MS)
    begun_s = time.monotonic()
    given = []
    for turn, shift in enumerate(("+0", "+3600", "-3600", "+30", "-30", "+0 x1.05")):
        callers = sipp.caller(node.port, calls=CALLS_A_MINUTE + 2, rate=50)
        wait_until(lambda: softswitch.received("INVITE"), "a call to ring")
        clock.shift(shift)
        rejected = sipp.caller(node.port, "rejected", caller=LISTED, status=403, calls=2, rate=50)
        assert rejected.wait() == 0, rejected.tail()
        callers.wait()
        given.append(f"+8620123{turn:05}")
        assert node.command("block", given[-1]).returncode == 0, shift
    elapsed_s = time.monotonic() - begun_s
    admitted = len({message.get("Call-ID") for message in softswitch.received("INVITE")})
    assert CALLS_A_MINUTE <= admitted <= CALLS_A_MINUTE + elapsed_s * CALLS_A_MINUTE / 60 + 1
    assert softswitch.received("CANCEL") == [], "no timer has ended a call that rings"
    node.drain()
    assert node.wait() == 0
    with closing(Store(node.state / "store.db")) as store:
        stamps = {(decision.key & NUMBER_BITS) % 10**5: decision.hlc for decision in store.decisions.all()}
    assert [stamps[turn] for turn in range(len(given))] == sorted(stamps.values())
    assert len(set(stamps.values())) == len(given)


def test_r5_a_node_that_was_frozen(node: Node, sipp: SippFactory) -> None:
    """All its processes stop, as under a suspended machine; afterwards none of them is taken for dead."""
    sipp.callee(port=node.gateway_port)
    before = (node.workers(), node.control())
    family = [node.pid, *node.workers(), node.control()]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(size(3, 600))
    for pid in reversed(family):
        os.kill(pid, signal.SIGCONT)
    later = sipp.caller(node.port, calls=5)
    assert later.wait() == 0, later.tail()
    wait_until(node.healthy, "control to answer")
    assert (node.workers(), node.control()) == before


# A real fleet

def stamps_of(company: Company, name: str, given: list[str]) -> list[int]:
    """Of a node's own orders, by its store, in the order in which it gave them."""
    with closing(Store.read_only(company.nodes[name].state / "store.db")) as store:
        stamps = {text_of(one.key): one.hlc for one in store.decisions.all()}
    return [stamps[number] for number in given]


def ahead(company: Company, name: str) -> float:
    """Frames that a node has refused because they came from ahead of its clock."""
    return company.nodes[name].metric("callsieve_fleet_frames_total", outcome="refused: ahead")


def refuses_more(company: Company, name: str, before: float) -> bool:
    return ahead(company, name) > before


def test_r5_a_fleet_whose_clocks_jump(tmp_path: Path, ports: Ports) -> None:
    """One clock goes an hour and half a minute ahead and back, the others stay: they refuse what comes from ahead.

    Nothing of that is lost: when their clocks have come to that hour, they take it.
    """
    clocks = {name: WallClock(tmp_path, name) for name in NAMES}
    given: dict[str, list[str]] = {name: [] for name in NAMES}
    everybody = {name: clock.environment for name, clock in clocks.items()}
    with Company(tmp_path, ports, everybody) as company:

        def order(name: str) -> str:
            number = f"+862012{NAMES.index(name)}{len(given[name]) * 1013:05}"
            assert block(company.control(name), number)
            given[name].append(number)
            return number

        def is_rejected_at(names: Iterable[str], number: str) -> None:
            for name in names:
                wait_until(partial(company.rejects_on_the_wire, name, number), f"{number} to be rejected at {name}", 60)

        is_rejected_at(NAMES, order("alpha"))
        for shift in SHIFTS:
            before = ahead(company, "alpha")
            clocks["gamma"].shift(shift)
            number = order("gamma")
            is_rejected_at(["gamma"], number)
            if shift.startswith("-"):
                is_rejected_at(NAMES, number)
            else:
                wait_until(partial(refuses_more, company, "alpha", before), "alpha to refuse what is ahead", 60)
            assert shift != "+3600" or not company.rejects_on_the_wire("alpha", number)
            clocks["gamma"].shift("+0")
            order("gamma")
        is_rejected_at(["beta"], order("alpha"))
        for clock in clocks.values():
            clock.shift("+3700")
        for number in (number for numbers in given.values() for number in numbers):
            is_rejected_at(NAMES, number)
        for name, numbers in given.items():
            stamps = stamps_of(company, name, numbers)
            assert stamps == sorted(set(stamps)), f"stamps of {name} only grow"
