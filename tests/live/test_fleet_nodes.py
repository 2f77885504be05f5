"""Three real nodes with processes and state of their own around one mosquitto: what one learns, all know."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path

import pytest

from proxy.control.held_sources import read_held
from proxy.control.store import Store
from tests.abuse.size import FULL, size
from tests.live.company import NAMES, PATIENCE_S, Company
from tests.live.control_socket import Writers, block, complain
from tests.live.node import Node
from tests.live.programs import Ports, wait_until

ORDER_S = 2.0
COMPLAINT_S = 10.0
SEED = 20
STRIKES = size(6, 100)
PAUSE_S = 0.1  # of each node's writer: what is at stake is the moment, not the load


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory, ports: Ports) -> Iterator[Company]:
    with Company(tmp_path_factory.mktemp("company"), ports) as running:
        yield running


def seconds_until_rejected(company: Company, number: str) -> float:
    """From now until a call of this number is rejected at every node."""
    begun_s, open_at = time.monotonic(), list(NAMES)

    def nowhere_open() -> bool:
        open_at[:] = [name for name in open_at if not company.rejects_on_the_wire(name, number)]
        return not open_at

    wait_until(nowhere_open, f"{number} to be rejected everywhere", PATIENCE_S)
    return time.monotonic() - begun_s


def every(company: Company, give: Callable[[Path, str], bool], series: int, count: int) -> list[float]:
    """Seconds from each acknowledgement, at one node after the other, to a rejection at every node, sorted."""
    taken_s = []
    for turn in range(count):
        name, number = NAMES[turn % len(NAMES)], f"+86{130 + turn}{series:08}"  # each of another block
        assert not company.rejects_on_the_wire(name, number)
        assert give(company.control(name), number)
        taken_s.append(seconds_until_rejected(company, number))
    return sorted(taken_s)


def test_m13_an_order_and_a_complaint_reach_every_node(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    order_s = every(company, block, 12300000, size(3, 60))
    complaint_s = every(company, complain, 12400000, size(3, 60))
    with capsys.disabled():
        print(f"\norder acknowledged -> calls rejected at every node: {order_s[0]:.2f} to {order_s[-1]:.2f} s; "
              f"complaint: {complaint_s[0]:.2f} to {complaint_s[-1]:.2f} s")
    assert not FULL or (order_s[-1] <= ORDER_S and complaint_s[-1] <= COMPLAINT_S)
    assert company.nodes["gamma"].command("unblock", "+8613012300000").returncode == 0
    for name in NAMES:
        wait_until(partial(company.accepts, name, "+8613012300000"), f"the withdrawal at {name}")


def holds_one(node: Node) -> bool:
    with suppress(OSError, HTTPException):
        return node.metric("callsieve_fleet_held") == 1
    return False


def keeps_a_hold(node: Node) -> bool:
    with closing(Store.read_only(node.state / "store.db")) as store:
        return bool(read_held(store))


def test_m11_an_order_that_blocks_many_callers_is_held_where_they_call(company: Company) -> None:
    alpha, callers = company.nodes["alpha"], [f"+86159777{at:05}" for at in range(0, 1200, 100)]
    counted = alpha.metric("callsieve_calls_total")
    assert not any(company.rejects_on_the_wire("alpha", caller) for caller in callers)
    wait_until(lambda: alpha.metric("callsieve_calls_total") >= counted + len(callers), "the calls to be counted")
    assert block(company.control("beta"), "+86159777*")
    wait_until(partial(company.rejects_on_the_wire, "gamma", callers[0]), "the prefix in force at gamma", PATIENCE_S)
    wait_until(partial(holds_one, alpha), "the prefix to be held at alpha", PATIENCE_S)
    assert block(company.control("gamma"), "+8615866600000")
    wait_until(partial(company.rejects_on_the_wire, "alpha", "+8615866600000"), "the other order at alpha", PATIENCE_S)
    wait_until(partial(keeps_a_hold, alpha), "the hold to be on alpha's disk", PATIENCE_S)
    kill_control(company, "alpha")
    wait_until(partial(holds_one, alpha), "the prefix to be held again", PATIENCE_S)
    assert not company.rejects_on_the_wire("alpha", callers[0])
    status = alpha.command("fleet", "status")
    assert status.returncode == 1 and "orders of beta" in status.stdout and "fleet release" in status.stdout
    assert alpha.command("fleet", "release").returncode == 0
    wait_until(partial(company.rejects_on_the_wire, "alpha", callers[0]), "the prefix in force at alpha", PATIENCE_S)


def test_r2_whoever_is_killed_no_acknowledged_order_is_lost(company: Company) -> None:
    given: set[str] = set()

    def order(name: str, digits: int) -> None:
        number = f"+86201235{digits:04}"
        if block(company.control(name), number):
            given.add(number)

    order("alpha", 1)
    company.kill("beta")
    order("alpha", 2)
    order("gamma", 3)
    company.kill("gamma")  # at once: what it has acknowledged may have reached nobody
    company.broker.send_signal(signal.SIGKILL)
    company.broker.wait()
    order("alpha", 4)
    for name in ("beta", "gamma"):
        company.nodes[name].start_again()
    order("beta", 5)
    company.kill("alpha")
    company.broker = company.broker.again()
    company.nodes["alpha"].start_again()
    company.everyone_sees_everyone()
    assert len(given) == 5
    for name in NAMES:
        wait_until(partial(company.has_orders, name, given), f"every order at {name}", PATIENCE_S)
        assert company.rejects_on_the_wire(name, min(given))


def kill_node(company: Company, name: str) -> None:
    company.kill(name)
    company.nodes[name].start_again()


def kill_worker(company: Company, name: str) -> None:
    with suppress(ValueError, ProcessLookupError):  # it is just being started
        (worker,) = company.nodes[name].workers()
        os.kill(worker, signal.SIGKILL)


def kill_control(company: Company, name: str) -> None:
    with suppress(ValueError, ProcessLookupError):
        os.kill(company.nodes[name].control(), signal.SIGKILL)


def kill_broker(company: Company, _: str) -> None:
    company.broker.send_signal(signal.SIGKILL)
    company.broker.wait()
    company.broker = company.broker.again()


KILLS: tuple[Callable[[Company, str], None], ...] = (kill_node, kill_control, kill_broker, kill_worker)


def acknowledged(writers: Writers) -> int:
    return len(writers.ordered) + len(writers.complained)


def wait_for_more(writers: Writers) -> None:
    seen = acknowledged(writers)
    wait_until(lambda: acknowledged(writers) > seen + 1, "an order and a complaint to be acknowledged", PATIENCE_S)


def test_r2_killed_at_any_moment_loses_no_acknowledged_decision(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every node takes orders and complaints all the while, and one after the other is struck, at random moments."""
    dice = random.Random(SEED)
    strikes = [KILLS[turn % len(KILLS)] for turn in range(STRIKES)]
    dice.shuffle(strikes)
    with ExitStack() as stack:
        writers = {
            name: Writers(company.control(name), series=at, count=1, pause_s=PAUSE_S)
            for at, name in enumerate(NAMES, 5)
        }
        for each in writers.values():
            stack.callback(each.stop)
        for strike in strikes:
            struck = dice.choice(NAMES)
            wait_for_more(writers[struck])
            time.sleep(dice.uniform(0, 0.3))
            strike(company, struck)
    for each in writers.values():
        each.stop()
    company.everyone_sees_everyone()
    ordered = set().union(*(each.ordered for each in writers.values()))
    for name in NAMES:
        wait_until(partial(company.has_orders, name, ordered), f"every order at {name}", 2 * PATIENCE_S)
        assert writers[name].complained <= company.stored(name)[1], name
        last = max(writers[name].ordered)
        for other in NAMES:
            wait_until(partial(company.rejects_on_the_wire, other, last), f"the order of {name} in force at {other}")
    with capsys.disabled():
        complaints = sum(len(each.complained) for each in writers.values())
        print(f"\n{STRIKES} kills: {len(ordered)} orders and {complaints} complaints acknowledged, none lost")
