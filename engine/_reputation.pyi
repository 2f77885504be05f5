"""What is known of a number: a score that halves every half-life, complaints, a category. Shared by processes."""

from array import array
from dataclasses import dataclass
from os import PathLike
from typing import final

from typing_extensions import Buffer

from engine._table import Table
from engine.decision import Category

@dataclass(frozen=True, slots=True)
class Standing:
    """points: decayed to the time of reading, up to 1,000,000. complaints: up to 255. updated_us: in whole days."""

    points: int
    category: Category
    complaints: int
    pinned: bool
    updated_us: int

@final
class ReputationCache:
    """Reputations in the table file at `path`, made if there is none that fits (see `Table`).

    Numbers are words as `engine.numbers` forms them, not 0 (ValueError). Times are Unix microseconds; those before 2026
    count as the beginning of 2026. A table with another half-life is rebuilt. A number has two buckets of four records;
    where both are full and nothing in them can move to its other bucket, which begins at four fifths of the capacity,
    the one of the eight with the lowest decayed score goes, never a pinned one (counted as `lost` if all are).
    """

    table: Table

    def __init__(self, path: str | PathLike[str], capacity: int, half_life_days: float = 14.0) -> None: ...
    @classmethod
    def attach(cls, path: str | PathLike[str]) -> ReputationCache:
        """Opens an existing file and never replaces it; TableError or OSError if that fails."""
    @property
    def half_life_us(self) -> int: ...
    def read(self, number: int, now_us: int) -> Standing | None:
        """What is known of `number`, None if nothing is."""
    def read_many(self, numbers: Buffer, now_us: int) -> array[int]:
        """The points of each of the numbers (a buffer of format Q), 0 for those of which nothing is known."""
    def add(
        self, number: int, now_us: int, points: int = 0, complaint: bool = False, category: int = 0
    ) -> None:
        """Adds points (at most 1,000,000), a complaint, and a `Category` (kept until another one comes)."""
    def add_many(self, numbers: Buffer, now_us: int, points: int) -> None:
        """Adds `points` to each of the numbers (a buffer of format Q)."""
    def pin(self, number: int, now_us: int) -> bool:
        """Keeps `number` from eviction, made known if it is not; False if its buckets hold nothing but pinned ones."""
    def unpin(self, number: int, now_us: int) -> bool:
        """Undoes `pin`; False if nothing is known of `number`."""
    def forget(self, number: int) -> bool:
        """Takes the record away; False if there was none."""
