"""Verdicts as points of reputation: a key is raised to what its band is worth, and given back what it had before.

Most keys of a snapshot are new here: they go into the table as they are, thousands at a time.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from engine._reputation import ReputationCache
from proxy.control.sync.keys import KIND_SHIFT, KeyKind
from proxy.control.sync.score import Band

POINTS = {Band.NONE: 0, Band.TAG: 600, Band.CHALLENGE: 700, Band.BLOCK: 1000}
MAX_REMEMBERED = 1_000_000
_WITH_REPUTATION = frozenset({KeyKind.NUMBER, KeyKind.PREFIX, KeyKind.SHORT_CODE})


class VerdictPoints:
    def __init__(self, reputation: ReputationCache) -> None:
        self._reputation = reputation
        self._given: dict[int, int] = {}  # points that a verdict has given a key

    def apply(self, keys: Sequence[int], bands: bytes, now_us: int) -> None:
        """bands: one byte for each key."""
        for band, points in POINTS.items():
            numbers = array("Q", [key for key, its in zip(keys, bands, strict=True) if its == band and _counts(key)])
            standing = self._reputation.read_many(numbers, now_us)
            if points:
                self._give([key for key, there in zip(numbers, standing, strict=True) if not there], points, now_us)
            for key in [key for key, there in zip(numbers, standing, strict=True) if there]:
                self._set(key, points, now_us)

    def _give(self, fresh: list[int], points: int, now_us: int) -> None:
        self._reputation.add_many(array("Q", fresh), now_us, points)
        room = max(MAX_REMEMBERED - len(self._given), 0)
        self._given.update(dict.fromkeys(fresh[:room], points))

    def _set(self, key: int, wanted: int, now_us: int) -> None:
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


def _counts(key: int) -> bool:
    return key >> KIND_SHIFT in _WITH_REPUTATION
