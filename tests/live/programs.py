"""Programs that a live test starts: on loopback, output kept in a file, stopped by their own process id and group."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeVar

import pytest

LOOPBACK = "127.0.0.1"
T = TypeVar("T")


def require(program: str, package: str) -> str:
    """The path of `program`; a test without it fails and says what to install."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if path is None:
        pytest.fail(f"{program} is not installed: `make deps` installs it (Debian package {package})", pytrace=False)
    return path


def wait_until(condition: Callable[[], T], what: str, timeout_s: float = 10.0) -> T:
    """The first true value of `condition`, asked again every 20 ms."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout_s:g} s in vain: {what}")
        time.sleep(0.02)
    return value


def is_bound(port: int, transport: str) -> bool:
    """Whether some program takes datagrams ("udp") or connections ("tcp") on this port of an IPv4 address."""
    state = "07" if transport == "udp" else "0A"  # of the kernel's tables; 07 there is a datagram socket without a peer
    return f":{port:04X} 00000000:0000 {state}" in Path(f"/proc/net/{transport}").read_text()


FIRST_PORT = 5100
LAST_PORT = 8800  # SIPp takes its control ports from 8888 on


class Ports:
    """Ports of 127.0.0.1 that nobody holds, never the same twice. Four digits: sipsak cuts off a fifth.

    Free for UDP and TCP, whichever is asked for: a phone binds both.
    """

    def __init__(self) -> None:
        self._untried = iter(random.sample(range(FIRST_PORT, LAST_PORT), LAST_PORT - FIRST_PORT))

    def udp(self) -> int:
        return self._free()

    def tcp(self) -> int:
        return self._free()

    def _free(self) -> int:
        for port in self._untried:
            if all(_is_free(port, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)):
                return port
        pytest.fail("no port of 127.0.0.1 is free")


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


class Program:
    """One running program in a process group of its own.

    Leaving the context stops it: SIGTERM, and after five seconds SIGKILL. What it started and left behind is ended too.
    When the test's process itself is killed, the kernel sends it SIGTERM (PR_SET_PDEATHSIG, by setpriv). The kernel
    means the thread that started it, so that is to be one that lasts.
    """

    def __init__(
        self, argv: Sequence[str], directory: Path, name: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *argv],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait_for(self, text: str, timeout_s: float = 10.0) -> None:
        """Returns when the output holds `text`; fails when the program ends first."""

        def seen() -> bool:
            ended = self.exit_code is not None       # asked first: the last words of a program count
            found = text in self.output()
            if not found and ended:
                pytest.fail(f"{self.name} ended with {self.exit_code} before it said {text!r}:\n{self.tail()}")
            return found

        wait_until(seen, f"{self.name} to say {text!r}; it said:\n{self.tail()}", timeout_s)

    def wait(self, timeout_s: float = 30.0) -> int:
        """The exit code."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.name} still runs after {timeout_s:g} s:\n{self.tail()}")

    def stop(self) -> None:
        if self.exit_code is None:
            self._process.terminate()
            try:
                self._process.wait(5.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        with suppress(ProcessLookupError):  # a main process that dies leaves its children (Kamailio's do)
            os.killpg(self.pid, signal.SIGKILL)

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.output().splitlines()[-lines:])
