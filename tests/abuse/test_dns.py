"""D1: DNS that is silent, slow, wrong or too generous, against a running node.

Calls to numeric targets go on beside it, and what hangs on a name is decided within two seconds.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

import pytest

from tests import policies
from tests.abuse.size import FULL, size
from tests.dns_server import DnsServer
from tests.live.conftest import ports, start_node  # noqa: F401
from tests.live.node import Node
from tests.live.programs import LOOPBACK, Ports, wait_until
from tests.proxy.messages import request

MORE = policies.gateway_by_prefix("named", "gateway.d1.test") + """
[dns]
servers = ["127.0.0.1:{dns}"]
"""
NAMED_CALLEE = "+861088886666"
LAG_S = 0.01  # that a question may add to calls that ask for no name
PATIENCE_S = 20.0
BY_SRV = ("_sip._udp.gateway.d1.test.", "SRV")


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    """A DNS server in a thread of its own."""
    server = DnsServer({("exists.d1.test.", "A"): [LOOPBACK]}, ttl_s=1)
    up, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        async with server:
            up.set()
            while not stop.is_set():
                await asyncio.sleep(0.02)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert up.wait(10)
    yield server
    stop.set()
    thread.join()


class Side:
    """A socket that plays the caller or the gateway."""

    def __init__(self, port: int) -> None:
        self.end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.end.bind((LOOPBACK, port))
        # What has come while something else was waited for, by Call-ID. What nobody answers is repeated: thousands.
        self.others: defaultdict[bytes, list[bytes]] = defaultdict(list)

    def receive(self, start: bytes, call_id: str, timeout_s: float) -> bytes | None:
        """A message of this call whose first line begins so, if there is one in time."""
        until_s = time.monotonic() + timeout_s
        while True:
            if found := self._found(start, call_id):
                return found
            self.end.settimeout(max(0.001, until_s - time.monotonic()))
            try:
                self._keep(self.end.recv(65535))
            except TimeoutError:
                return None

    def has(self, start: bytes, call_id: str) -> bool:
        """Whether such a message has come, of those that were read."""
        return self._found(start, call_id) is not None

    def _found(self, start: bytes, call_id: str) -> bytes | None:
        return next((data for data in self.others[call_id.encode()] if data.startswith(start)), None)

    def _keep(self, data: bytes) -> None:
        call_id, _, _ = data.partition(b"Call-ID: ")[2].partition(b"\r\n")
        self.others[call_id].append(data)

    def take_in(self) -> None:
        """Reads what has come, before the socket overflows."""
        self.end.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                self._keep(self.end.recv(65535))


class Beside(NamedTuple):
    """How calls of numeric targets fared while a name was asked for."""

    overtaken: bool  # the call that waited for the name, by all of them
    lag_s: float  # what the slowest of them took more than the slowest before


def assert_nobody_waits(seen: list[Beside]) -> None:
    """A loop that waits for DNS does so each time; a machine that is busy with something else does not."""
    print(f"lag: {sorted(round(each.lag_s * 1e3, 2) for each in seen)} ms")
    assert any(each.overtaken for each in seen)
    assert not FULL or sorted(each.lag_s for each in seen)[len(seen) // 4] <= LAG_S


class Scene:
    def __init__(self, node: Node, caller: Side, gateway: Side) -> None:
        self.node = node
        self.caller = caller
        self.gateway = gateway
        self.calls = 0

    def invite(self, *, callee: str = "+862088886666", headers: tuple[str, ...] = ()) -> str:
        """Places a call; its Call-ID."""
        self.calls += 1
        self.caller.take_in()
        call_id = f"d1-{self.calls}"
        port = self.caller.end.getsockname()[1]
        message = request(
            caller=f"+86138{self.calls:08}",
            callee=callee,
            uri=f"sip:{callee}@{LOOPBACK}:{self.node.port}",
            branch=f"z9hG4bK-{call_id}",
            call_id=call_id,
            sent_by=f"{LOOPBACK}:{port}",
            headers=headers,
        )
        self.caller.end.sendto(message, (LOOPBACK, self.node.port))
        return call_id

    def numeric_calls(self, count: int) -> list[float]:
        """How long the node takes to forward a call to a numeric target, in seconds, call by call."""
        taken_s = []
        for _ in range(count):
            begun_s = time.monotonic()
            assert self.gateway.receive(b"INVITE", self.invite(), PATIENCE_S), "a call to a numeric target is lost"
            taken_s.append(time.monotonic() - begun_s)
        return taken_s

    def name_is_decided(self, name: str) -> Beside:
        """A call along a Route that is a name, forwarded past it in the end; how numeric targets fare meanwhile."""
        alone_s = max(self.numeric_calls(size(20, 50)))  # nobody answers them: more would fill the node in a minute
        call_id = self.invite(headers=(f"Route: <sip:{name};lr>",))
        lag_s = max(self.numeric_calls(size(20, 50))) - alone_s
        self.gateway.take_in()
        overtaken = not self.gateway.has(b"INVITE", call_id)
        assert self.gateway.receive(b"INVITE", call_id, PATIENCE_S)
        return Beside(overtaken, lag_s)

    def named_gateway_refuses(self) -> float:
        """Seconds that it takes."""
        begun_s = time.monotonic()
        assert self.caller.receive(b"SIP/2.0 480", self.invite(callee=NAMED_CALLEE), PATIENCE_S)
        return time.monotonic() - begun_s


@pytest.fixture
def scene(start_node: Callable[..., Node], ports: Ports, dns: DnsServer) -> Iterator[Scene]:  # noqa: F811
    caller, gateway = Side(ports.udp()), Side(ports.udp())
    dns.silent = True
    dns.records[BY_SRV] = [f"10 1 {gateway.end.getsockname()[1]} exists.d1.test."]
    node = start_node(gateway.end.getsockname()[1], more=MORE.replace("{dns}", str(dns.port)), calls_a_minute=100_000)
    yield Scene(node, caller, gateway)
    caller.end.close()
    gateway.end.close()


def test_d1_dns_black_holed_then_back(scene: Scene, dns: DnsServer) -> None:
    begun_s, seen, refused_s = time.monotonic(), [], []
    while len(seen) < 3 or time.monotonic() - begun_s < size(0.0, 60.0):
        refused_s.append(scene.named_gateway_refuses())
        seen.append(scene.name_is_decided(f"n{scene.calls}.d1.test"))
    assert_nobody_waits(seen)
    assert not FULL or min(refused_s) <= 2.5
    dns.silent = False
    wait_until(
        lambda: scene.gateway.receive(b"INVITE", scene.invite(callee=NAMED_CALLEE), 0.5) is not None,
        "the named gateway to be found",
        20.0,
    )
    # Gone again: the last good answer stays.
    dns.silent = True
    time.sleep(size(2.0, 10.0))
    assert scene.gateway.receive(b"INVITE", scene.invite(callee=NAMED_CALLEE), PATIENCE_S)
    assert scene.node.metric("callsieve_worker_parked_total", worker="0") > 0


def test_d1_dns_slow_wrong_and_generous(scene: Scene, dns: DnsServer) -> None:
    dns.silent, dns.delay_s = False, 5.0
    assert_nobody_waits([scene.name_is_decided(f"slow-{number}.d1.test") for number in range(2)])
    dns.delay_s = 0.0
    scene.name_is_decided("nowhere.d1.test")
    port = scene.gateway.end.getsockname()[1]
    dns.records[("many.d1.test.", "A")] = [f"127.9.{n // 250}.{n % 250 + 1}" for n in range(500)]
    dns.records[BY_SRV] = [f"1 1 {port} bad.d1.test.", f"2 1 {port} exists.d1.test."]
    wait_until(
        lambda: scene.gateway.receive(b"INVITE", scene.invite(callee=NAMED_CALLEE), 0.5) is not None,
        "one bad SRV target not to fail the other",
        20.0,
    )
    scene.invite(headers=("Route: <sip:many.d1.test:5060;lr>",))
    scene.numeric_calls(size(20, 200))
    wait_until(lambda: dns.asked["many.d1.test.", "A"] > 0, "the name to be asked for")
