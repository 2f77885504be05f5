"""Preferences of many subscribers at once, from a file: added to the table as it stands, or as a table of its own."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine._subscribers import Preferences, SubscriberTable
from engine.subscriber_file import SubscriberReader

OWN_ENTRIES = Preferences(own_lists=True, own_prefix_lengths=0x7FFE).pack()  # bits that say what own entries there are
LEAST_ROW_BYTES = 16  # of a line, to guess how many there are

Progress = Callable[[int, int], None]  # (done, in all)


class NoRoom(Exception):
    """The table holds as many subscribers as it can: `[capacity]` has to grow."""


@dataclass(frozen=True, slots=True)
class Imported:
    """rows: subscribers that were read. faulty: lines that could not be read; faults: the first of them, in words."""

    rows: int
    faulty: int
    faults: tuple[str, ...]


def add_file(table: SubscriberTable, path: Path, progress: Progress | None = None) -> Imported:
    """Changes the table where it is, in chunks; who calls meanwhile meets old or new preferences. NoRoom."""
    size = path.stat().st_size
    rows = 0
    with path.open("rb") as file:
        reader = SubscriberReader(file)
        for callees, words in reader.chunks():
            kept = table.read_many(callees)
            changed = array("Q", (word | old & OWN_ENTRIES for word, old in zip(words, kept, strict=True)))
            refused = table.set_many(callees, changed)
            if refused:
                raise NoRoom(f"subscribers: {len(refused)} of a chunk found no room")
            rows += len(callees)
            if progress:
                progress(reader.read_bytes, size)
    table.flush()
    return Imported(rows, reader.faulty, tuple(reader.faults))


def replace_by_file(table: Path, capacity: int, path: Path, progress: Progress | None = None) -> Imported:
    """Builds a table of these subscribers alone in place of the one at `table`. TableError if it has no room."""
    with path.open("rb") as file:
        reader = SubscriberReader(file)
        rows = SubscriberTable.build(
            table, capacity, reader.chunks(), path.stat().st_size // LEAST_ROW_BYTES, progress
        )
    return Imported(rows, reader.faulty, tuple(reader.faults))
