"""What the fleet says, put into force here: decisions durably and through `Orders`, verdicts as points of reputation.

Everything passes the circuit breaker first. What is in force is changed a bounded number of keys at a time; the call
path reads it from the tables and never waits.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass
from itertools import compress

from engine._reputation import ReputationCache
from proxy.control.decisions import Act, Decision, Kind
from proxy.control.orders import Orders
from proxy.control.store_thread import StoreUnavailable
from proxy.control.sync.breaker import Breaker, RecentCallers
from proxy.control.sync.keys import KIND_SHIFT, KeyKind, digits_of, prefix_of
from proxy.control.sync.score import Band, Judgement, Why
from proxy.control.verdict_points import VerdictPoints

DECISIONS_AT_ONCE = 500
POINTS = (0, 600, 700, 1000)  # by `Band`
_IS_BLOCK = bytes(band == Band.BLOCK for band in range(256))
_BLOCKED = Judgement(0, Band.BLOCK, Why(0))


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that the fleet wants otherwise."""

    key: int
    word: Decision | Judgement

    @property
    def blocks(self) -> bool:
        if isinstance(self.word, Judgement):
            return self.word.band is Band.BLOCK
        return self.word.act is Act.BLOCK and not self.word.tomb


class FleetEffects:
    """clean, blocked callers are told by `callers`."""

    def __init__(self, orders: Orders, reputation: ReputationCache) -> None:
        self.callers = RecentCallers()
        self.breaker: Breaker[Change] = Breaker(self.callers, would_hit)
        self._orders = orders
        self._points = VerdictPoints(reputation)
        self._decisions: deque[Decision] = deque()

    def take(self, changes: list[Change], now_ms: int) -> None:
        self._apply(self.breaker.admit(changes, now_ms, lambda change: change.blocks), now_ms)

    def take_bands(self, keys: array[int], bands: bytearray, now_ms: int) -> None:
        """Verdicts in bulk: keys (format Q), and the `Band` of each. Only those that hit a caller become changes."""
        blocked = list(compress(keys, bands.translate(_IS_BLOCK)))
        hitting = [Change(key, _BLOCKED) for key in self.callers.among(blocked, now_ms)]
        if blocked and self.breaker.would_hold(hitting, now_ms):
            judged = (Judgement(0, Band(band), Why(0)) for band in bands)
            self.take([Change(key, each) for key, each in zip(keys, judged, strict=True)], now_ms)
        else:
            self._points.give_bands(keys, bands, POINTS, now_ms * 1000)

    def release(self, now_ms: int) -> int:
        released = self.breaker.release()
        self._apply(released, now_ms)
        return len(released)

    @property
    def waiting(self) -> int:
        """Decisions that are not yet durable and in force."""
        return len(self._decisions)

    async def store_decisions(self) -> None:
        """Those that wait; StoreUnavailable leaves them waiting."""
        while self._decisions:
            batch = [self._decisions.popleft() for _ in range(min(len(self._decisions), DECISIONS_AT_ONCE))]
            try:
                await self._orders.merge(batch)
            except StoreUnavailable:
                self._decisions.extendleft(reversed(batch))
                raise

    def _apply(self, changes: list[Change], now_ms: int) -> None:
        for change in changes:
            if isinstance(change.word, Decision):
                self._decisions.append(change.word)
            else:
                self._points.give(change.key, POINTS[change.word.band], now_ms * 1000)


def would_hit(changes: list[Change], callers: set[int]) -> set[int]:
    """The callers that some changes would block."""
    exact: set[int] = set()
    prefixes: dict[int, list[str]] = {KeyKind.NUMBER: [], KeyKind.SHORT_CODE: []}
    for change in changes:
        is_prefix = change.word.kind is Kind.PREFIX if isinstance(change.word, Decision) else False
        if is_prefix or change.key >> KIND_SHIFT == KeyKind.PREFIX:
            of, digits = prefix_of(change.key)
            prefixes[of].append(digits)
        else:
            exact.add(change.key)
    hit = callers & exact
    for kind, some in prefixes.items():
        begins = tuple(some)
        if not begins:
            continue
        hit |= {caller for caller in callers if caller >> KIND_SHIFT == kind and digits_of(caller).startswith(begins)}
    return hit
