"""Three real nodes with processes and state of their own around one mosquitto: what one learns, all know."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.abuse.size import FULL, size
from tests.live.company import NAMES, PATIENCE_S, Company
from tests.live.control_socket import block, complain
from tests.live.programs import Ports, wait_until

ORDER_S = 2.0
COMPLAINT_S = 10.0


@pytest.fixture
def company(tmp_path: Path, ports: Ports) -> Iterator[Company]:
    with Company(tmp_path, ports) as running:
        yield running


def seconds_until_rejected(company: Company, number: str) -> float:
    """From now until a call of this number is rejected at every node."""
    begun_s, open_at = time.monotonic(), list(NAMES)

    def nowhere_open() -> bool:
        open_at[:] = [name for name in open_at if not company.rejects_on_the_wire(name, number)]
        return not open_at

    wait_until(nowhere_open, f"{number} to be rejected everywhere", PATIENCE_S)
    return time.monotonic() - begun_s


def every(company: Company, give: Callable[[Path, str], bool], series: int) -> list[float]:
    """Seconds from each acknowledgement, at one node after the other, to a rejection at every node, sorted."""
    taken_s = []
    for turn in range(size(3, 60)):
        name, number = NAMES[turn % len(NAMES)], f"+8620{series}{turn * 1013:05}"  # each of another block
        assert not company.rejects_on_the_wire(name, number)
        assert give(company.nodes[name].state / "control.sock", number)
        taken_s.append(seconds_until_rejected(company, number))
    return sorted(taken_s)


def test_m13_an_order_and_a_complaint_reach_every_node(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    order_s = every(company, block, 123)
    complaint_s = every(company, complain, 124)
    with capsys.disabled():
        print(f"\norder acknowledged -> calls rejected at every node: {order_s[0]:.2f} to {order_s[-1]:.2f} s; "
              f"complaint: {complaint_s[0]:.2f} to {complaint_s[-1]:.2f} s")
    assert not FULL or (order_s[-1] <= ORDER_S and complaint_s[-1] <= COMPLAINT_S)
    assert company.nodes["gamma"].command("unblock", "+862012300000").returncode == 0
    for name in NAMES:
        wait_until(partial(company.accepts, name, "+862012300000"), f"the withdrawal at {name}")


def test_r2_whoever_is_killed_no_acknowledged_order_is_lost(company: Company) -> None:
    given: set[str] = set()

    def order(name: str, digits: int) -> None:
        number = f"+86201235{digits:04}"
        if company.nodes[name].command("block", number).returncode == 0:
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
        assert company.rejects(name, min(given))
