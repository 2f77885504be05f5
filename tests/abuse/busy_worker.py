"""A worker whose processor is a budget on the fake clock, and callers that repeat what is not answered.

The core and its overload control are the shipped ones. What a message costs is counted, not measured: a call is one
unit, a refusal what O2 allows it; a datagram that the kernel drops costs nothing.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from tests.proxy.playbook import CARRIER, Play

WINDOW_US = 100_000  # between two measurements of the edge
CALL, REFUSAL = 1.0, 0.25
BUSY_TARGET = 0.9  # what the core aims at, unless it is told otherwise
REPEATS_S = (0.5, 1.5, 3.5)  # after the first (RFC 3261 section 17.1.1.2, timer A); then it goes elsewhere, as we would


class BusyWorker:
    """c0: calls a second that it carries at its target. invite: the number of a call to its INVITE.

    beside: what else arrives in a window that ends at so many microseconds, each to be handled, for what that costs.
    """

    def __init__(
        self,
        play: Play,
        c0: int,
        invite: Callable[[int], bytes],
        beside: Callable[[int], Iterable[Callable[[], float]]] = lambda _: (),
    ) -> None:
        self.play = play
        self.c0 = c0
        self._invite = invite
        self._beside = beside
        self._budget = c0 / BUSY_TARGET * WINDOW_US / 1e6
        self._room = c0 // 4  # datagrams that the receive buffer holds
        self._draws = random.Random(1)
        self._queue: deque[Callable[[], float]] = deque()
        self._calls = 0
        self._owed = self._debt = 0.0
        self._repeats: list[tuple[int, int, int]] = []  # (when, call, which repeat)
        self._waiting: set[int] = set()
        self.carried = 0
        self.refused = 0

    def offer(self, factor: float, seconds: float) -> float:
        """Offers new calls at `factor` times C0; calls a second that were carried, as a part of C0."""
        before = self.carried
        windows = round(seconds * 1e6 / WINDOW_US)
        for _ in range(windows):
            self._window(factor)
        return (self.carried - before) / (seconds * self.c0)

    def _window(self, factor: float) -> None:
        self.play.now_us += WINDOW_US
        self._owed += factor * self.c0 * WINDOW_US / 1e6
        while self._owed >= 1.0:
            self._owed -= 1.0
            self._calls += 1
            self._waiting.add(self._calls)
            self._send(self._calls, 0)
        while self._repeats and self._repeats[0][0] <= self.play.now_us:
            _, call, which = heapq.heappop(self._repeats)
            if call in self._waiting:
                self._send(call, which)
        for handled in self._beside(self.play.now_us):
            if len(self._queue) < self._room:
                self._queue.append(handled)
        spent = self._debt
        while self._queue and spent < self._budget:
            spent += self._queue.popleft()()
        self._debt = max(0.0, spent - self._budget)
        load = self.play.core.load
        self.play.core.note_load(min(spent / self._budget, 1.0), len(self._queue) / self._room, self.play.now_us)
        load.heard = load.wanted(self.play.now_us)
        self.play.core.handle_timer(self.play.now_us, self.play.out)
        self.play.sent()

    def _send(self, call: int, which: int) -> None:
        if which < len(REPEATS_S):
            after_s = REPEATS_S[which] - (REPEATS_S[which - 1] if which else 0.0)
            heapq.heappush(self._repeats, (self.play.now_us + round(after_s * 1e6), call, which + 1))
        else:
            self._waiting.discard(call)
        if self._draws.random() < self.play.core.load.heard and len(self._queue) < self._room:
            self._queue.append(partial(self._handle, call))

    def _handle(self, call: int) -> float:
        """What it has cost."""
        sent = self.play.receive(self._invite(call), CARRIER)
        self._waiting.discard(call)
        if any(each.method == "INVITE" for each in sent):
            self.carried += 1
            return CALL
        self.refused += 1
        return REFUSAL
