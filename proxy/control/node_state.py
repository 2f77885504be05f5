"""What a node remembers of itself: its epoch, the mark of its clock, the trust bundle, and named numbers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import chain

from proxy.control.store_schema import readable, row_sum

EPOCH_ZERO_S = 1_767_225_600  # 2026-01-01T00:00Z

_EPOCH = "epoch"
_HLC_MARK = "hlc-mark"


class NodeState:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.faulty = 0

    def join(self, other: NodeState) -> None:
        """Takes what is whole in another file: the later of two."""
        for name, value in readable(other.cursors()):
            self.set_cursor(name, max(value, self.cursor(name)))
        for trust in readable(other.trusts()):
            self.save_trust(*trust)

    def verify(self) -> None:
        """Counts faulty rows."""
        for _ in chain(self.cursors(), self.trusts()):
            pass

    def next_epoch(self, seen: int, now_s: float) -> int:
        """An epoch that this node has never used, even if its disk or its clock were lost. seen: what others know."""
        epoch = max(self.cursor(_EPOCH) + 1, seen + 1, int(now_s) - EPOCH_ZERO_S)
        self.set_cursor(_EPOCH, epoch)
        return epoch

    def hlc_mark(self) -> int:
        """No stamp at or above it was ever given out."""
        return self.cursor(_HLC_MARK)

    def save_hlc_mark(self, hlc: int) -> None:
        self.set_cursor(_HLC_MARK, max(hlc, self.hlc_mark()))

    def cursor(self, name: str) -> int:
        """A named number, 0 if it was never set."""
        found = self._connection.execute("SELECT value, sum FROM node_number WHERE name = ?", (name,)).fetchone()
        if found is None:
            return 0
        value, found_sum = found
        if row_sum((name, value)) == found_sum:
            return int(value)
        self.faulty += 1
        return 0

    def set_cursor(self, name: str, value: int) -> None:
        row = (name, value)
        self._connection.execute("REPLACE INTO node_number VALUES (?, ?, ?)", (*row, row_sum(row)))

    def cursors(self) -> Iterator[tuple[str, int]]:
        for name, value, found_sum in self._connection.execute("SELECT name, value, sum FROM node_number"):
            if row_sum((name, value)) == found_sum:
                yield name, value
            else:
                self.faulty += 1

    def trust(self) -> tuple[int, bytes] | None:
        """(version, signed bundle) of the newest."""
        return next(self.trusts(), None)

    def trusts(self) -> Iterator[tuple[int, bytes]]:
        """The same, or nothing."""
        for version, body, found_sum in self._connection.execute("SELECT version, body, sum FROM trust"):
            if row_sum((version, body)) == found_sum:
                yield version, body
            else:
                self.faulty += 1

    def save_trust(self, version: int, body: bytes) -> bool:
        """False if the one that is there is as new."""
        standing = self.trust()
        if standing is not None and standing[0] >= version:
            return False
        row = (version, body)
        self._connection.execute("REPLACE INTO trust VALUES (1, ?, ?, ?)", (*row, row_sum(row)))
        return True
