"""The circuit breaker: would what the fleet says newly block too many of the callers of the last ten minutes?

It asks of each source by itself: of complaints, of behaviour, and of each authority that gives orders. If one would
newly block more than one in a hundred clean callers, or raise those blocked to three times as many, what blocks of that
source alone is held until an operator releases it. What came within ten minutes counts together, so that a flood of
words does not pass in small portions; a caller that is blocked already counts no more.

A share says little of few callers. So few are let pass: of orders and of behaviour, where one mistake hits many, fewer
than ten at once and a hundred in ten minutes; of complaints, each of which is one person's, fewer than a hundred.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field

from proxy.control.sync.recent_callers import WINDOW_MS, RecentCallers

CLEAN_SHARE = 100  # one in so many
RATE_FACTOR = 3
EVERYTHING = "everything"  # in place of a source: an operator's own hold
BY_HAND = "everything is held: callsieve fleet hold"
OF_BEFORE = "was held when this node was stopped"


@dataclass(frozen=True, slots=True)
class Floors:
    """Fewer callers that are newly blocked are no mistake: by what comes at once, by what came within ten minutes."""

    at_once: int
    in_window: int


OF_MACHINES = Floors(10, 100)
OF_PEOPLE = Floors(100, 100)


@dataclass(slots=True)
class Hold:
    """Why and since when a source is held. callers: clean ones that what is held would block."""

    why: str
    since_ms: int
    callers: set[int] = field(default_factory=set)


class Breaker:
    def __init__(self, callers: RecentCallers) -> None:
        self._callers = callers
        self._newly: dict[str, dict[int, int]] = {}  # by source: the callers that it has newly blocked, and when
        self._approved: Set[int] = frozenset()
        self._approved_ms = 0
        self._holds: dict[str, Hold] = {}
        self._by_hand = False

    @property
    def holds(self) -> dict[str, Hold]:
        """By source."""
        return self._holds

    @property
    def holding(self) -> bool:
        return self._by_hand or bool(self._holds)

    def passes(self, source: str, floors: Floors, hit: set[int], now_ms: int) -> bool:
        """Whether words of a source that block may be put into force. hit: the clean callers that they would block."""
        newly = self._not_yet_blocked(source, hit, now_ms)
        if not self.holding_of(source):
            why = self._too_many(source, floors, newly, now_ms)
            if not why:
                self._newly.setdefault(source, {}).update(dict.fromkeys(newly, now_ms))
                return True
            self._holds[source] = Hold(why, now_ms)
        if newly:
            self._holds.setdefault(source, Hold(BY_HAND, now_ms)).callers |= newly
        return False

    def holding_of(self, source: str) -> bool:
        return self._by_hand or source in self._holds

    @property
    def sources(self) -> set[str]:
        """Those that are held; `hold_again` takes them after a restart."""
        return self._holds.keys() | ({EVERYTHING} if self._by_hand else set())

    def hold_again(self, sources: Iterable[str], now_ms: int) -> None:
        for source in sources:
            if source == EVERYTHING:
                self._by_hand = True
            else:
                self._holds[source] = Hold(OF_BEFORE, now_ms)

    def hold(self) -> None:
        """From now on everything that blocks, until `release`."""
        self._by_hand = True

    def release(self, now_ms: int) -> None:
        """An operator has looked at it: those whom it blocks count no more, and the sources begin anew."""
        self._by_hand = False
        self._approved = frozenset().union(*(hold.callers for hold in self._holds.values()))
        self._approved_ms = now_ms
        for source in self._holds:
            self._newly.pop(source, None)
        self._holds.clear()

    def _not_yet_blocked(self, source: str, hit: set[int], now_ms: int) -> set[int]:
        since_ms = now_ms - WINDOW_MS
        for of, newly in self._newly.items():
            self._newly[of] = {caller: at_ms for caller, at_ms in newly.items() if at_ms >= since_ms}
        if self._approved_ms < since_ms:
            self._approved = frozenset()
        return hit.difference(self._approved, *self._newly.values())

    def _too_many(self, source: str, floors: Floors, newly: set[int], now_ms: int) -> str:
        """In words; "" if they are not."""
        window = self._newly.get(source, {})
        blocked = self._callers.blocked(now_ms, window)
        live = self._callers.let_through(now_ms)
        for count, floor in ((len(newly), floors.at_once), (len(window) + len(newly), floors.in_window)):
            if not newly or count < floor:
                continue
            if count * CLEAN_SHARE > live:
                return f"would newly block {count} of the {live} callers of the last ten minutes"
            if blocked + count > RATE_FACTOR * max(blocked, floor):
                return f"would newly block {count} callers, where {blocked} were blocked in the last ten minutes"
        return ""
