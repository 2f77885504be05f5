"""S2, S6 and S7: memory under more callers than there is room for, under floods within a limit, and over time."""

from __future__ import annotations

import resource
import socket
import time
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from engine._rate_limiter import RateLimiter
from engine._reputation import ReputationCache
from tests import policies
from tests.abuse.clean_caller import CALLEE as ROUTED_CALLEE
from tests.abuse.memory import resident_bytes
from tests.abuse.size import FULL, size
from tests.live.node import PROTECTED_CALLEE, Node
from tests.live.programs import LOOPBACK, Ports, wait_until
from tests.live.sipp import SippFactory

MEBIBYTE = 1 << 20
NOW_US = 1_795_000_000_000_000
RECORDS = 1 << 18
BATCH = 1 << 16
FLOODED = 4 * MEBIBYTE  # how far a process may grow in a flood: queues, the heap's own reserve

INVITE = (
    "INVITE sip:+862088886666@{host} SIP/2.0\r\n"
    "Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK-{turn}\r\n"
    "Max-Forwards: 70\r\n"
    "From: <sip:+86138{number:08}@{host}>;tag={turn}\r\n"
    "To: <sip:+862088886666@{host}>\r\n"
    "Call-ID: flood-{turn}\r\n"
    "CSeq: 1 INVITE\r\n"
    "Contact: <sip:x@{host}:{port}>\r\n"
    "Content-Length: 0\r\n\r\n"
)


# S2


def test_s2_memory_is_constant_however_many_callers(tmp_path: Path) -> None:
    limiter = RateLimiter(tmp_path / "limits.tbl", RECORDS)
    reputation = ReputationCache(tmp_path / "reputation.tbl", RECORDS)
    budget = sum((tmp_path / name).stat().st_size for name in ("limits.tbl", "reputation.tbl"))
    pinned = [8613900000000 + n for n in range(200)]
    kept = [number for number in pinned if reputation.pin(number, NOW_US)]
    assert len(kept) > 150

    def callers(start: int, count: int) -> None:
        for first in range(start, start + count, BATCH):
            numbers = array("Q", range(first, first + BATCH))
            limiter.conforms_many(numbers, NOW_US + first, 1_000_000, 4_000_000)
            reputation.add_many(numbers, NOW_US, 100)

    callers(1 << 40, 4 * RECORDS)  # full, and every page of the files touched
    before = resident_bytes()
    callers(1 << 41, size(32 * BATCH, 100_000_000))
    assert resident_bytes() - before <= budget // 50, "within 2 % of the budget"
    assert sum((tmp_path / name).stat().st_size for name in ("limits.tbl", "reputation.tbl")) == budget
    for number in kept:
        standing = reputation.read(number, NOW_US)
        assert standing is not None and standing.pinned, "a pinned number is never evicted"


# S6


@pytest.fixture
def node(start_node: Callable[..., Node], ports: Ports) -> Node:
    return start_node(ports.udp(), calls_a_minute=100_000)


def flood(node: Node, invites: int) -> None:
    """INVITEs of callers that never acknowledge, to a gateway that never answers, as fast as they are taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:
        attacker.bind((LOOPBACK, 0))
        attacker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        port = attacker.getsockname()[1]
        for turn in range(invites):
            message = INVITE.format(host=LOOPBACK, port=port, turn=turn, number=turn % 10**8)
            attacker.sendto(message.encode(), (LOOPBACK, node.port))
            if turn % 100 == 99:
                time.sleep(0.001)  # the node shares the machine with the test


def test_s6_floods_within_a_limit_of_address_space(node: Node, sipp: SippFactory, ports: Ports) -> None:
    """RLIMIT_AS stands for the cgroup: a process that asks for more than 64 MiB beyond its start gets ENOMEM."""
    (worker,), control = node.workers(), node.control()
    callee = sipp.callee(port=node.gateway_port)
    talking = sipp.caller(node.port, callee=PROTECTED_CALLEE, talk_ms=size(15_000, 120_000))
    wait_until(lambda: callee.received("ACK"), "a call to be up before the flood")
    before = {pid: node.resident_bytes(pid) for pid in (worker, control)}
    for pid in (worker, control):
        used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(pid, resource.RLIMIT_AS, (used + 64 * MEBIBYTE, resource.RLIM_INFINITY))
    flood(node, size(30_000, 2_000_000))

    assert talking.wait(180) == 0, "the BYE of a call that was up is served: " + talking.tail()
    assert (node.workers(), node.control()) == ([worker], control), "nothing was killed, nothing gave up"
    assert node.metric("callsieve_worker_refused_overload_total") > 0, "new calls were refused"
    assert node.metric("callsieve_worker_internal_errors_total") == 0
    for pid, bytes_before in before.items():
        assert node.resident_bytes(pid) - bytes_before < FLOODED + 16 * MEBIBYTE, "its transactions, and no more"


# S7

WARM_S = 300  # until every place of the fixed arrays has been used: 3.6 MB of a worker


def test_s7_nothing_grows_over_time(start_node: Callable[..., Node], ports: Ports, sipp: SippFactory) -> None:
    """Calls, CANCELs, rejections, some that nobody acknowledges, and reloads round after round: what stays adds up."""
    ringing = ports.udp()
    more = policies.gateway_by_prefix("clean", f"{LOOPBACK}:{ringing}")
    node = start_node(ports.udp(), more=more, calls_a_minute=100_000)
    sipp.callee(port=node.gateway_port)
    sipp.callee("uas_cancelled", port=ringing)
    processes = {"worker": node.workers()[0], "control": node.control(), "supervisor": node.pid}

    def one_round() -> None:
        programs = [
            sipp.caller(node.port, callee=PROTECTED_CALLEE, calls=30, rate=30),
            sipp.caller(node.port, "rejected", caller="+862066660000", status=403, calls=30, rate=30),
            sipp.caller(node.port, "cancelled", callee=ROUTED_CALLEE, calls=5, rate=30, talk_ms=50),
            sipp.caller(node.port, "abandoned", caller="+862066660000", calls=5, rate=30, talk_ms=100),
        ]
        ended = [program.wait(60) for program in programs]
        assert ended[:3] == [0, 0, 0], "calls, rejections and CANCELs as their scenarios have them"
        assert node.command("reload").returncode == 0

    def measured() -> dict[str, tuple[int, int, int]]:
        """(memory, descriptors, threads) of each process."""
        return {
            name: (node.resident_bytes(pid), node.open_files(pid), len(list(Path(f"/proc/{pid}/task").iterdir())))
            for name, pid in processes.items()
        }

    begun_s, rounds = time.monotonic(), 0
    while rounds < 3 or time.monotonic() - begun_s < size(0, WARM_S):
        one_round()
        rounds += 1
    before, begun_s = measured(), time.monotonic()
    while time.monotonic() - begun_s < size(15, 20 * 60):
        one_round()
    hours = (time.monotonic() - begun_s) / 3600
    for name, (memory, files, threads) in measured().items():
        assert memory - before[name][0] <= max(MEBIBYTE * hours, 2 * MEBIBYTE), f"{name} grows"
        assert abs(files - before[name][1]) <= 3, f"{name} leaves descriptors open"
        assert threads <= before[name][2] + 1, f"{name} leaves threads"
    wait_until(lambda: node.metric("callsieve_worker_calls") == 0, "every call to have ended", 30)
    for gauge in ("server_transactions", "client_transactions", "memory_taken") if FULL else ():
        name = f"callsieve_worker_{gauge}"
        wait_until(lambda name=name: node.metric(name) == 0, f"{gauge}: timers B, H and J to be over", 120)
