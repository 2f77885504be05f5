"""Shares of limits that hold for a whole fleet. Read by all processes of a node, written by one."""

from os import PathLike
from typing import final

from engine._table import Table

WHOLE: int
"""The parts that a limit has: a share is 1 to so many of them."""

@final
class ShareTable:
    """Shares in the table file at `path`, made if there is none that fits. A limit that has no record is whole.

    subject: the word under which the limit counts somebody (`engine.policy_rows.limit_word`). limit: its name's hash.
    """

    table: Table

    def __init__(self, path: str | PathLike[str], capacity: int) -> None: ...
    @classmethod
    def attach(cls, path: str | PathLike[str]) -> ShareTable:
        """Opens an existing file and never replaces it; TableError or OSError if that fails."""
    def lend(self, subject: int, parts: int, until_s: int) -> bool:
        """What this node may use of a limit for one subject, until a Unix second; False if there is no room."""
    def take_back(self, subject: int) -> None: ...
    def leave(self, limit: int, parts: int) -> bool:
        """What this node may use of a limit for each subject for which nothing is lent; False if there is no room."""
    def read(self, subject: int, limit: int, now_us: int) -> tuple[int, bool]:
        """(parts, whether they are lent for this subject)."""
    def clear(self) -> None:
        """Every limit is whole again."""

def scaled(increment_us: int, tolerance_us: int, parts: int, lent: bool) -> tuple[int, int]:
    """(increment, tolerance) of a GCRA window for such a part of its rate."""
