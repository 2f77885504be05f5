"""The clean caller: calls of a trunk that behaves, beside an attack, to a gateway of their own.

Each INVITE is sent once and has to be forwarded: what the node loses or leaves unread fails the test, on any machine.
The gateway is busy, so that calls end. How long it takes is compared with how long it takes alone, in the same run, and
only judged at full length.
"""

from __future__ import annotations

import functools
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
PAUSE_S = 0.02  # 50 calls a second: fewer than the node has room for while their transactions linger
GRAIN_S = 0.0005  # what a scheduler adds to a p99 of its own accord
CALLEE = "+861088886666"
KEPT = ("Via", "From", "To", "Call-ID", "CSeq")
BUSY_TAG = "busy"
_numbers = itertools.count(1)


def busy(invite: bytes) -> bytes:
    """486, so that no call stays open."""
    kept = [line for line in invite.decode().split("\r\n") if line.partition(":")[0] in KEPT]
    lines = [f"{line};tag={BUSY_TAG}" if line.startswith("To:") else line for line in kept]
    return "\r\n".join(["SIP/2.0 486 Busy Here", *lines, "Content-Length: 0", "", ""]).encode()


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
        taken = []
        for _ in range(CALLS):
            time.sleep(PAUSE_S)
            taken.append(self._transit_s(node))
        taken.sort()
        return taken[(CALLS - 1) * 99 // 100]

    def _transit_s(self, node: Node) -> float:
        number = next(_numbers)
        call_id = f"clean-{number}"
        send = functools.partial(
            request,
            caller=f"+86137{number:08}",
            callee=CALLEE,
            uri=f"sip:{CALLEE}@{LOOPBACK}:{node.port}",
            branch=f"z9hG4bK-{call_id}",
            call_id=call_id,
            sent_by=f"{LOOPBACK}:{self.caller.getsockname()[1]}",
        )
        place = (LOOPBACK, node.port)
        begun_s = time.monotonic()
        self.caller.sendto(send(), place)
        forwarded = self._arrived(self.gateway, b"INVITE ", call_id)
        taken_s = time.monotonic() - begun_s
        self.gateway.sendto(busy(forwarded), place)
        self._arrived(self.caller, b"SIP/2.0 486 ", call_id)
        self.caller.sendto(send("ACK", to_tag=BUSY_TAG), place)
        return taken_s

    def _arrived(self, end: socket.socket, first: bytes, call_id: str) -> bytes:
        """The first message of a call that begins so."""
        wanted, seen = f"Call-ID: {call_id}\r\n".encode(), set()
        until_s = time.monotonic() + PATIENCE_S
        while True:
            end.settimeout(max(0.001, until_s - time.monotonic()))
            try:
                data = end.recv(65_535)
            except TimeoutError:
                pytest.fail(f"{call_id}: no {first.decode()}but {seen}, {self._answers(wanted)}")
            if wanted in data:  # and not the repeat of one before
                if data.startswith(first):
                    return data
                seen.add(data.partition(b"\r\n")[0].decode())

    def _answers(self, wanted: bytes) -> set[str]:
        """The status lines that came back for a call."""
        self.caller.setblocking(False)
        lines = set()
        try:
            while True:
                answer = self.caller.recv(65_535)
                if wanted in answer:
                    lines.add(answer.partition(b"\r\n")[0].decode())
        except BlockingIOError:
            return lines

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
