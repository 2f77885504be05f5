"""What a node has counted for the fleet, kept over a restart: evidence slots, generations of keys, complainants.

All of it merges: the larger value, the later generation, the sixteen smallest hashes.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Iterator
from itertools import chain

from proxy.control.store_schema import readable, row_sum, signed, unsigned

Slot = tuple[int, int, int, int, int, int]  # key, origin, epoch, generation, metric, q

COMPLAINANTS_KEPT = 16


class EvidenceTable:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.faulty = 0

    def save(self, slots: Iterable[Slot]) -> None:
        """Each at the larger of what is there and what comes."""
        rows = ((signed(key), *rest) for key, *rest in slots)
        self._connection.executemany(
            "INSERT INTO evidence VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET q = excluded.q, sum = excluded.sum WHERE excluded.q > q",
            ((*row, row_sum(row)) for row in rows),
        )

    def join(self, other: EvidenceTable) -> None:
        """Takes what is whole in another file."""
        self.save(readable(other.load()))
        for key, gen in readable(other.generations()):
            self.set_generation(key, gen)

    def verify(self) -> None:
        """Counts faulty rows."""
        for _ in chain(self.load(), self.generations()):
            pass

    def load(self, origin: int | None = None) -> Iterator[Slot]:
        """The slots of one origin, or of all."""
        query = "SELECT key, origin, epoch, gen, metric, q, sum FROM evidence"
        where = "" if origin is None else " WHERE origin = ?"
        for *row, found_sum in self._connection.execute(query + where, () if origin is None else (origin,)):
            if row_sum(row) == found_sum:
                key, slot_origin, epoch, gen, metric, q = row
                yield unsigned(key), slot_origin, epoch, gen, metric, q
            else:
                self.faulty += 1

    def forget_origin(self, origin: int) -> int:
        return self._connection.execute("DELETE FROM evidence WHERE origin = ?", (origin,)).rowcount

    def forget(self, keys: Iterable[int]) -> int:
        """All slots of these keys; how many."""
        rows = ((signed(key),) for key in keys)
        return self._connection.executemany("DELETE FROM evidence WHERE key = ?", rows).rowcount

    def set_generation(self, key: int, gen: int) -> None:
        """The later of the two stays; slots of earlier ones go."""
        row = (signed(key), gen)
        self._connection.execute(
            "INSERT INTO generation VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
            " SET gen = excluded.gen, sum = excluded.sum WHERE excluded.gen > gen",
            (*row, row_sum(row)),
        )
        self._connection.execute(
            "DELETE FROM evidence WHERE key = ?1 AND gen < (SELECT gen FROM generation WHERE key = ?1)", row[:1]
        )

    def generations(self) -> Iterator[tuple[int, int]]:
        """(key, generation) of every key that was ever forgiven."""
        for key, gen, found_sum in self._connection.execute("SELECT key, gen, sum FROM generation"):
            if row_sum((key, gen)) == found_sum:
                yield unsigned(key), gen
            else:
                self.faulty += 1


class ComplainantTable:
    """Who complained of a key on a day, as keyed hashes; the smallest sixteen estimate how many there are."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.faulty = 0

    def merge(self, key: int, gen: int, day: int, hashes: Iterable[int]) -> list[int]:
        """The union of what is there and what comes, its sixteen smallest, in order."""
        found = self._connection.execute(
            "SELECT hashes, sum FROM complainants WHERE key = ? AND gen = ? AND day = ?", (signed(key), gen, day)
        ).fetchone()
        known = self._checked(key, gen, day, *found) if found else []
        kept = sorted({*known, *hashes})[:COMPLAINANTS_KEPT]
        row = (signed(key), gen, day, _packed(kept))
        self._connection.execute("REPLACE INTO complainants VALUES (?, ?, ?, ?, ?)", (*row, row_sum(row)))
        return kept

    def join(self, other: ComplainantTable) -> None:
        """Takes what is whole in another file."""
        for key, gen, day, hashes in readable(other.load()):
            self.merge(key, gen, day, hashes)

    def verify(self) -> None:
        """Counts faulty rows."""
        for _ in self.load():
            pass

    def load(self) -> Iterator[tuple[int, int, int, list[int]]]:
        """(key, generation, day, hashes)"""
        for key, gen, day, hashes, found_sum in self._connection.execute(
            "SELECT key, gen, day, hashes, sum FROM complainants"
        ):
            known = self._checked(unsigned(key), gen, day, hashes, found_sum)
            if known:
                yield unsigned(key), gen, day, known

    def forget_days(self, before_day: int) -> int:
        return self._connection.execute("DELETE FROM complainants WHERE day < ?", (before_day,)).rowcount

    def _checked(self, key: int, gen: int, day: int, hashes: bytes, found_sum: int) -> list[int]:
        if row_sum((signed(key), gen, day, hashes)) == found_sum:
            return list(struct.unpack(f"<{len(hashes) // 8}Q", hashes))
        self.faulty += 1
        return []


def _packed(hashes: list[int]) -> bytes:
    return struct.pack(f"<{len(hashes)}Q", *hashes)
