"""What a node remembers of itself: its epoch, the mark of its clock, the trust bundle, and named numbers."""

from __future__ import annotations

import sqlite3

from proxy.control.store_schema import row_sum

EPOCH_ZERO_S = 1_767_225_600  # 2026-01-01T00:00Z

_EPOCH = "epoch"
_HLC_MARK = "hlc-mark"


class NodeState:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.faulty = 0

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

    def cursors(self) -> dict[str, int]:
        names = [name for (name,) in self._connection.execute("SELECT name FROM node_number")]
        return {name: self.cursor(name) for name in names}

    def trust(self) -> tuple[int, bytes] | None:
        """(version, signed bundle) of the newest."""
        found = self._connection.execute("SELECT version, body, sum FROM trust").fetchone()
        if found is None:
            return None
        version, body, found_sum = found
        if row_sum((version, body)) == found_sum:
            return version, body
        self.faulty += 1
        return None

    def save_trust(self, version: int, body: bytes) -> bool:
        """False if the one that is there is as new."""
        standing = self.trust()
        if standing is not None and standing[0] >= version:
            return False
        row = (version, body)
        self._connection.execute("REPLACE INTO trust VALUES (1, ?, ?, ?)", (*row, row_sum(row)))
        return True
