"""The supervisor: children kept running, sockets bound once, and a whole node as an operator runs it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.cli_client import ControlClient, NotRunning
from proxy.cli_output import Failure
from proxy.config import Configuration, Listener
from proxy.config_address import parse_host_port
from proxy.demo import DemoCall, place_calls
from proxy.listening import BindError, bind_admin, bind_listeners
from proxy.logs import open_log
from proxy.state_directory import StateDirectory
from proxy.supervisor import Child, Command, Supervisor
from tests.live.node import stdin_of
from tests.proxy.eventually import eventually, wait_until

LOG = open_log("test")


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# Children


def python(code: str, *, fds: tuple[int, ...] = ()) -> Child:
    return Child(Command("child", ("-c", code), fds), LOG)


def test_child_that_ends_is_started_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        lives = tmp_path / "lives"
        child = python(f"open({str(lives)!r}, 'a').write('x')")
        child.start()
        await eventually(lambda: lives.exists() and len(lives.read_text()) >= 3)
        await child.stop(5)

    asyncio.run(scenario())


def test_child_gets_its_file_descriptors_and_no_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        out = tmp_path / "out"
        reading, writing = os.pipe()
        code = f"import os; open({str(out)!r}, 'w').write(' '.join(sorted(os.listdir('/proc/self/fd'))))"
        child = python(f"{code}; import time; time.sleep(600)", fds=(reading,))
        child.start()
        await eventually(lambda: out.exists() and out.read_text())
        assert str(reading) in out.read_text().split()
        assert str(writing) not in out.read_text().split()
        await child.stop(5)

    asyncio.run(scenario())


def test_child_that_does_not_end_is_killed(tmp_path: Path) -> None:
    async def scenario() -> None:
        up = tmp_path / "up"
        ignoring = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
        child = python(f"{ignoring}; open({str(up)!r}, 'w'); time.sleep(600)")
        child.start()
        await eventually(up.exists)
        await child.stop(0.1)

    asyncio.run(scenario())


def test_node_with_a_child_that_cannot_start_is_given_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        state = StateDirectory(tmp_path)
        sleeping = Command("control", ("-c", "import time; time.sleep(600)"))
        broken = Command("worker-0", ("-c", "raise SystemExit('no memory')"))
        supervisor = Supervisor(state, Configuration(), [sleeping, broken], None, LOG)
        with pytest.raises(Failure, match="worker-0 cannot be started"):
            await supervisor.run(1, "nowhere", None)

    asyncio.run(scenario())


# Sockets


def test_each_worker_has_a_socket_for_each_listener() -> None:
    port = free_port(socket.SOCK_DGRAM)
    bound = bind_listeners([Listener(name="udp", address=f"127.0.0.1:{port}")], 2, LOG)
    assert [[end.getsockname() for end in ends] for ends in bound] == [[("127.0.0.1", port)]] * 2
    for ends in bound:
        ends[0].close()


def test_port_of_another_program_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(BindError, match=f"listener udp, {address}: another program has this port"):
            bind_listeners([Listener(name="udp", address=address)], 2, LOG)


def test_address_of_another_machine_is_named() -> None:
    with pytest.raises(BindError, match=r"listener udp, 192\.0\.2\.1:5060: this machine has no such address"):
        bind_listeners([Listener(name="udp", address="192.0.2.1:5060")], 1, LOG)


def test_admin_port_of_another_program_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(BindError, match=f"admin address {address}: another program has this port"):
            bind_admin(address)


# A whole node

CONFIGURATION = """
[node]
name = "tested"
state_dir = "state"
workers = {workers}
drain_s = 1

[admin]
address = "127.0.0.1:{admin}"

[redress]
url = "https://redress.example.net/r"

[[listener]]
name = "udp"
address = "127.0.0.1:{sip}"

[[trunk]]
name = "carrier"
sources = ["127.0.0.0/8"]
trusted = true
dial_plan = "cn"
policy = "default"
route = "softswitch"

[[gateway]]
name = "softswitch"
targets = [{{ address = "127.0.0.1:{softswitch}" }}]

[[policy]]
name = "default"

[[list]]
name = "deny"
action = "deny"
numbers = ["{denied}"]
"""


class Node:
    """A node in processes of its own, with the answering endpoint as its softswitch."""

    def __init__(self, path: Path, workers: int = 1) -> None:
        self.config = path / "callsieve.toml"
        self.state = path / "state"
        self.sip = free_port(socket.SOCK_DGRAM)
        self.admin = free_port(socket.SOCK_STREAM)
        self.softswitch = free_port(socket.SOCK_DGRAM)
        self.workers = workers
        self.log = path / "stderr"
        self.process: subprocess.Popen[bytes] | None = None
        self.configure(denied="+862066660000")

    def configure(self, denied: str) -> None:
        self.config.write_text(
            CONFIGURATION.format(
                workers=self.workers, admin=self.admin, sip=self.sip, softswitch=self.softswitch, denied=denied
            )
        )

    def start(self) -> None:
        self.answering = self._python("-m", "proxy.answering", "--address", f"127.0.0.1:{self.softswitch}")
        self.process = self._python("-c", RUN, str(self.config))
        wait_until(lambda: self.healthy() or self.has_ended())
        assert self.healthy(), self.log.read_text()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        for process in (self.process, self.answering):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()

    def _python(self, *arguments: str) -> subprocess.Popen[bytes]:
        with open(self.log, "ab") as log:
            return subprocess.Popen([sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def status(self) -> dict[str, Any]:
        return ControlClient(self.state / "control.sock").status()

    def reload(self) -> tuple[bool, dict[str, Any]]:
        return ControlClient(self.state / "control.sock").reload()

    def pid_of(self, process: Callable[[str], bool]) -> int:
        """The child of the supervisor whose command line `process` accepts."""
        (found,) = self.pids_of(process)
        return found

    def pids_of(self, process: Callable[[str], bool]) -> list[int]:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if process(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))]

    def spare(self) -> int:
        """The process that is to become the next worker; waits for it."""

        def waiting() -> list[int]:
            prepared = self.pids_of(lambda command: " --spare " in command)
            return [pid for pid in prepared if stdin_of(pid).startswith("pipe:")]

        wait_until(lambda: bool(waiting()))
        (found,) = waiting()
        return found

    def call(self, caller: str) -> str:
        """The final answer to a call, as a status line."""
        call = DemoCall("call", caller)
        asyncio.run(place_calls(parse_host_port(f"127.0.0.1:{self.sip}"), [call]))
        return call.answer

    def lines(self, name: str) -> list[dict[str, Any]]:
        path = self.state / name
        return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def name_of(pid: int) -> str:
    """As `top` shows it."""
    return Path(f"/proc/{pid}/comm").read_text().strip()


RUN = "import sys; from pathlib import Path; from proxy.supervisor import run; sys.exit(run(Path(sys.argv[1])))"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    node.start()
    yield node
    node.kill()


def test_calls_are_decided_logged_and_counted(node: Node) -> None:
    assert node.call("+8613800138000") == "200 OK"
    assert node.call("+862066660000").startswith("403 ")
    wait_until(lambda: len(node.lines("decisions.jsonl")) == 2 and len(node.lines("calls.jsonl")) == 1)
    accepted, rejected = node.lines("decisions.jsonl")
    (ended,) = node.lines("calls.jsonl")
    assert (accepted["action"], accepted["caller"], accepted["trunk"]) == ("accept", "+8613800138000", "carrier")
    assert (rejected["action"], rejected["rule"], rejected["status"]) == ("reject", "deny", 403)
    assert (ended["call"], ended["status"], ended["released_by"]) == (accepted["call"], 200, "caller")
    with urllib.request.urlopen(f"http://127.0.0.1:{node.admin}/metrics", timeout=5) as answer:
        metrics = answer.read().decode()
    assert 'callsieve_calls_total{action="reject",basis="policy"} 1.0' in metrics
    assert 'callsieve_worker_invites_total{worker="0"} 2.0' in metrics
    assert node.stop() == 0


def test_reload_takes_effect_and_a_broken_file_does_not(node: Node) -> None:
    node.configure(denied="+8613800138000")
    assert node.reload() == (True, {"generation": 2, "errors": [], "warnings": []})
    assert node.call("+8613800138000").startswith("403 ")
    node.config.write_text(node.config.read_text().replace('route = "softswitch"', 'route = "nowhere"'))
    accepted, answer = node.reload()
    assert (accepted, answer["generation"]) == (False, 2)
    (error,) = answer["errors"]
    assert (error["file"], error["key"]) == (str(node.config), "trunk[carrier].route")
    assert node.call("+8613800138000").startswith("403 ")
    assert node.call("+862066660000") == "200 OK"


def test_hang_up_signal_reloads(node: Node) -> None:
    assert node.process is not None
    node.process.send_signal(signal.SIGHUP)
    wait_until(lambda: [worker["generation"] for worker in node.status()["workers"]] == [2])
    assert node.call("+8613800138000") == "200 OK"


def test_worker_that_dies_is_replaced(node: Node) -> None:
    (before,) = node.status()["workers"]
    os.kill(before["pid"], signal.SIGKILL)
    wait_until(lambda: [worker for worker in node.status()["workers"] if worker["pid"] != before["pid"]])
    assert node.call("+862066660000").startswith("403 ")


def test_the_spare_process_becomes_the_next_worker_and_another_is_prepared(node: Node) -> None:
    spare = node.spare()
    (before,) = node.status()["workers"]
    assert name_of(before["pid"]) == "callsieve-w0"
    wait_until(lambda: name_of(spare) == "callsieve-spare")
    os.kill(before["pid"], signal.SIGKILL)
    wait_until(lambda: [worker["pid"] for worker in node.status()["workers"]] == [spare])
    assert name_of(spare) == "callsieve-w0"
    assert node.call("+862066660000").startswith("403 ")
    assert node.spare() != spare
    assert node.stop() == 0


def test_a_spare_process_that_is_killed_is_done_without(node: Node) -> None:
    os.kill(node.spare(), signal.SIGKILL)
    (before,) = node.status()["workers"]
    os.kill(before["pid"], signal.SIGKILL)
    wait_until(lambda: [worker for worker in node.status()["workers"] if worker["pid"] != before["pid"]])
    assert node.call("+862066660000").startswith("403 ")


def test_calls_go_on_without_control(node: Node) -> None:
    control = node.pid_of(lambda command: "proxy.control" in command)
    os.kill(control, signal.SIGSTOP)
    assert node.call("+8613800138000") == "200 OK"
    os.kill(control, signal.SIGKILL)
    assert node.call("+862066660000").startswith("403 ")
    wait_until(node.healthy)
    assert node.call("+862066660000").startswith("403 ")
    wait_until(lambda: node.lines("decisions.jsonl"))


def test_second_instance_is_refused(node: Node) -> None:
    second = subprocess.run([sys.executable, "-c", RUN, str(node.config)], capture_output=True, timeout=60, check=False)
    assert second.returncode != 0
    assert b"callsieve is already running" in second.stderr
    assert node.healthy()


def test_end_of_the_supervisor_ends_its_children(node: Node) -> None:
    assert node.process is not None
    (worker,) = node.status()["workers"]
    pids = [worker["pid"], node.spare()]
    node.process.kill()
    node.process.wait()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))

    def is_down() -> bool:
        try:
            node.status()
        except NotRunning:
            return True
        return False

    wait_until(is_down)


def test_two_workers_share_one_port(tmp_path: Path) -> None:
    node = Node(tmp_path, workers=2)
    try:
        node.start()
        assert [node.call("+8613800138000") for _ in range(8)] == ["200 OK"] * 8
        wait_until(lambda: len(node.lines("decisions.jsonl")) == 8 and len(node.lines("calls.jsonl")) == 8)
        assert node.stop() == 0
    finally:
        node.kill()


def test_broken_configuration_is_refused_with_file_and_key(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.config.write_text(node.config.read_text().replace('route = "softswitch"', 'route = "nowhere"'))
    refused = subprocess.run(
        [sys.executable, "-c", RUN, str(node.config)], capture_output=True, timeout=60, check=False
    )
    assert refused.returncode != 0
    assert b"trunk[carrier].route" in refused.stderr and str(node.config).encode() in refused.stderr
