"""The state directory: where everything a node keeps has its place, and who may run on it.

Generations: what `proxy.control.compile` made of one version of the configuration stands in `generation-N`, and the
link `current` names the one in force. A directory appears whole, under its final name, or not at all.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from engine.state_directory import EngineDirectory
from proxy.config import Configuration

_KEPT_GENERATIONS = 3


class PolicyFile(Protocol):
    """The compiled policy, as far as storing it goes."""

    def write(self, path: Path, /) -> None: ...


class AlreadyRunning(Exception):
    """Another instance holds the state directory."""


@dataclass(frozen=True, slots=True)
class StateDirectory(EngineDirectory):
    @property
    def events_socket(self) -> Path:
        return self.path / "events.sock"

    @property
    def control_socket(self) -> Path:
        return self.path / "control.sock"

    def counters(self, worker: int) -> Path:
        return self.path / f"counters-{worker}.bin"

    def stack(self, worker: int) -> Path:
        """Where the stacks of a worker that stands still are written."""
        return self.path / f"stack-{worker}.txt"

    @property
    def deadly(self) -> Path:
        """Messages that killed workers, one a file."""
        return self.path / "deadly"

    def lock(self) -> int:
        """Takes the directory for this process and writes its pid; raises AlreadyRunning. Held while the fd is open."""
        path = self.path / "callsieve.pid"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(fd, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise AlreadyRunning(f"callsieve is already running in {self.path} (process {pid})") from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return fd

    def screening_key(self) -> bytes:
        """What workers hash senders and shapes of requests with."""
        return self.secret()[16:32]

    # Generations

    def call_limits(self, number: int) -> Path:
        """Caps of a generation, shared by its workers."""
        return self.generation(number) / "call_limits.bin"

    def generations(self) -> list[int]:
        """Those that are there, oldest first."""
        names = (path.name.removeprefix("generation-") for path in self.path.glob("generation-*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def next_generation(self) -> int:
        return max([0, *self.generations()]) + 1

    def configuration(self, number: int) -> Configuration:
        """The configuration of a generation; OSError or msgspec.DecodeError if it is not to be had."""
        data = (self.generation(number) / "routing.msgpack").read_bytes()
        return msgspec.msgpack.decode(data, type=Configuration)

    def write_generation(self, number: int, configuration: Configuration, policy: PolicyFile) -> None:
        partial = self.path / f".generation-{number}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o750)
        (partial / "routing.msgpack").write_bytes(msgspec.msgpack.encode(configuration))
        policy.write(partial / "policy.img")
        partial.rename(self.generation(number))

    def activate(self, number: int) -> None:
        """Makes `current` name this generation, and forgets those long past."""
        link = self.path / ".current.partial"
        link.unlink(missing_ok=True)
        link.symlink_to(self.generation(number).name)
        link.rename(self.path / "current")
        for old in [past for past in self.generations() if past <= number][:-_KEPT_GENERATIONS]:
            shutil.rmtree(self.generation(old), ignore_errors=True)
