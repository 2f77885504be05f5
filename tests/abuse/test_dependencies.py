"""D2 and D3: what a node reports to is slow, absent or hostile, disk and pipes are full; calls go on as before."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.abuse import hostile_broker
from tests.abuse.clean_caller import CleanCaller, assert_unaffected
from tests.abuse.size import FULL, size
from tests.abuse.stalled_disk import StalledDisk
from tests.live.company import fleet_command
from tests.live.node import COMMAND, ENVIRONMENT, LISTED, PROTECTED_CALLEE, SUSPECTED, Node
from tests.live.programs import LOOPBACK, Ports, wait_until
from tests.live.sipp import CALLER, Sipp, SippFactory

CALLS = 20
KINDS = ((LISTED, "rejected", 403), (SUSPECTED, "uac", 0), (CALLER, "uac", 0))  # (caller, scenario, status)


@pytest.fixture
def softswitch(node: Node, sipp: SippFactory) -> Sipp:
    return sipp.callee(port=node.gateway_port)


def place_calls(node: Node, sipp: SippFactory) -> int:
    """Calls of three kinds, each of which must be answered as it always is; their number."""
    callers = [
        sipp.caller(
            node.port,
            scenario,
            caller=caller,
            callee=PROTECTED_CALLEE if caller == CALLER else "+862088886666",
            status=status,
            calls=CALLS if caller != SUSPECTED else 5,  # as many as the limit leaves to one caller
            rate=50,
        )
        for caller, scenario, status in KINDS
    ]
    for program in callers:
        assert program.wait(60) == 0, program.tail()
    return 2 * CALLS + 5


def told(node: Node) -> int:
    """Decisions that were written, or counted as dropped on one of the ways."""
    written = node.metric("callsieve_log_lines_written_total", log="decisions")
    dropped = node.metric("callsieve_log_lines_dropped_total", log="decisions")
    return int(written + dropped + node.metric("callsieve_events_dropped_total"))


# D2: syslog, metrics, broker


@contextmanager
def control_stopped(node: Node) -> Iterator[None]:
    control = node.control()
    os.kill(control, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(control, signal.SIGCONT)


@contextmanager
def hostile_scrapers(node: Node) -> Iterator[None]:
    """Clients of the metrics that never read, that send a byte a second, and that send no HTTP."""
    request = f"GET /metrics HTTP/1.1\r\nHost: {LOOPBACK}\r\n\r\n".encode()
    with ExitStack() as ends:
        for kind in (request * 200, request[:10], b"\x00\xff" * 5000):
            for _ in range(10):
                end = ends.enter_context(socket.create_connection((LOOPBACK, node.admin_port)))
                end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
                end.setblocking(False)
                end.send(kind)
        yield


@contextmanager
def nothing(_: Node) -> Iterator[None]:
    yield


@pytest.mark.parametrize("trouble", [nothing, control_stopped, hostile_scrapers])
def test_d2_decisions_are_the_same(
    node: Node, softswitch: Sipp, sipp: SippFactory, trouble: Callable[[Node], Iterator[None]]
) -> None:
    with trouble(node):  # type: ignore[attr-defined]
        calls = place_calls(node, sipp)
    assert_same_decisions(node, softswitch, calls)


FLEET = """
[fleet]
enabled = true
name = "live"
node = "one"
broker = "127.0.0.1:{broker}"
root = "{root}"
key = "fleet/node.key"
trust = "fleet/trust.bundle"
"""


@pytest.mark.parametrize("kind", hostile_broker.KINDS)
def test_d2_decisions_are_the_same_whatever_the_broker_does(
    start_node: Callable[..., Node], ports: Ports, sipp: SippFactory, tmp_path: Path, kind: str
) -> None:
    founded = fleet_command("init", "one", "--directory", str(tmp_path / "fleet"), "--json")
    broker = hostile_broker.HostileBroker(kind)
    try:
        table = FLEET.format(broker=broker.port, root=json.loads(founded)["fleet"]["root"])
        node = start_node(ports.udp(), more=table)
        softswitch = sipp.callee(port=node.gateway_port)
        if kind != "refused":
            wait_until(lambda: broker.taken, "the node to come to its broker", 30)
        assert_same_decisions(node, softswitch, place_calls(node, sipp))
    finally:
        broker.stop()


@pytest.mark.parametrize("trouble", [control_stopped, hostile_scrapers])
def test_d2_calls_take_no_longer(
    start_node: Callable[..., Node],
    ports: Ports,
    clean_caller: CleanCaller,
    trouble: Callable[[Node], Iterator[None]],
) -> None:
    node = start_node(ports.udp(), more=clean_caller.more, calls_a_minute=100_000)
    alone_s = [clean_caller.p99_s(node) for _ in range(size(1, 5))]
    with trouble(node):  # type: ignore[attr-defined]
        during_s = [clean_caller.p99_s(node) for _ in range(size(1, 5))]
    assert_unaffected(during_s, alone_s, rise=1.05)


@pytest.mark.parametrize("kind", hostile_broker.KINDS if FULL else hostile_broker.KINDS[-1:])
def test_d2_calls_take_no_longer_whatever_the_broker_does(
    start_node: Callable[..., Node], ports: Ports, clean_caller: CleanCaller, tmp_path: Path, kind: str
) -> None:
    """Against the same node without a fleet, in turn."""
    founded = json.loads(fleet_command("init", "one", "--directory", str(tmp_path / "fleet"), "--json"))
    broker = hostile_broker.HostileBroker(kind)
    try:
        table = FLEET.format(broker=broker.port, root=founded["fleet"]["root"])
        alone = start_node(ports.udp(), more=clean_caller.more, calls_a_minute=100_000)
        alone_s = [clean_caller.p99_s(alone) for _ in range(size(1, 5))]
        alone.stop()
        node = start_node(ports.udp(), more=table + clean_caller.more, calls_a_minute=100_000)
        if kind != "refused":
            wait_until(lambda: broker.taken, "the node to come to its broker", 30)
        during_s = [clean_caller.p99_s(node) for _ in range(size(1, 5))]
    finally:
        broker.stop()
    assert_unaffected(during_s, alone_s, rise=1.05)


def assert_same_decisions(node: Node, softswitch: Sipp, calls: int) -> None:
    """What `place_calls` brings about, whatever else goes on."""
    wait_until(node.healthy, "control to answer again", 30)
    wait_until(lambda: told(node) == calls, "every decision to be told or counted as dropped")
    assert len(softswitch.received("INVITE")) == CALLS + 5
    actions = {action: node.metric("callsieve_calls_total", action=action) for action in ("accept", "tag", "reject")}
    assert actions == {"accept": CALLS, "tag": 5, "reject": CALLS}


def test_d2_control_that_dies_again_and_again(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    for _ in range(3):
        wait_until(node.healthy, "control to be back", 30)
        os.kill(node.control(), signal.SIGKILL)
        rejected = sipp.caller(node.port, "rejected", caller=LISTED, status=403, calls=5, rate=50)
        assert rejected.wait() == 0, rejected.tail()


# D3: disk and pipes


def test_d3_disk_full(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    """A limit on file size stands for the full disk: every write of control fails."""
    full = resource.prlimit(node.control(), resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    calls = place_calls(node, sipp)
    wait_until(lambda: node.metric("callsieve_log_lines_dropped_total", log="decisions") == calls, "every drop counted")
    resource.prlimit(node.control(), resource.RLIMIT_FSIZE, full)
    rejected = sipp.caller(node.port, "rejected", caller=LISTED, status=403, calls=3)
    assert rejected.wait() == 0, rejected.tail()
    assert len(node.decisions(3)) == 3, "written again as soon as there is room, and no line cut in two"


def test_d3_directory_that_cannot_be_written(
    start_node: Callable[..., Node], ports: Ports, sipp: SippFactory, tmp_path: Path
) -> None:
    """Nobody, not even root, makes files in /sys, mounted or not."""
    link = tmp_path / "log"
    link.symlink_to(tmp_path)
    node = start_node(ports.udp(), more=f'\n[decision_log]\npath = "{link}/decisions.jsonl"\n')
    sipp.callee(port=node.gateway_port)
    link.unlink()
    link.symlink_to("/sys/kernel")
    with pytest.raises(OSError) as refused:
        (link / "x").touch()
    assert refused.value.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)
    calls = place_calls(node, sipp)
    wait_until(lambda: node.metric("callsieve_log_lines_dropped_total", log="decisions") == calls, "every drop counted")


def test_d3_log_pipe_blocked(
    start_node: Callable[..., Node], ports: Ports, sipp: SippFactory, tmp_path: Path
) -> None:
    """The decision log is a pipe that nobody reads: lines wait, and are there when somebody does."""
    pipe = tmp_path / "blocked.jsonl"
    more = f'\n[decision_log]\npath = "{pipe}"\n'
    node = start_node(ports.udp(), more=more, prepare=lambda _: os.mkfifo(pipe))
    sipp.callee(port=node.gateway_port)
    calls = place_calls(node, sipp)
    wait_until(lambda: node.metric("callsieve_calls_total") == calls, "control to have heard of every call")
    time.sleep(size(0, 60))  # how long nobody reads
    assert node.metric("callsieve_log_lines_written_total", log="decisions") == 0
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as reader:
        received = b""

        def all_there() -> bool:
            nonlocal received
            received += reader.read(65536) or b""
            return received.count(b"\n") >= calls

        wait_until(all_there, "the lines that waited")
    assert received.count(b"\n") == calls


def test_d3_process_log_pipe_blocked(
    start_node: Callable[..., Node], ports: Ports, sipp: SippFactory, tmp_path: Path
) -> None:
    """Standard error is a full pipe: no process waits for it, whatever it has to say; what is lost is told later."""
    pipe = tmp_path / "callsieve.log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    try:
        node = start_node(ports.udp())
        sipp.callee(port=node.gateway_port)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(writer, b"x" * 4095 + b"\n")
        for _ in range(3):  # each worker and control say something at a reload
            assert node.command("reload").returncode == 0
        place_calls(node, sipp)
        time.sleep(size(0, 60))  # how long nobody reads
        assert node.healthy()
        received = b""

        def told() -> bool:
            nonlocal received
            received += _drained(reader)
            return b"lost_lines" in received or node.command("reload").returncode != 0

        wait_until(told, "the log to say how many lines it lost", 60)
        assert b"lost_lines" in received
        node.stop()
    finally:
        os.close(reader)
        os.close(writer)


def test_d3_a_sync_that_stalls_holds_up_the_order_and_no_call(
    start_node: Callable[..., Node], ports: Ports, sipp: SippFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every fsync and fdatasync of the node's processes waits for as long as the disk is said to stall."""
    disk = StalledDisk(tmp_path)
    for name, value in disk.environment.items():
        monkeypatch.setitem(ENVIRONMENT, name, value)
    node = start_node(ports.udp())
    sipp.callee(port=node.gateway_port)
    with disk.stalled():
        order = [*COMMAND, "block", "+8613900139000", "--config", str(node.configuration)]
        with subprocess.Popen(order, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENVIRONMENT) as ordering:
            wait_until(disk.is_waited_for, "the order to be written", 30)
            calls = place_calls(node, sipp)
            time.sleep(size(0, 5))
            assert ordering.poll() is None, "what is not on the disk is not acknowledged"
            assert node.healthy()
            disk.release()
            assert ordering.wait(60) == 0, ordering.stdout.read() if ordering.stdout else b""
    wait_until(lambda: told(node) == calls, "every decision to be told or counted as dropped")


def _drained(reader: int) -> bytes:
    """What is in the pipe, which is empty then."""
    received = b""
    try:
        while chunk := os.read(reader, 65536):
            received += chunk
    except BlockingIOError:
        pass
    return received
