"""Pair memory: which block of callers a callee has refused. Shared by processes."""

from array import array
from os import PathLike
from typing import final

from typing_extensions import Buffer

from engine._table import Table

@final
class PairMemory:
    """Pairs in the table file at `path`, made if there is none that fits (see `Table`).

    Callee and block are words as `engine.numbers` forms them; ValueError for 0. Points halve every half-life; where a
    pair has no room, the one that is worth least among eight goes.
    """

    table: Table

    def __init__(self, path: str | PathLike[str], capacity: int, half_life_days: float = 7.0) -> None: ...
    @classmethod
    def attach(cls, path: str | PathLike[str]) -> PairMemory:
        """Opens an existing file and never replaces it; TableError or OSError if that fails."""
    def read(self, callee: int, block: int, now_us: int) -> int:
        """Points that the callee's refusals of the block are still worth."""
    def add(self, callee: int, block: int, now_us: int, points: int) -> None:
        """Adds points (at most 1,000,000) for a refusal."""
    def read_many(self, callees: Buffer, blocks: Buffer, now_us: int) -> array[int]:
        """`read` for each pair (buffers of format Q)."""
    def add_many(self, callees: Buffer, blocks: Buffer, now_us: int, points: int) -> None:
        """`add` for each pair (buffers of format Q)."""
