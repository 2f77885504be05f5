"""What the fleet says, put into force here: decisions durably and through `Orders`, verdicts as points of reputation.

Everything passes the circuit breaker first. What is in force is changed a bounded number of keys at a time; the call
path reads it from the tables and never waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from engine._numbers import SHORT_PREFIX
from engine._reputation import ReputationCache
from proxy.control.decisions import Act, Decision, Kind
from proxy.control.fleet_points import VerdictPoints
from proxy.control.orders import Orders
from proxy.control.store_thread import StoreUnavailable
from proxy.control.sync.breaker import Breaker, RecentCallers
from proxy.control.sync.keys import KIND_SHIFT, KeyKind, digits_of
from proxy.control.sync.score import Band

DECISIONS_AT_ONCE = 500
_BANDS = tuple(Band)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that the fleet wants otherwise."""

    key: int
    word: Decision | Band

    @property
    def blocks(self) -> bool:
        if isinstance(self.word, Band):
            return self.word is Band.BLOCK
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

    def take_bands(self, keys: Sequence[int], bands: bytes, now_ms: int) -> None:
        """What verdicts are worth now, one byte for each key. What hits no caller of late needs no breaker."""
        clean = self.callers.clean(now_ms)
        hits = bool(clean) and any(key in clean or key >> KIND_SHIFT == KeyKind.PREFIX for key in keys)
        if hits or self.breaker.holds:
            self.take([Change(key, _BANDS[band]) for key, band in zip(keys, bands, strict=True)], now_ms)
        else:
            self._points.apply(keys, bands, now_ms * 1000)

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
                self._points.apply([change.key], bytes([change.word]), now_ms * 1000)


def would_hit(changes: list[Change], callers: set[int]) -> set[int]:
    """The callers that some changes would block."""
    exact: set[int] = set()
    prefixes: dict[int, list[str]] = {KeyKind.NUMBER: [], KeyKind.SHORT_CODE: []}
    for change in changes:
        is_prefix = change.word.kind is Kind.PREFIX if isinstance(change.word, Decision) else False
        if is_prefix or change.key >> KIND_SHIFT == KeyKind.PREFIX:
            of = KeyKind.SHORT_CODE if change.key & SHORT_PREFIX else KeyKind.NUMBER
            prefixes[of].append(digits_of(change.key & ~SHORT_PREFIX))
        else:
            exact.add(change.key)
    hit = callers & exact
    for kind, some in prefixes.items():
        begins = tuple(some)
        hit |= {caller for caller in callers if caller >> KIND_SHIFT == kind and digits_of(caller).startswith(begins)}
    return hit
