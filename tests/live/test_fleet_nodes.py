"""Three real nodes with processes and state of their own around one mosquitto: what one learns, all know."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.live.mosquitto import Mosquitto
from tests.live.node import COMMAND, ENVIRONMENT, Node, Setup
from tests.live.programs import Ports, wait_until

NAMES = ("alpha", "beta", "gamma")
CALLEE = "+862088886666"
PATIENCE_S = 30.0

FLEET = """
[fleet]
enabled = true
name = "live"
node = "{name}"
broker = "127.0.0.1:{broker}"
root = "{root}"
key = "fleet/node.key"
trust = "fleet/trust.bundle"
"""


class Company:
    """A broker and three nodes, made members as an operator would do it."""

    def __init__(self, directory: Path, ports: Ports) -> None:
        self.directory = directory
        self.broker = Mosquitto(directory / "broker", ports)
        self._root = found(directory)
        self.nodes = {name: self._node(name, ports) for name in NAMES}
        self.everyone_sees_everyone()

    def _node(self, name: str, ports: Ports) -> Node:
        table = FLEET.format(name=name, broker=self.broker.port, root=self._root)
        return Node(self.directory / name, ports, ports.udp(), Setup(more=table))

    def __enter__(self) -> Company:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            stack.callback(self.broker.stop)
            for node in self.nodes.values():
                stack.callback(node.stop)

    def everyone_sees_everyone(self) -> None:
        for name, node in self.nodes.items():
            wait_until(partial(sees_all, node), f"{name} to see all", PATIENCE_S)

    def kill(self, name: str) -> None:
        """Everything of a node at once, as when the power goes."""
        node = self.nodes[name]
        family = [node.pid, *descendants(node.pid)]
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: node.exit_code is not None, f"{name} to be dead")

    def rejects(self, name: str, number: str) -> bool:
        answer = self.nodes[name].command("explain", "--from", number, "--to", CALLEE, "--trunk", "carrier")
        return answer.returncode == 1

    def accepts(self, name: str, number: str) -> bool:
        return not self.rejects(name, number)

    def has_orders(self, name: str, given: set[str]) -> bool:
        return self.orders(name) == given

    def orders(self, name: str) -> set[str]:
        """The numbers that were ordered of, by the node's own store."""
        answer = self.nodes[name].command("decisions", "--json")
        return {one["number"] for one in json.loads(answer.stdout)["decisions"]} if answer.returncode == 0 else set()


def fleet_command(*arguments: str) -> str:
    done = subprocess.run([*COMMAND, "fleet", *arguments], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def found(directory: Path) -> str:
    """Makes the members' files; the public root key."""
    places = {name: directory / name / "fleet" for name in NAMES}
    first, *others = NAMES
    loose = ("--liars", "0", "--origins", "1", "--block", "50")
    made = json.loads(fleet_command("init", first, "--directory", str(places[first]), *loose, "--json"))
    root: str = made["fleet"]["root"]
    (directory / "none.toml").touch()
    for name in others:
        request = fleet_command("join", name, "--directory", str(places[name])).strip()
        roles = [word for role in ("proxy", "reducer", "top", "authority") for word in ("--role", role)]
        config = ("--config", str(directory / "none.toml"))
        fleet_command("invite", request, "--directory", str(places[first]), *roles, *config)
    for name in others:
        invitation = str(places[first] / "trust.bundle")
        fleet_command("join", name, "--directory", str(places[name]), "--invitation", invitation, "--root", root)
    return root


def sees_all(node: Node) -> bool:
    return members_up(node) == len(NAMES)


def members_up(node: Node) -> int:
    answer = node.command("fleet", "status", "--json")
    try:
        return sum(member["up"] for member in json.loads(answer.stdout)["members"])
    except (KeyError, ValueError):
        return 0


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(below for child in children for below in descendants(child))]


def seconds_until(condition: Callable[[], bool], what: str) -> float:
    before = time.monotonic()
    wait_until(condition, what, PATIENCE_S)
    return time.monotonic() - before


@pytest.fixture
def company(tmp_path: Path, ports: Ports) -> Iterator[Company]:
    with Company(tmp_path, ports) as running:
        yield running


def test_m13_an_order_and_a_complaint_reach_every_node(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    assert not company.rejects("gamma", "+862012340001")
    assert company.nodes["alpha"].command("block", "+862012340001", "--reason", "test").returncode == 0
    order_s = [
        seconds_until(partial(company.rejects, name, "+862012340001"), f"the order at {name}")
        for name in NAMES
    ]
    complained = company.nodes["beta"].command("complain", "+862012340002", "--reporter", "somebody")
    assert complained.returncode == 0, complained.stderr
    complaint_s = [
        seconds_until(partial(company.rejects, name, "+862012340002"), f"the complaint at {name}")
        for name in ("gamma", "alpha")
    ]
    assert company.nodes["gamma"].command("unblock", "+862012340001").returncode == 0
    for name in NAMES:
        wait_until(partial(company.accepts, name, "+862012340001"), f"the withdrawal at {name}")
    with capsys.disabled():
        print(f"\norder on every node: {sum(order_s):.1f} s; complaint: {sum(complaint_s):.1f} s (asking included)")


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
