"""Clients that misbehave over TCP and TLS, and how a running node bears them."""

from __future__ import annotations

import itertools
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from tests.abuse.memory import resident_bytes
from tests.live.node import Node
from tests.live.programs import LOOPBACK, wait_until

CALLER, LISTED = "+8613800138000", "+862066660000"
STREAMS = """
[[listener]]
name = "tcp"
address = "{host}:{sip}"
transport = "tcp"
"""

_numbers = itertools.count(1)


def invite(*more: str, caller: str = CALLER, body: bytes = b"", method: str = "INVITE") -> bytes:
    """A request of a call of its own, over TCP; `more` must hold Content-Length if it is to have one."""
    number = next(_numbers)
    lines = (
        f"{method} sip:+862088886666@{LOOPBACK} SIP/2.0",
        f"Via: SIP/2.0/TCP {LOOPBACK}:5999;branch=z9hG4bK-abuse-{number}",
        "Max-Forwards: 70",
        f"From: <sip:{caller}@{LOOPBACK}>;tag=abuse{number}",
        f"To: <sip:+862088886666@{LOOPBACK}>",
        f"Call-ID: abuse-{number}@{LOOPBACK}",
        f"CSeq: 1 {method}",
        f"Contact: <sip:{caller}@{LOOPBACK}:5999>",
        *more,
    )
    return "\r\n".join((*lines, "", "")).encode() + body


def connect(port: int, source: str = LOOPBACK, timeout_s: float = 20.0) -> socket.socket:
    return socket.create_connection((LOOPBACK, port), timeout=timeout_s, source_address=(source, 0))


def secure(port: int, authority: Path, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(authority))
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context.wrap_socket(connect(port), server_hostname=LOOPBACK)


def reset(end: socket.socket) -> None:
    """Ends a connection without a farewell."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def read_to_end(end: socket.socket) -> bytes:
    """Everything until the node closes; a reset ends it too."""
    data = b""
    try:
        while piece := end.recv(65536):
            data += piece
    except ConnectionError:
        pass
    return data


def is_closed(end: socket.socket) -> bool:
    """Whether the node has closed it, without waiting."""
    end.setblocking(False)
    try:
        return end.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


class Watched:
    """A node's only worker: its memory, descriptors and processor time, from /proc."""

    def __init__(self, node: Node) -> None:
        self.node = node
        (self.pid,) = node.workers()

    def resident_bytes(self) -> int:
        return resident_bytes(self.pid)

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def processor_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def load(self, over_s: float) -> float:
        """The share of a processor used in a time to come."""
        before = self.processor_s()
        time.sleep(over_s)
        return (self.processor_s() - before) / over_s

    def count(self, name: str) -> int:
        suffix = "" if name == "connections" else "_total"
        return int(self.node.metric(f"callsieve_worker_{name}{suffix}"))

    def wait_for(self, name: str, value: int, timeout_s: float = 20.0) -> None:
        wait_until(lambda: self.count(name) == value, f"{name} to be {value}, is {self.count(name)}", timeout_s)

    def is_the_same(self) -> bool:
        """No worker has been started again."""
        return self.node.workers() == [self.pid]


class TlsCallers:
    """Callers who have one call after the other rejected: on a connection that stays, and each time on a new one."""

    PAUSE_S = 0.02

    def __init__(self, port: int, authority: Path) -> None:
        self._port = port
        self._authority = authority
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._stay, self._come_and_go)]
        self.calls = 0
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(30)

    def _stay(self) -> None:
        with secure(self._port, self._authority) as end:
            self._keep_calling(lambda: self._call(end))

    def _come_and_go(self) -> None:
        def call() -> None:
            with secure(self._port, self._authority) as end:
                self._call(end)

        self._keep_calling(call)

    def _keep_calling(self, call: Callable[[], None]) -> None:
        while not self._ended.wait(self.PAUSE_S):
            try:
                call()
            except OSError as why:
                self.failures.append(repr(why))

    def _call(self, end: ssl.SSLSocket) -> None:
        end.sendall(invite("Content-Length: 0", caller=LISTED))
        answer = end.recv(65536)
        if answer.startswith(b"SIP/2.0 403 "):
            self.calls += 1
        else:
            self.failures.append(repr(answer[:40]))
