"""A company of three real nodes with processes and state of their own around one mosquitto."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack, closing
from functools import partial
from http.client import HTTPException
from itertools import count
from pathlib import Path

from proxy.control.order_request import text_of
from proxy.control.store import Store
from tests.live.control_socket import get
from tests.live.mosquitto import Mosquitto
from tests.live.node import COMMAND, ENVIRONMENT, Node, Setup, exchange
from tests.live.programs import LOOPBACK, Ports, wait_until
from tests.proxy.messages import request

NAMES = ("alpha", "beta", "gamma")
CALLEE = "+862088886666"
PATIENCE_S = 30.0
REJECTIONS = (403, 603, 607, 608)

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


_calls = count(1)


class Company:
    """A broker and three nodes, made members as an operator would do it. environment: of all processes of each node."""

    def __init__(
        self, directory: Path, ports: Ports, environment: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self.directory = directory
        self._environment = environment or {}
        self.broker = Mosquitto(directory / "broker", ports)
        self._root = found(directory)
        self.nodes = {name: self._node(name, ports) for name in NAMES}
        self.everyone_sees_everyone()

    def _node(self, name: str, ports: Ports) -> Node:
        table = FLEET.format(name=name, broker=self.broker.port, root=self._root)
        setup = Setup(more=table, calls_a_minute=1_000_000, environment=self._environment.get(name, {}))
        return Node(self.directory / name, ports, ports.udp(), setup)

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

    def rejects_on_the_wire(self, name: str, number: str) -> bool:
        """Whether a call of this number is rejected; nobody is at the gateway for one that is not."""
        port, call = self.nodes[name].port, next(_calls)
        invite = request(
            caller=number,
            callee=CALLEE,
            uri=f"sip:{CALLEE}@{LOOPBACK}:{port}",
            branch=f"z9hG4bK-{call}",
            call_id=f"company-{call}",
            sent_by=LOOPBACK,
        )
        answer = exchange(port, invite)
        return answer is not None and int(answer.split(b" ", 2)[1]) in REJECTIONS

    def accepts(self, name: str, number: str) -> bool:
        return not self.rejects(name, number)

    def control(self, name: str) -> Path:
        """The socket of a node's control process."""
        return self.nodes[name].state / "control.sock"

    def stored(self, name: str) -> tuple[set[str], set[str]]:
        """The numbers of the orders and of the complaints that a node has on its disk."""
        with closing(Store.read_only(self.nodes[name].state / "store.db")) as store:
            assert store.faulty == 0
            ordered = {text_of(one.key) for one in store.decisions.all()}
            return ordered, {text_of(one.caller) for one in store.complaints.all()}

    def has_orders(self, name: str, given: set[str]) -> bool:
        return given <= self.stored(name)[0]


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
    try:
        return sum(member["up"] for member in get(node.state / "control.sock", "/v1/fleet")["members"])
    except (OSError, HTTPException, KeyError):
        return 0


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(below for child in children for below in descendants(child))]
