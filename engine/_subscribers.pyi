"""What subscribers want refused: callee -> preferences, never evicted. Read by every process, written by one."""

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from os import PathLike
from typing import final

from typing_extensions import Buffer

from engine._table import Table

@dataclass(frozen=True, slots=True)
class Preferences:
    """One subscriber's will, as 64 bits.

    refused_categories: bit n = `Category` n. refused_segments: bits of `engine.segments.Segment`. high_frequency:
    protection against bursts of callers, 0 to 3 by how soon it acts, None = off. own_lists: has entries in
    `SubscriberLists`; own_prefix_lengths: bit n = some of them are caller prefixes of n digits, 1 to 14. quiet: from
    and to in half hours of the subscriber's own day, 0 to 47, `to` not included; may pass midnight, equal ones are the
    whole day.
    """

    refused_categories: int = 0
    refused_segments: int = 0
    do_not_call: bool = False
    high_frequency: int | None = None
    own_lists: bool = False
    own_prefix_lengths: int = 0
    quiet: tuple[int, int] | None = None

    def pack(self) -> int:
        """The word that the table holds, 0 for no preferences; ValueError for what has no place in it."""
    @classmethod
    def unpack(cls, word: int) -> Preferences: ...
    def refuses(self, category: int) -> bool: ...
    def is_quiet(self, half_hour: int) -> bool: ...

@final
class SubscriberTable:
    """Preferences in the table file at `path`, made if there is none that fits (see `Table`).

    Callees are words as `engine.numbers` forms them, not 0 (ValueError). A file whose changes had not all been written
    when the machine went down does not fit: `table.fresh` then asks for a rebuild from the store.
    """

    table: Table

    def __init__(self, path: str | PathLike[str], capacity: int) -> None: ...
    @classmethod
    def attach(cls, path: str | PathLike[str]) -> SubscriberTable:
        """Opens an existing file and never replaces it; TableError or OSError if that fails."""
    @staticmethod
    def build(
        path: str | PathLike[str],
        capacity: int,
        chunks: Iterable[tuple[Buffer, Buffer]],
        rows: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Makes the file at `path` of rows in any order, and says how many subscribers it holds.

        chunks: buffers of format Q, callees and their words; the last row of a callee counts. rows: how many are
        expected, for `progress`, which is told (done, total). The file takes its place when it is whole and on the
        disk; who has the old one open keeps the old one. TableError if there is no room for all.
        """
    def read(self, callee: int) -> int:
        """The word of the subscriber's preferences, 0 if there are none."""
    def read_many(self, callees: Buffer) -> array[int]:
        """`read` for each of the callees (a buffer of format Q)."""
    def set(self, callee: int, word: int) -> bool:
        """Replaces the preferences, takes them away for 0; False if the table has no room for a new subscriber."""
    def set_many(self, callees: Buffer, words: Buffer) -> array[int]:
        """`set` for each of the callees (buffers of format Q); those for which there was no room."""
    def flush(self) -> None:
        """Waits until all changes are on the disk; until then a crash of the machine costs a rebuild."""
