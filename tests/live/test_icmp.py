"""ICMP errors of real sockets: a target that is gone is left at once, and the edge goes on reading."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import uvloop

from engine._screener import Screener
from engine.policy import compile_policy
from engine.tables import Tables
from proxy.config import Capacity, Configuration, Timers
from proxy.config_load import policy_set
from proxy.core import ProxyCore
from proxy.counters import Counters
from proxy.router import ListenerAddress
from proxy.trunks import build_routing
from proxy.udp import UdpEdge
from tests.live.node import Node
from tests.live.programs import Ports, wait_until
from tests.live.sipp import SippFactory
from tests.proxy.messages import request
from tests.proxy.playbook import CONFIGURATION

CALLS = 20


def bound(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_DGRAM)
    listening.bind((host, 0))
    listening.setblocking(False)
    return listening


class Edge:
    """One worker's edge between a caller and two targets, the first of which nobody listens at."""

    def __init__(self, directory: Path, host: str, hand_over: Path | None = None) -> None:
        self.own, self.caller, self.spare, self.dead = (bound(host) for _ in range(4))
        self.counters = Counters.in_memory()
        dead, spare = (sock.getsockname()[1] for sock in (self.dead, self.spare))
        self.dead.close()
        name = f"[{host}]" if ":" in host else host
        text = CONFIGURATION.replace("192.0.2.0/24", host).replace("203.0.113.5:5060", f"{name}:{self.port}")
        text = text.replace('"198.51.100.20"', f'"{name}:{dead}"').replace('"198.51.100.21"', f'"{name}:{spare}"')
        configuration = msgspec.toml.decode(text, type=Configuration)
        tables = Tables.open(directory, reputation=4096, rate_limiter=4096, half_life_days=14.0)
        self.core = ProxyCore(
            [ListenerAddress(host, self.port, name, self.port)],
            worker=0,
            secret=bytes(32),
            counters=self.counters,
            capacity=Capacity(transactions=1024, calls=1024),
            timers=Timers(),
        )
        image = compile_policy(policy_set(configuration), base_dir=directory, generation=1)
        self.core.configure(build_routing(configuration, 1), Screener(image, tables, bytes(16)))
        self.edge = UdpEdge(self.core, [self.own], time.time_ns() // 1000 - time.monotonic_ns() // 1000, hand_over)

    @property
    def port(self) -> int:
        return int(self.own.getsockname()[1])

    def call(self, number: int) -> None:
        host, port = self.caller.getsockname()[:2]
        sent_by = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        caller = f"+86138001380{number:02}"
        data = request(caller=caller, branch=f"z9hG4bK-{number}", call_id=f"c{number}", sent_by=sent_by)
        self.caller.sendto(data, self.own.getsockname()[:2])

    def invites(self) -> list[bytes]:
        """What the second target has got."""
        got = []
        while True:
            try:
                got.append(self.spare.recv(65_536))
            except BlockingIOError:
                return got

    def served(self) -> list[bytes]:
        """The same, once the edge has read what there is to read."""
        self.edge.read(0)
        return self.invites()

    def close(self) -> None:
        for sock in (self.own, self.caller, self.spare):
            sock.close()


@pytest.fixture(params=["127.0.0.1", "::1"])
def edge(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Edge]:
    edge = Edge(tmp_path, request.param)
    yield edge
    edge.close()


def test_target_that_is_gone_is_left_at_once(edge: Edge) -> None:
    for number in range(CALLS):
        edge.call(number)
    invites: list[bytes] = []

    def all_there() -> bool:
        invites.extend(edge.served())
        return len(invites) >= CALLS

    wait_until(all_there, "every call at the second target")
    assert all(data.startswith(b"INVITE ") for data in invites)
    assert len({data.split(b"Call-ID: ")[1].split(b"\r\n")[0] for data in invites}) == CALLS
    assert edge.counters["transport_failures"] == edge.counters["failovers"] > 0
    assert edge.counters["resent"] == edge.counters["send_failed"] == 0


def test_readers_of_the_event_loop_outlive_the_errors(edge: Edge) -> None:
    """libuv closes the watcher of a descriptor that has an error."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(edge.edge.poll_fileno(0), edge.edge.read, 0)
        for number in range(CALLS):
            edge.call(number)
            got: list[bytes] = []
            while not got:
                await asyncio.sleep(0.001)
                got += edge.invites()
        loop.remove_reader(edge.edge.poll_fileno(0))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(serve(), 20))


def test_errors_about_answers_and_strangers_mean_nothing(edge: Edge) -> None:
    edge.call(0)
    edge.caller.close()
    wait_until(edge.served, "the call at the second target")
    failures = edge.counters["transport_failures"]
    for _ in range(5):
        edge.edge.tick()
        edge.edge.read(0)
        time.sleep(0.06)  # the 100 Trying goes out meanwhile, to a port that is closed
    assert edge.counters["transport_failures"] == failures
    edge.caller = bound(edge.own.getsockname()[0])
    edge.call(1)
    wait_until(edge.served, "the next call at the second target")


@pytest.mark.parametrize("workers", [1, 2])
def test_no_call_waits_for_a_gateway_that_was_killed(
    workers: int, start_node: Callable[..., Node], sipp: SippFactory, ports: Ports
) -> None:
    """SIPp through a node whose first target is killed in the middle."""
    first, second = ports.udp(), ports.udp()
    node = start_node(gateway_port=first, workers=workers, calls_a_minute=500)
    text = node.configuration.read_text()
    with_spare = f' }}, {{ address = "127.0.0.1:{second}", priority = 2 }}]\nprobe ='
    assert " }]\nprobe =" in text
    node.configuration.write_text(text.replace(" }]\nprobe =", with_spare))
    assert node.command("reload").returncode == 0
    killed, spare_target = sipp.callee(port=first), sipp.callee(port=second)
    before = sipp.caller(node.port, calls=5)
    assert before.wait() == 0, before.tail()
    killed.stop()
    after = sipp.caller(node.port, calls=CALLS, rate=20)
    assert after.wait() == 0, after.tail()
    assert len(spare_target.received("INVITE")) == CALLS
    # Every call that moved on did so because it was told, not because it had waited.
    moved = node.metric("callsieve_worker_failovers_total")
    assert moved == node.metric("callsieve_worker_transport_failures_total") > 0
