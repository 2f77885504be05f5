"""What the SIP benchmark measures: callsieve, Kamailio, and a forwarder that does nothing else.

Each is started on free ports, on one processor core. The proxies screen with the same lists: 10,000 numbers and 2,001
prefixes, and a limit a caller that none of the calls reaches.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.load._forwarder import Forwarder
from tests.load.run import bound_socket

START_LIMIT_S = 60.0      # Kamailio touches 3 GB
STOP_LIMIT_S = 5.0
KAMAILIO_CONFIGURATION = Path(__file__).parent / "kamailio" / "kamailio.cfg"


class Unavailable(Exception):
    """A subject that cannot be measured here: says why."""


class Subject(ABC):
    leaves_dialog_alone = False
    """It writes no Record-Route: the called party must name it in Contact."""

    @contextmanager
    def started(self, directory: Path, port: int, softswitch: int, core: int, rejecting: bool) -> Iterator[int]:
        """The process to watch, serving on 127.0.0.1:port, in front of a softswitch on another port."""
        command = self.command(directory, port, softswitch, rejecting)
        with (directory / "output").open("wb") as output:
            process = subprocess.Popen(["taskset", "-c", str(core), *command], stdout=output, stderr=output)
        try:
            self.wait_until_bound(process, port, directory)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @abstractmethod
    def command(self, directory: Path, port: int, softswitch: int, rejecting: bool) -> list[str]: ...

    def wait_until_bound(self, process: subprocess.Popen[bytes], port: int, directory: Path) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while not is_bound(port):
            if process.poll() is not None or time.monotonic() > deadline:
                output = (directory / "output").read_text(errors="replace").strip().splitlines()
                raise Unavailable("did not start: " + (" | ".join(output[-3:]) or "it printed nothing"))
            time.sleep(0.02)


class Callsieve(Subject):
    """One worker, started by its own command."""

    def command(self, directory: Path, port: int, softswitch: int, rejecting: bool) -> list[str]:
        numbers, prefixes = denied()
        entries = [*numbers, *(f"{prefix}*" for prefix in prefixes)]
        (directory / "denied.txt").write_text("".join(f"{entry}\n" for entry in entries))
        configuration = directory / "callsieve.toml"
        configuration.write_text(callsieve_configuration(directory, port, softswitch))
        start = "from proxy.cli import main; raise SystemExit(main())"
        return [sys.executable, "-c", start, "run", "--config", str(configuration)]


class Kamailio(Subject):
    """One UDP worker, tlsf allocator, memory for all calls of a run."""

    def command(self, directory: Path, port: int, softswitch: int, rejecting: bool) -> list[str]:
        program = shutil.which("kamailio", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            raise Unavailable("kamailio is not installed")
        database = directory / "database"
        database.mkdir()
        write_kamailio_tables(database)
        options = {
            "LISTEN": f"udp:127.0.0.1:{port}",
            "DATABASE": f'"text://{database}"',
            "SOFTSWITCH": f'"sip:127.0.0.1:{softswitch}"',
        }
        defines = [argument for name, value in options.items() for argument in ("-A", f"{name}={value}")]
        limits = ["-x", "tlsf", "-m", "3000"]
        return [program, "-f", str(KAMAILIO_CONFIGURATION), *defines, "-DD", "-E", *limits, "-Y", str(directory)]


class Floor(Subject):
    """The kernel's part alone."""

    leaves_dialog_alone = True

    @contextmanager
    def started(self, directory: Path, port: int, softswitch: int, core: int, rejecting: bool) -> Iterator[int]:
        spawning = multiprocessing.get_context("spawn")
        process = spawning.Process(target=forward, args=(port, softswitch, core, rejecting), daemon=True)
        process.start()
        try:
            deadline = time.monotonic() + START_LIMIT_S
            while not is_bound(port):
                if not process.is_alive() or time.monotonic() > deadline:
                    raise Unavailable("did not start")
                time.sleep(0.02)
            yield process.pid or 0
        finally:
            process.terminate()
            process.join()

    def command(self, directory: Path, port: int, softswitch: int, rejecting: bool) -> list[str]:
        raise NotImplementedError


SUBJECTS: dict[str, Subject] = {"callsieve": Callsieve(), "kamailio": Kamailio(), "floor": Floor()}


def forward(port: int, softswitch: int, core: int, rejecting: bool) -> None:
    os.sched_setaffinity(0, {core})
    Forwarder(bound_socket(("127.0.0.1", port)), callee=("127.0.0.1", softswitch), rejecting=rejecting).run()


def free_port() -> int:
    """A UDP port that nobody had a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def is_bound(port: int) -> bool:
    local = f":{port:04X}"
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(local) for line in lines)


def denied() -> tuple[list[str], list[str]]:
    """The lists of the reference: exact numbers and prefixes, among them that of the calls to be rejected."""
    draws = random.Random(11)
    numbers = sorted({f"+8621{draws.randrange(10**8):08d}" for _ in range(10_000)})
    prefixes = sorted({f"+44{draws.randrange(10**5):05d}" for _ in range(2_000)})
    return numbers, [*prefixes, "+86170"]


def write_kamailio_tables(database: Path) -> None:
    numbers, prefixes = denied()
    tables = {
        "version": ("id(int,auto) table_name(string) table_version(int)", ["denied_prefixes:1", "denied_numbers:2"]),
        "denied_prefixes": ("id(int,auto) tprefix(string) tvalue(string)", [f"{prefix}:1" for prefix in prefixes]),
        "denied_numbers": (
            "id(int,auto) key_name(string) key_type(int) value_type(int) key_value(string) expires(int)",
            [f"{number}:0:0:1:0" for number in numbers],
        ),
    }
    for name, (columns, rows) in tables.items():
        lines = [columns + " ", *(f"{i}:{row}" for i, row in enumerate(rows, 1))]
        (database / name).write_text("".join(f"{line}\n" for line in lines))


def callsieve_configuration(directory: Path, port: int, softswitch: int) -> str:
    return f"""
[node]
state_dir = "{directory}/state"
workers = 1
drain_s = 0

[admin]
address = "127.0.0.1:{free_port()}"

# Transactions stay for up to 32 s after their end (RFC 3261 timers D and H, RFC 6026 timers L and M).
[capacity]
transactions = 2_000_000
transaction_bytes = {8 << 30}

# Neither side is held back: the sender asks for more until the core is full.
[flood]
invites_per_s = 0
unproven_answers_per_s = 0

[overload]
processor_target = 1.0

[redress]
url = "https://redress.example.net/r"

[[listener]]
name = "udp"
address = "127.0.0.1:{port}"

[[dial_plan]]
name = "bench"
country_code = "86"

[[trunk]]
name = "carrier"
class = "carrier"
sources = ["127.0.0.0/8"]
dial_plan = "bench"
policy = "default"
max_rejections_per_s = 0
route = "softswitch"

[[gateway]]
name = "softswitch"
targets = [{{ address = "127.0.0.1:{softswitch}" }}]

[[policy]]
name = "default"

[[list]]
name = "denied"
action = "deny"
file = "denied.txt"

[[limit]]
name = "caller"
key = "caller"
calls = 1000
period_s = 10
"""
