"""What the fleet says, put into force here: decisions durably and through `Orders`, verdicts as points of reputation.

Everything passes the circuit breaker first. What is in force is changed a bounded number of keys at a time; the call
path reads it from the tables and never waits.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from engine._numbers import SHORT_PREFIX
from engine._reputation import ReputationCache
from proxy.control.decisions import Act, Decision, Kind
from proxy.control.orders import Orders
from proxy.control.store_thread import StoreUnavailable
from proxy.control.sync.breaker import Breaker, RecentCallers
from proxy.control.sync.keys import KIND_SHIFT, KeyKind, digits_of
from proxy.control.sync.score import Band, Judgement

DECISIONS_AT_ONCE = 500
POINTS = {Band.NONE: 0, Band.TAG: 600, Band.CHALLENGE: 700, Band.BLOCK: 1000}
MAX_REMEMBERED = 1_000_000
_WITH_REPUTATION = frozenset({KeyKind.NUMBER, KeyKind.PREFIX, KeyKind.SHORT_CODE})


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
        self._reputation = reputation
        self._decisions: deque[Decision] = deque()
        self._given: dict[int, int] = {}  # points that a verdict has given a key

    def take(self, changes: list[Change], now_ms: int) -> None:
        self._apply(self.breaker.admit(changes, now_ms, lambda change: change.blocks), now_ms)

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
            elif change.key >> KIND_SHIFT in _WITH_REPUTATION:
                self._set_points(change.key, POINTS[change.word.band], now_ms * 1000)

    def _set_points(self, key: int, wanted: int, now_us: int) -> None:
        """Raises a key to so many points, or takes back what an earlier verdict has given it."""
        standing = self._reputation.read(key, now_us)
        points = 0 if standing is None else standing.points
        given = self._given.pop(key, 0)
        if points < wanted:
            self._reputation.add(key, now_us, wanted - points)
            given += wanted - points
        elif given and standing is not None and wanted < given:
            self._reputation.forget(key)
            self._reputation.add(key, now_us, max(points - given, wanted), category=standing.category)
            given = wanted
        if wanted and len(self._given) < MAX_REMEMBERED:
            self._given[key] = given


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
