"""Spare: a process that has loaded what a worker is made of and waits, so that the next worker serves in a moment."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress

from proxy.logs import Log
from proxy.process_name import name_process

_NEXT_S = 1.0  # after one was taken: the worker that it has become comes first

WORKER = ("-m", "proxy.server")
ARGUMENT = "--spare"


class Spare:
    """One process for all workers. fds: those of all; it closes what is not its own when it becomes a worker.

    It ends when the process that made it does.
    """

    def __init__(self, fds: Collection[int], log: Log) -> None:
        self._fds = tuple(sorted(set(fds)))
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._next: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        """Starts it; it is of use at once, and quick when it has loaded."""
        fds = ",".join(map(str, self._fds))
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *WORKER, ARGUMENT, fds, stdin=asyncio.subprocess.PIPE, pass_fds=self._fds
            )
        except OSError as why:
            self._log.error("no spare process", why=str(why))

    async def become(self, arguments: Sequence[str], fds: Collection[int]) -> asyncio.subprocess.Process | None:
        """The process, as the worker with these arguments of `proxy.server`; None if there is none. fds: its own."""
        process, self._process = self._process, None
        if self._next is None or self._next.done():
            self._next = asyncio.create_task(self._prepare_next())
        if process is None or process.stdin is None or process.returncode is not None:
            return None
        process.stdin.write(json.dumps([[*arguments], [*fds]]).encode() + b"\n")
        process.stdin.close()
        return process

    async def close(self) -> None:
        if self._next is not None:
            self._next.cancel()
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _prepare_next(self) -> None:
        await asyncio.sleep(_NEXT_S)
        if self._process is None:
            await self.prepare()


def awaited_arguments(fds: str) -> list[str]:
    """In the spare process: the arguments of the worker that it becomes. SystemExit if it is not wanted any more."""
    name_process("callsieve-spare")
    line = sys.stdin.buffer.readline()
    if not line:
        raise SystemExit(0)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    arguments, own = json.loads(line)
    for fd in {int(fd) for fd in fds.split(",")} - set(own):
        os.close(fd)
    return list(arguments)
