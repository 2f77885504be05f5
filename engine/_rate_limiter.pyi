"""Exact rate limits shared by processes: GCRA (ITU-T I.371, virtual scheduling), one 16-byte record a key."""

from os import PathLike
from typing import final

from typing_extensions import Buffer

from engine._table import Table

@final
class RateLimiter:
    """Limits in the table file at `path`, made if there is none that fits (see `Table`)."""

    table: Table

    def __init__(self, path: str | PathLike[str], capacity: int) -> None: ...
    @classmethod
    def attach(cls, path: str | PathLike[str]) -> RateLimiter:
        """Opens an existing file and never replaces it; TableError or OSError if that fails."""
    def conforms(
        self, key: int, now_us: int, increment_us: int, tolerance_us: int, count: bool = True, *, kept: bool = False
    ) -> bool:
        """True if one more event of `key` conforms; counts it if it does and `count` is set.

        increment_us = period / calls, tolerance_us = increment_us * (burst - 1), both below 2^59; ValueError if not.
        kept: where room is short, its record goes after those of other keys.
        """
    def conforms_many(self, keys: Buffer, now_us: int, increment_us: int, tolerance_us: int) -> bytes:
        """`conforms` for each of the 64-bit keys (a buffer of format Q) in order: one byte each, 1 = conforms."""
