"""The most frequent of many, in bounded memory: Space-Saving (Metwally, Agrawal, El Abbadi, ICDT 2005).

A newcomer to a full table takes the place and the count of the least frequent, so that nobody who is frequent is missed
and a count is too high by no more than the least of the table.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class SpaceSaving(Generic[Item]):
    def __init__(self, size: int) -> None:
        self._size = size
        self._counts: dict[Item, int] = {}
        self._least: list[tuple[int, int, Item]] = []  # (count when it was looked at, order, item)
        self._order = 0

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, item: Item) -> None:
        count = self._counts.get(item)
        if count is None:
            count = self._replace_least() if len(self._counts) >= self._size else 0
            self._push(count + 1, item)
        self._counts[item] = count + 1

    def take(self) -> dict[Item, int]:
        """All counts; it begins anew."""
        taken, self._counts, self._least = self._counts, {}, []
        return taken

    def _replace_least(self) -> int:
        """Makes room; the count of the one that had to go."""
        while True:
            seen, _, item = heapq.heappop(self._least)
            count = self._counts[item]
            if count == seen:
                del self._counts[item]
                return count
            self._push(count, item)

    def _push(self, count: int, item: Item) -> None:
        self._order += 1
        heapq.heappush(self._least, (count, self._order, item))
