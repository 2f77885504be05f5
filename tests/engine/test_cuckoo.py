"""Two buckets a key: what a process leaves behind that dies while it moves a record."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from engine._subscribers import SubscriberTable

CALLEE = 1 << 60 | 18613800138000
MOVING = 1 << 59
HEADER_SIZE = 4096
RECORDS = 256
BUCKET = 4


class Forged:
    """A small table of one subscriber, whose records can be read and written behind its back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.subscribers = SubscriberTable(path, RECORDS)
        self.subscribers.set(CALLEE, 5)
        self.place = next(place for place in range(RECORDS) if self.record(place)[0])

    def record(self, place: int) -> tuple[int, int]:
        key, value = struct.unpack_from("<QQ", self.path.read_bytes(), HEADER_SIZE + 16 * place)
        return key, value

    def write(self, place: int, key: int, value: int) -> None:
        with self.path.open("r+b") as file:
            file.seek(HEADER_SIZE + 16 * place)
            file.write(struct.pack("<QQ", key, value))

    def other_place(self) -> int:
        """Where the subscriber is found if not where it stands: its other bucket."""
        self.write(self.place, 0, 0)
        for place in range(0, RECORDS, BUCKET):
            self.write(place, CALLEE, 5)
            if place // BUCKET != self.place // BUCKET and self.subscribers.read(CALLEE):
                break
            self.write(place, 0, 0)
        self.write(place, 0, 0)
        self.write(self.place, CALLEE, 5)
        return place


@pytest.fixture
def forged(tmp_path: Path) -> Forged:
    return Forged(tmp_path / "subscribers.tbl")


def test_a_copy_whose_original_is_gone_counts_and_is_settled_by_a_change(forged: Forged) -> None:
    forged.write(forged.place, CALLEE | MOVING, 5)
    assert forged.subscribers.read(CALLEE) == 5
    forged.subscribers.set(CALLEE, 6)
    assert forged.record(forged.place) == (CALLEE, 6)


def test_the_original_counts_as_long_as_it_stands(forged: Forged) -> None:
    other = forged.other_place()
    forged.write(other, CALLEE | MOVING, 4)
    assert forged.subscribers.read(CALLEE) == 5
    forged.subscribers.set(CALLEE, 6)
    assert (forged.record(forged.place), forged.record(other)) == ((CALLEE, 6), (CALLEE | MOVING, 4))
    assert forged.subscribers.read(CALLEE) == 6


def test_who_is_taken_away_leaves_no_copy(forged: Forged) -> None:
    forged.write(forged.other_place(), CALLEE | MOVING, 4)
    forged.subscribers.set(CALLEE, 0)
    assert forged.subscribers.read(CALLEE) == 0
    assert len(forged.subscribers.table) == 0


def test_of_two_records_one_is_left(forged: Forged) -> None:
    forged.write(forged.other_place(), CALLEE, 4)
    forged.subscribers.set(CALLEE, 6)
    assert forged.subscribers.read(CALLEE) == 6
    assert len(forged.subscribers.table) == 1
