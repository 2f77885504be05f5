"""Hearing: how many of the new calls a worker hears under more than it can bear, and what becomes of the others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from proxy.counters import Counters
from proxy.invite_filter import InviteFilter
from proxy.logs import Log
from proxy.overload_server import OverloadServer
from proxy.udp_buffers import drops

STEP_S = 0.1
QUIET_US = 10_000_000  # so long all calls have to be heard before it is said that they are


class Hearing:
    """Keeps the kernel's filter at what the load allows, counts what is dropped, and logs when that begins and ends.

    sockets: a worker's, for UDP.
    """

    def __init__(self, load: OverloadServer, sockets: Sequence[socket.socket], counters: Counters, log: Log) -> None:
        self._load = load
        self._filter = InviteFilter(sockets)
        self._sockets = sockets
        self._counters = counters
        self._log = log
        self._before = self._dropped()
        self._told = 0  # drops when the last line was written
        self._filtered_us: int | None = None  # when some calls were last not heard; None: all are, and it was said

    async def keep(self, now_us: Callable[[], int]) -> None:
        while True:
            self.step(now_us())
            await asyncio.sleep(STEP_S)

    def step(self, now_us: int) -> None:
        self._load.heard = self._filter.let_in(self._load.wanted(now_us))
        dropped = self._dropped() - self._before
        self._counters.set("dropped_unheard", dropped)
        if self._load.heard < 1.0:
            if self._filtered_us is None:
                self._log.warning(
                    "more calls come than can be refused: the kernel drops a part of the new ones",
                    heard_percent=round(100 * self._load.heard),
                )
                self._told = dropped
            self._filtered_us = now_us
        elif self._filtered_us is not None and now_us > self._filtered_us + QUIET_US:
            self._log.info("all calls are heard again", dropped=dropped - self._told)
            self._filtered_us = None

    def _dropped(self) -> int:
        return sum(map(drops, self._sockets))
