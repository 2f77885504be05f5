"""The circuit breaker: what would the fleet's word have done to the callers of the last ten minutes?

If it would newly block more than one in a hundred of the clean ones, or three times as many calls as were blocked, it
is held until an operator releases it. Fewer than ten callers are no mistake of a feed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Generic, TypeVar

from proxy.control.sync.keys import KIND_SHIFT, KeyKind, digits_of, prefix_of

WINDOW_MS = 600_000
_SLICE_MS = 60_000
MAX_CALLERS = 50_000  # remembered of each minute; those beyond are like those before them
CLEAN_SHARE = 100  # one in so many
RATE_FACTOR = 3
FEW_CALLERS = 10
MAX_HELD = 100_000
_FIRST_PREFIX = KeyKind.PREFIX << KIND_SHIFT

Change = TypeVar("Change")


class RecentCallers:
    """Each caller with the minute in which it was last seen; so many new ones a minute."""

    def __init__(self) -> None:
        self._clean: dict[int, int] = {}
        self._blocked: dict[int, int] = {}
        self._begins: dict[tuple[int, int], set[str]] = {}  # (kind, digits): how the clean callers of a kind begin
        self._minute_ms = self._oldest_ms = 0
        self._room = {False: MAX_CALLERS, True: MAX_CALLERS}

    def add(self, caller: int, was_blocked: bool, now_ms: int) -> None:
        minute_ms = now_ms - now_ms % _SLICE_MS
        if minute_ms > self._minute_ms:
            self._minute_ms = minute_ms
            self._room = {False: MAX_CALLERS, True: MAX_CALLERS}
            self._drop(now_ms)
        callers = self._blocked if was_blocked else self._clean
        seen_ms = callers.get(caller)
        if seen_ms == self._minute_ms or not self._room[was_blocked]:
            return
        self._room[was_blocked] -= 1
        callers[caller] = self._minute_ms
        if seen_ms is None and not was_blocked:
            for (kind, digits), begins in self._begins.items():
                if caller >> KIND_SHIFT == kind:
                    begins.add(digits_of(caller)[:digits])

    def clean(self, now_ms: int) -> set[int]:
        self._drop(now_ms)
        return set(self._clean)

    def blocked(self, now_ms: int) -> int:
        self._drop(now_ms)
        return len(self._blocked)

    def among(self, keys: Iterable[int], now_ms: int) -> list[int]:
        """Those of the keys that are a clean caller, or a prefix of one."""
        self._drop(now_ms)
        wanted = set(keys)
        prefixes = [key for key in filter(_FIRST_PREFIX.__le__, wanted) if key >> KIND_SHIFT == KeyKind.PREFIX]
        return [*(self._clean.keys() & wanted), *filter(self._has, prefixes)]

    def _has(self, prefix: int) -> bool:
        kind, digits = prefix_of(prefix)
        begins = self._begins.get((kind, len(digits)))
        if begins is None:
            of_kind = (caller for caller in self._clean if caller >> KIND_SHIFT == kind)
            begins = {digits_of(caller)[: len(digits)] for caller in of_kind}
            self._begins[kind, len(digits)] = begins
        return digits in begins

    def _drop(self, now_ms: int) -> None:
        since_ms = now_ms - WINDOW_MS
        if self._oldest_ms >= since_ms:
            return
        self._clean, self._blocked = (
            {caller: seen_ms for caller, seen_ms in callers.items() if seen_ms >= since_ms}
            for callers in (self._clean, self._blocked)
        )
        self._oldest_ms = min(chain(self._clean.values(), self._blocked.values()), default=self._minute_ms)
        self._begins.clear()


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

    def would_hold(self, blocking: list[Change], now_ms: int) -> bool:
        """Whether changes that block would not pass now."""
        return self.holds or (bool(blocking) and self._is_too_much(blocking, now_ms))

    def admit(self, changes: list[Change], now_ms: int, is_block: Callable[[Change], bool]) -> list[Change]:
        """Those that may be applied now."""
        blocking = [change for change in changes if is_block(change)]
        if not blocking or not self.would_hold(blocking, now_ms):
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
