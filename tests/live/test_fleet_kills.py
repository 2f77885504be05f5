"""Kill -9 of a node, a worker, control or the broker, at any moment: nothing that was acknowledged is lost."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path

import pytest

from proxy.control.order_request import text_of
from proxy.control.store import Store
from tests.abuse.size import size
from tests.live.company import NAMES, Company
from tests.live.control_socket import Writers
from tests.live.programs import Ports, wait_until

SEED = 20
STRIKES = size(4, 100)
PAUSE_S = 0.1  # of each node's writer: what is at stake is the moment, not the load
PATIENCE_S = 60.0


@pytest.fixture
def company(tmp_path: Path, ports: Ports) -> Iterator[Company]:
    with Company(tmp_path, ports) as running:
        yield running


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


def stored(company: Company, name: str) -> tuple[set[str], set[str]]:
    """The numbers of the orders and of the complaints that a node has on its disk."""
    with closing(Store.read_only(company.nodes[name].state / "store.db")) as store:
        assert store.faulty == 0
        return {text_of(one.key) for one in store.decisions.all()}, {text_of(c.caller) for c in store.complaints.all()}


def has_orders(company: Company, name: str, given: set[str]) -> bool:
    return given <= stored(company, name)[0]


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
            name: Writers(company.nodes[name].state / "control.sock", series=at, count=1, pause_s=PAUSE_S)
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
        wait_until(partial(has_orders, company, name, ordered), f"every order at {name}", PATIENCE_S)
        assert writers[name].complained <= stored(company, name)[1], name
        last = max(writers[name].ordered)
        for other in NAMES:
            wait_until(partial(company.rejects_on_the_wire, other, last), f"the order of {name} in force at {other}")
    with capsys.disabled():
        complaints = sum(len(each.complained) for each in writers.values())
        print(f"\n{STRIKES} kills: {len(ordered)} orders and {complaints} complaints acknowledged, none lost")
