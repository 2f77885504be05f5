"""The circuit breaker: what would the fleet's word have done to the callers of the last ten minutes?

If it would newly block more than one in a hundred of the clean ones, or three times as many calls as were blocked, it
is held until an operator releases it. Fewer than ten callers are no mistake of a feed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

WINDOW_MS = 600_000
_SLICE_MS = 60_000
MAX_CALLERS = 50_000  # remembered of each minute; those beyond are like those before them
CLEAN_SHARE = 100  # one in so many
RATE_FACTOR = 3
FEW_CALLERS = 10
MAX_HELD = 100_000

Change = TypeVar("Change")


@dataclass(slots=True)
class _Minute:
    start_ms: int
    clean: set[int] = field(default_factory=set)
    blocked: set[int] = field(default_factory=set)


class RecentCallers:
    def __init__(self) -> None:
        self._minutes: deque[_Minute] = deque()

    def add(self, caller: int, was_blocked: bool, now_ms: int) -> None:
        start = now_ms - now_ms % _SLICE_MS
        if not self._minutes or self._minutes[-1].start_ms < start:
            self._minutes.append(_Minute(start))
            self._drop(now_ms)
        callers = self._minutes[-1].blocked if was_blocked else self._minutes[-1].clean
        if len(callers) < MAX_CALLERS:
            callers.add(caller)

    def clean(self, now_ms: int) -> set[int]:
        self._drop(now_ms)
        return set().union(*(minute.clean for minute in self._minutes))

    def blocked(self, now_ms: int) -> int:
        self._drop(now_ms)
        return len(set().union(*(minute.blocked for minute in self._minutes)))

    def _drop(self, now_ms: int) -> None:
        while self._minutes and self._minutes[0].start_ms < now_ms - WINDOW_MS:
            self._minutes.popleft()


class Breaker(Generic[Change]):
    """hit: which callers some changes would block. While something is held, all that blocks is held behind it."""

    def __init__(self, callers: RecentCallers, hit: Callable[[list[Change], set[int]], set[int]]) -> None:
        self._callers = callers
        self._hit = hit
        self._held: list[Change] = []
        self._by_hand = False
        self.lost = 0

    @property
    def held(self) -> int:
        return len(self._held)

    def admit(self, changes: list[Change], now_ms: int, is_block: Callable[[Change], bool]) -> list[Change]:
        """Those that may be applied now."""
        blocking = [change for change in changes if is_block(change)]
        holds = self._by_hand or self._held
        if not blocking or not (holds or self._is_too_much(blocking, now_ms)):
            return changes
        room = MAX_HELD - len(self._held)
        self._held += blocking[:room]
        self.lost += max(len(blocking) - room, 0)
        return [change for change in changes if not is_block(change)]

    @property
    def holds(self) -> bool:
        return self._by_hand or bool(self._held)

    def hold(self) -> None:
        """From now on everything that blocks, until `release`."""
        self._by_hand = True

    def release(self) -> list[Change]:
        """An operator has looked at it: all that was held, in the order in which it came."""
        self._by_hand = False
        released, self._held = self._held, []
        return released

    def _is_too_much(self, blocking: list[Change], now_ms: int) -> bool:
        clean, blocked = self._callers.clean(now_ms), self._callers.blocked(now_ms)
        hit = len(self._hit(blocking, clean))
        if hit < FEW_CALLERS:
            return False
        return hit * CLEAN_SHARE > len(clean) or blocked + hit > RATE_FACTOR * max(blocked, FEW_CALLERS)
