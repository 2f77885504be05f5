"""What this node counts itself, and when that is worth telling.

A key is told when a sum has risen by an eighth of a doubling since it was last told, or a minute later if it is worth
more than one event; once an hour everything that still is, so that what was lost on the way heals. A number that has
called once is told by its block and its trunk alone: most callers are never seen again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from proxy.control.sync.decay import UNIT, Growing, steps_at
from proxy.control.sync.keys import KIND_SHIFT, KeyKind
from proxy.control.sync.log_sums import worth
from proxy.control.sync.metrics import HALF_LIFE_MS, SIGNIFICANT_RISE, Metric, slot_of, steps_now

TELL_AFTER_MS = 60_000
REPAIR_MS = 3_600_000
URGENCIES = 4  # complaints, behaviour, calls, repair
KEYS_AT_ONCE = 4000
PIECES = 100  # of a round, at most: with one a tick it is over before the next is due
MAX_KEYS = 500_000  # counted at a time; the one that was longest silent makes room

_SERIOUS = frozenset({Metric.COMPLAINTS, Metric.TRAP_HITS})
_BEHAVIOUR = frozenset({Metric.SHORT_ANSWERED, Metric.UNANSWERED, Metric.INVALID_CALLEE})


@dataclass(slots=True)
class _Sums:
    sums: dict[int, Growing] = field(default_factory=dict)
    told: dict[int, int] = field(default_factory=dict)
    told_ms: int = 0


class OwnEvidence:
    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._keys: OrderedDict[int, _Sums] = OrderedDict()
        self._max_keys = max_keys
        self._fresh: dict[int, int] = {}  # key -> urgency
        self._waiting: dict[int, int] = {}
        self._round: list[int] = []  # keys that are still to be looked at in this one

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: int, metric: Metric, now_ms: int, events: int = UNIT) -> None:
        """events: in units of 1/65,536."""
        own = self._keys.setdefault(key, _Sums(told_ms=now_ms))
        self._keys.move_to_end(key)
        if len(self._keys) > self._max_keys:
            self.forget(next(iter(self._keys)))
        for long in (0, 1):
            slot = slot_of(metric, long)
            own.sums.setdefault(slot, Growing()).add(events, steps_at(now_ms, HALF_LIFE_MS[slot]))
        self._fresh[key] = min(urgency(metric), self._fresh.get(key, URGENCIES))

    def is_one_off(self, key: int, now_ms: int) -> bool:
        """Whether it is a number that has called once, or not at all."""
        own = self._keys.get(key)
        return own is None or _is_one_off(key, own, now_ms)

    def pairs(self, key: int) -> list[int]:
        """[slot, q, slot, q, ...] as an evidence record has them."""
        own = self._keys.get(key)
        return [] if own is None else [field for slot, sum_ in own.sums.items() for field in (slot, sum_.q)]

    def take_due(self, now_ms: int) -> list[tuple[int, int]]:
        """Keys that events have made worth telling, with their urgency. They count as told."""
        fresh, self._fresh = self._fresh, {}
        due = []
        for key, urgency in fresh.items():
            own = self._keys[key]
            if _is_one_off(key, own, now_ms):
                continue
            urgency = min(urgency, self._waiting.pop(key, URGENCIES))
            if self._is_worth_telling(own, now_ms):
                due.append((key, urgency))
                _told(own, now_ms)
            else:
                self._waiting[key] = urgency
        return due

    def begin_round(self) -> None:
        """Once in a while all keys are looked at, piece by piece; a round that is under way goes on."""
        if not self._round:
            self._round = list(self._keys)

    def take_waiting(self, now_ms: int) -> list[tuple[int, int]]:
        """Of the next piece: keys that time has made worth telling; those that nobody was told of for an hour too."""
        if not self._round:
            return []
        due, steps = [], steps_now(now_ms)
        places = max(KEYS_AT_ONCE, len(self._keys) // PIECES)
        piece, self._round[-places:] = self._round[-places:], []
        for key in piece:
            own = self._keys.get(key)
            if own is None or now_ms - own.told_ms < (TELL_AFTER_MS if key in self._waiting else REPAIR_MS):
                continue
            if _is_above_one(own, steps):
                due.append((key, self._waiting.pop(key, URGENCIES - 1)))
                _told(own, now_ms)
        return due

    def forget(self, key: int) -> None:
        self._keys.pop(key, None)
        self._fresh.pop(key, None)
        self._waiting.pop(key, None)

    def _is_worth_telling(self, own: _Sums, now_ms: int) -> bool:
        if any(sum_.q - own.told.get(slot, 0) >= SIGNIFICANT_RISE for slot, sum_ in own.sums.items()):
            return True
        return now_ms - own.told_ms >= TELL_AFTER_MS and _is_above_one(own, steps_now(now_ms))


def _told(own: _Sums, now_ms: int) -> None:
    own.told = {slot: sum_.q for slot, sum_ in own.sums.items()}
    own.told_ms = now_ms


def urgency(metric: Metric) -> int:
    """0 = first: complaints and traps, then behaviour, then calls."""
    return 0 if metric in _SERIOUS else 1 if metric in _BEHAVIOUR else 2


def _is_one_off(key: int, own: _Sums, now_ms: int) -> bool:
    if key >> KIND_SHIFT != KeyKind.NUMBER or any(slot_of(metric) in own.sums for metric in _SERIOUS):
        return False
    calls = own.sums.get(slot_of(Metric.CALLS))
    return calls is not None and worth(calls.q, steps_at(now_ms, HALF_LIFE_MS[slot_of(Metric.CALLS)])) < UNIT * 3 // 2


def _is_above_one(own: _Sums, steps: tuple[int, ...]) -> bool:
    return any(worth(sum_.q, steps[slot]) > UNIT for slot, sum_ in own.sums.items())
