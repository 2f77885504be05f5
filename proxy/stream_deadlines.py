"""Timeouts of one length: first put, first due, so that setting, moving and firing cost the same for any number."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class Deadlines(Generic[Item]):
    """Items with the time that each was put, in seconds of a clock that never goes back."""

    def __init__(self, length_s: float) -> None:
        self._length_s = length_s
        self._since: dict[Item, float] = {}

    def __contains__(self, item: Item) -> bool:
        return item in self._since

    def put(self, item: Item, now_s: float) -> None:
        """The item's time begins now, whenever it began before."""
        self._since.pop(item, None)
        self._since[item] = now_s

    def drop(self, item: Item) -> None:
        self._since.pop(item, None)

    def take_due(self, now_s: float) -> list[Item]:
        """Those whose time has passed; they are dropped."""
        due = []
        for item, since_s in self._since.items():
            if now_s - since_s < self._length_s:
                break
            due.append(item)
        for item in due:
            del self._since[item]
        return due
