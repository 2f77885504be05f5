"""The supervisor's watch over one worker: an event loop that stands still is seen, its stacks are kept, it is replaced.

A worker counts its turns in shared memory. Whether it holds the GIL, sleeps or spins makes no difference: the count
stands still, the fault handler writes the stacks from within the signal handler, and SIGKILL ends it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from proxy.in_flight import InFlight
from proxy.logs import Log
from proxy.quarantine import Blame

LOOK_S = 0.1
SEEN_S = 0.6
KILLED_S = 1.5
LATE_S = 0.5  # who looks so late was kept from running itself, and knows nothing about others
_LEFT_ALONE = "DTt"  # waits for a disk, or was stopped by somebody who looks at it
_STARVED = 0.2  # of a processor: who is ready to run and got less is kept from turning by others
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Standing:
    """state: one letter of proc(5); Z if the process is gone. cpu_s: what it has used since it began."""

    state: str
    cpu_s: float


def is_excused(seen: Standing, now: Standing, elapsed_s: float) -> bool:
    """Whether a loop that does not turn is no fault of its worker, elapsed_s after it was seen to stand still.

    It waits for a disk, is looked at by somebody, or is ready to run and hardly gets a processor.
    """
    starved = now.state == "R" and now.cpu_s - seen.cpu_s < _STARVED * elapsed_s
    return starved or now.state in _LEFT_ALONE


class Guard:
    """in_flight: the worker's. stack: the file that it writes its stacks to on SIGUSR1."""

    def __init__(self, in_flight: InFlight, blame: Blame, stack: Path, log: Log) -> None:
        self._in_flight = in_flight
        self._blame = blame
        self._stack = stack
        self._log = log
        self._seen = Standing("Z", 0.0)

    async def watch(self, pid: int) -> None:
        """Until cancelled. A worker that has not begun to turn is given all the time it wants."""
        beats, still_s, looked_s = 0, 0.0, time.monotonic()
        while True:
            await asyncio.sleep(LOOK_S)
            now_s = time.monotonic()
            elapsed_s, looked_s = now_s - looked_s, now_s
            turned = self._in_flight.beats
            if turned != beats or not turned:
                if still_s >= SEEN_S:
                    self._log.warning("turns again", stood_s=round(still_s, 1), stack=self._read_stack())
                beats, still_s = turned, 0.0
            elif elapsed_s < LATE_S:
                still_s = self._stands_still(pid, still_s, still_s + elapsed_s)

    def died(self) -> None:
        """The worker has ended without being told to."""
        self._blame.died(self._in_flight.in_hand())
        self._in_flight.clear()

    def _stands_still(self, pid: int, before_s: float, still_s: float) -> float:
        if before_s < SEEN_S <= still_s:
            self._log.warning("stands still", for_s=round(still_s, 1))
            self._seen = standing_of(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR1)
        elif before_s < KILLED_S <= still_s:
            if is_excused(self._seen, standing_of(pid), still_s - SEEN_S):
                return before_s
            self._log.error("stands still, killed", for_s=round(still_s, 1), stack=self._read_stack())
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return still_s

    def _read_stack(self) -> str:
        try:
            return self._stack.read_text(errors="replace")
        except OSError as why:
            return str(why)


def shared_memory(name: str, size: int) -> int:
    """A descriptor of memory that lives as long as anybody has it."""
    fd = os.memfd_create(name)
    os.ftruncate(fd, size)
    return fd


def standing_of(pid: int) -> Standing:
    """Of this process, from /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return Standing("Z", 0.0)
    return Standing(fields[0], (int(fields[11]) + int(fields[12])) * _TICK_S)
