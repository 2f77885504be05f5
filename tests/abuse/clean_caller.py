"""The clean caller: calls of a trunk that behaves, beside an attack, to a gateway of their own.

Each INVITE is sent once and has to be forwarded: what the node loses or leaves unread fails the test, on any machine.
How long it takes is compared with how long it takes alone, in the same run, and only judged at full length.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator, Sequence

import pytest

from tests import policies
from tests.abuse.size import FULL, size
from tests.live.node import Node
from tests.live.programs import LOOPBACK, Ports
from tests.proxy.messages import request

CALLS = size(20, 200)  # of one measurement
PATIENCE_S = 20.0
GRAIN_S = 0.0005  # what a scheduler adds to a p99 of its own accord
CALLEE = "+861088886666"
_numbers = itertools.count(1)


class CleanCaller:
    """caller, gateway: its sockets on either side of the node. more: what the node's configuration needs for it."""

    def __init__(self, ports: Ports) -> None:
        self.caller = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.gateway = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.caller.bind((LOOPBACK, ports.udp()))
        self.gateway.bind((LOOPBACK, ports.udp()))
        self.more = policies.gateway_by_prefix("clean", f"{LOOPBACK}:{self.gateway.getsockname()[1]}")

    def p99_s(self, node: Node) -> float:
        """Of the time from an INVITE to its being forwarded; fails if one is not."""
        taken = sorted(self._transit_s(node) for _ in range(CALLS))
        return taken[(CALLS - 1) * 99 // 100]

    def _transit_s(self, node: Node) -> float:
        number = next(_numbers)
        call_id = f"clean-{number}"
        message = request(
            caller=f"+86137{number:08}",
            callee=CALLEE,
            uri=f"sip:{CALLEE}@{LOOPBACK}:{node.port}",
            branch=f"z9hG4bK-{call_id}",
            call_id=call_id,
            sent_by=f"{LOOPBACK}:{self.caller.getsockname()[1]}",
        )
        wanted = f"Call-ID: {call_id}\r\n".encode()
        begun_s = time.monotonic()
        self.caller.sendto(message, (LOOPBACK, node.port))
        while True:
            self.gateway.settimeout(max(0.001, begun_s + PATIENCE_S - time.monotonic()))
            try:
                data = self.gateway.recv(65_535)
            except TimeoutError:
                pytest.fail(f"{call_id} was not forwarded")
            if data.startswith(b"INVITE ") and wanted in data:  # and not the repeat of one before
                return time.monotonic() - begun_s

    def close(self) -> None:
        self.caller.close()
        self.gateway.close()


def assert_unaffected(during_s: Sequence[float], alone_s: Sequence[float], rise: float = 1.2) -> None:
    """p99s beside the trouble and alone: the best of each, since a busy machine only ever adds."""
    alone, during = min(alone_s), min(during_s)
    print(f"p99 of the clean caller: {alone * 1e3:.2f} ms alone, {during * 1e3:.2f} ms beside the trouble")
    assert not FULL or during <= rise * alone + GRAIN_S


@pytest.fixture
def clean_caller(ports: Ports) -> Iterator[CleanCaller]:
    caller = CleanCaller(ports)
    yield caller
    caller.close()
