"""The proxy itself, as an operator runs it: `callsieve run` with a configuration and state of the test's own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests import policies
from tests.live.programs import LOOPBACK, Ports, Program, wait_until

ROOT = Path(__file__).parents[2]
TRANSIT = "127.0.0.9"  # calls from here come over an untrusted trunk
STRANGER = "127.0.0.66"  # ... and from here over none

LISTED, SUSPECTED, PROTECTED_CALLEE = policies.LISTED, policies.SUSPECTED, policies.NEVER_BLOCKED

# The package under test, not one installed elsewhere, whatever the directory that a program is started in.
COMMAND = (sys.executable, "-m", "proxy.cli")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

CONFIGURATION = """\
[node]
name = "live"
state_dir = "{state}"
workers = {workers}
drain_s = 3

[admin]
address = "{host}:{admin}"
{admin_keys}

[capacity]
reputation = 10000
rate_limiter = 10000
transactions = 4096
calls = 4096

[redress]
url = "https://redress.example.net/r"

[[listener]]
name = "udp"
address = "{host}:{sip}"

[[trunk]]
name = "carrier"
sources = ["{host}"]
trusted = true
dial_plan = "cn"
policy = "default"
route = "softswitch"

[[trunk]]
name = "transit"
sources = ["{transit}"]
dial_plan = "cn"
policy = "default"
route = "softswitch"

[[gateway]]
name = "softswitch"
targets = [{{ address = "{host}:{gateway}", transport = "{gateway_transport}" }}]
probe = {{ enabled = false }}
""" + "".join(
    (
        policies.policy(anonymous="tag"),
        policies.label(),
        policies.never_block(),
        policies.deny_file(),
        policies.suspected(),
        policies.burst("burst-caller", policies.Placeholder("{calls_a_minute}"), 60),
    )
)


@dataclass(frozen=True, slots=True)
class Setup:
    """What a test wants otherwise. token: what the admin address asks for.

    more: further TOML; {host} and {sip} in it stand for the node's address and its UDP port. base: what stands before.
    prepare: called with the state directory, which is not there yet, before the node starts. environment: added to that
    of the node's processes.
    """

    workers: int = 1
    calls_a_minute: int = 5  # of one caller
    token: str | None = None
    gateway_transport: str = "udp"
    more: str = ""
    base: str = CONFIGURATION
    prepare: Callable[[Path], None] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


USUAL = Setup()


class Node(Program):
    """A running proxy. `gateway_port` is where it expects the softswitch."""

    def __init__(self, directory: Path, ports: Ports, gateway_port: int, setup: Setup = USUAL) -> None:
        self.port = ports.udp()
        self.gateway_port = gateway_port
        self.admin_port = ports.tcp()
        self.state = directory / "state"
        self.configuration = directory / "callsieve.toml"
        self.deny_list = directory / "deny.txt"
        self.deny_list.write_text(f"{LISTED}\n")
        self._token = setup.token
        self._environment = {**ENVIRONMENT, **setup.environment}
        if setup.token is not None:
            (directory / "admin.token").write_text(f"{setup.token}\n")
        self.configuration.write_text(
            (setup.base + setup.more).format(
                state=self.state,
                workers=setup.workers,
                host=LOOPBACK,
                admin=self.admin_port,
                sip=self.port,
                transit=TRANSIT,
                gateway=gateway_port,
                gateway_transport=setup.gateway_transport,
                admin_keys="" if setup.token is None else 'token_file = "admin.token"',
                calls_a_minute=setup.calls_a_minute,
            )
        )
        if setup.prepare is not None:
            setup.prepare(self.state)
        self.start_again()

    def start_again(self) -> None:
        """On the same configuration and state, after the last process has ended."""
        argv = [*COMMAND, "run", "--config", str(self.configuration)]
        super().__init__(argv, self.configuration.parent, "callsieve", self._environment)
        wait_until(self.healthy, "the proxy's health check", 20.0)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another `callsieve` command on this node's configuration."""
        argv = [*COMMAND, *arguments, "--config", str(self.configuration)]
        return subprocess.run(argv, env=ENVIRONMENT, capture_output=True, text=True, timeout=30, check=False)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET on the admin address."""
        connection = http.client.HTTPConnection(LOOPBACK, self.admin_port, timeout=5)
        try:
            headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def healthy(self) -> bool:
        if self.exit_code is not None:
            pytest.fail(f"callsieve ended with {self.exit_code}:\n{self.tail()}")
        try:
            return self.get("/healthz")[0] == 200
        except OSError:
            return False

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        samples = (s for family in families for s in family.samples if s.name == name)
        return sum(s.value for s in samples if labels.items() <= s.labels.items())

    def decisions(self, count: int) -> list[dict[str, Any]]:
        """The decision log once it has `count` lines; fails if there are more."""
        return self._log_lines("decisions.jsonl", count)

    def call_ended(self) -> dict[str, Any]:
        """The only line of the call log, once it is there."""
        return self._log_lines("calls.jsonl", 1)[0]

    def resident_bytes(self, pid: int) -> int:
        """Memory of one of its processes, shared tables left out."""
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return int(fields["RssAnon"].split()[0]) * 1024

    def open_files(self, pid: int) -> int:
        return len(os.listdir(f"/proc/{pid}/fd"))

    def workers(self) -> list[int]:
        return [pid for pid in self._children("proxy.server") if stdin_of(pid) == os.devnull]

    def control(self) -> int:
        (pid,) = self._children("proxy.control")
        return pid

    def drain(self) -> None:
        self.send_signal(signal.SIGTERM)

    def _log_lines(self, name: str, count: int) -> list[dict[str, Any]]:
        log = self.state / name

        def lines() -> list[str]:
            return log.read_text().splitlines() if log.exists() else []

        wait_until(lambda: len(lines()) >= count, f"{count} lines in {name}")
        values = [json.loads(line) for line in lines()]
        assert len(values) == count, values
        return values

    def _children(self, module: str) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in children if module in command_of(pid)]


def command_of(pid: str) -> list[str]:
    """The arguments of a process; none if it has just ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def stdin_of(pid: int) -> str:
    """A spare process's is a pipe, by which it is told to become a worker; "" of a process that has just ended."""
    try:
        return os.readlink(f"/proc/{pid}/fd/0")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def exchange(port: int, datagram: bytes, timeout_s: float = 1.0, source: str = LOOPBACK) -> bytes | None:
    """Sends one datagram to the proxy; the first that comes back, if any does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((source, 0))
        peer.settimeout(timeout_s)
        peer.sendto(datagram, (LOOPBACK, port))
        try:
            return peer.recv(65536)
        except TimeoutError:
            return None
