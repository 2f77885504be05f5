"""Subscribers' own allow and deny numbers and the consent they gave. Read by every process, written by one."""

from dataclasses import dataclass
from os import PathLike
from typing import final

from typing_extensions import Buffer

from engine._table import Table

@dataclass(frozen=True, slots=True)
class ListEntry:
    """What a subscriber says of a caller or of a block of callers.

    last_day: of `allow` and `deny`, in days since 1970 UTC, 0 = without end. consent_categories: what the consent
    covers, bit n = `Category` n, 0 = every call of that caller.
    """

    allow: bool = False
    deny: bool = False
    last_day: int = 0
    consent: bool = False
    consent_categories: int = 0
    consent_last_day: int = 0

    def pack(self) -> int:
        """The word that the table holds; ValueError for what has no place in it."""

@final
class SubscriberLists:
    """Own entries in the table file at `path`, made if there is none that fits (see `Table`, `whole`).

    Callee and caller are words as `engine.numbers` forms them, the caller a number or a block; ValueError for 0.
    """

    table: Table

    def __init__(self, path: str | PathLike[str], capacity: int) -> None: ...
    @classmethod
    def attach(cls, path: str | PathLike[str]) -> SubscriberLists:
        """Opens an existing file and never replaces it; TableError or OSError if that fails."""
    def read(self, callee: int, caller: int, now_us: int) -> ListEntry:
        """What is in force, without its last days; an empty entry if nothing is."""
    def set(self, callee: int, caller: int, entry: ListEntry) -> bool:
        """Replaces the entry, takes it away for an empty one; False if the table has no room for a new one."""
    def set_many(self, callees: Buffer, callers: Buffer, entry: ListEntry) -> int:
        """The same entry for each pair (buffers of format Q); how many there was no room for."""
    def flush(self) -> None:
        """Waits until all changes are on the disk; until then a crash of the machine costs a rebuild."""
