"""What the native tables are held against: the same things in plain Python, written to be read."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field


class PrefixTrieOracle:
    """Longest match on digits, by trying every length."""

    def __init__(self, entries: Iterable[tuple[str, bool, int]]) -> None:
        self.entries = {(digits, exact): value for digits, exact, value in entries}

    def match(self, digits: str) -> tuple[int, int] | None:
        if (digits, True) in self.entries:
            return self.entries[digits, True], len(digits)
        for length in range(len(digits), 0, -1):
            if (digits[:length], False) in self.entries:
                return self.entries[digits[:length], False], length
        return None


CLOCK_SLACK_US = 1_000_000


@dataclass
class RateLimiterOracle:
    """GCRA as ITU-T I.371 words it, with room for every key."""

    arrival_times: dict[int, int] = field(default_factory=dict)  # theoretical arrival time of each key's next event

    def conforms(self, key: int, now_us: int, increment_us: int, tolerance_us: int, count: bool = True) -> bool:
        arrival_us = max(self.arrival_times.get(key, now_us), now_us)
        if arrival_us > now_us + tolerance_us + increment_us + CLOCK_SLACK_US:
            arrival_us = now_us + tolerance_us  # written under another clock or a wider limit
        if now_us < arrival_us - tolerance_us:
            return False
        if count:
            self.arrival_times[key] = arrival_us + increment_us
        return True


LANDMARK_US = 1_767_225_600_000_000  # 2026-01-01T00:00Z
DAY_US = 86_400_000_000
MAX_POINTS = 1_000_000


@dataclass
class StandingOracle:
    """One number: a sum of points in which each event halves every half-life."""

    half_life_us: int
    events: list[tuple[int, int]] = field(default_factory=list)  # (time, points)
    category: int = 0
    complaints: int = 0
    pinned: bool = False

    def add(self, now_us: int, points: int, complaint: bool, category: int) -> None:
        self.events.append((max(now_us, LANDMARK_US), min(points, MAX_POINTS)))
        self.complaints = min(self.complaints + complaint, 255)
        if category:
            self.category = category

    def points(self, now_us: int) -> float:
        """Decayed to `now_us`, not rounded; an event that is still to come is worth more than its points."""
        now_us = max(now_us, LANDMARK_US)
        ages = [((now_us - time_us) / self.half_life_us, points) for time_us, points in self.events]
        return min(math.fsum(points * 2.0 ** min(-age, 64) for age, points in ages), MAX_POINTS)


class SubscriberOracle:
    """Preferences of subscribers, none of whom is ever forgotten."""

    def __init__(self) -> None:
        self.words: dict[int, int] = {}

    def set(self, callee: int, word: int) -> None:
        if word:
            self.words[callee] = word
        else:
            self.words.pop(callee, None)

    def read(self, callee: int) -> int:
        return self.words.get(callee, 0)


@dataclass(frozen=True)
class QuietHoursOracle:
    """Half hours in which a subscriber does not want to be called, written down one by one."""

    quiet: tuple[int, int]

    def half_hours(self) -> set[int]:
        start, end = self.quiet
        length = (end - start) % 48 or 48
        return {(start + i) % 48 for i in range(length)}


@dataclass
class OwnListOracle:
    """What is in force of one subscriber's entry for one caller."""

    allow: bool = False
    deny: bool = False
    consent: bool = False
    categories: int = 0
    last_day: int = 0
    consent_last_day: int = 0

    def in_force(self, now_us: int) -> tuple[bool, bool, bool, int]:
        day = now_us // DAY_US
        listed = self.last_day == 0 or day <= self.last_day
        consented = self.consent and (self.consent_last_day == 0 or day <= self.consent_last_day)
        return self.allow and listed, self.deny and listed, consented, self.categories if consented else 0
