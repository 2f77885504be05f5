"""Orders given while calls are screened: who is blocked, allowed, or never blocked. Read by all, written by one."""

from os import PathLike
from typing import final

from engine._table import Table

ORDER_EPOCH_S: int
"""Times of orders count from here, 2026-01-01T00:00Z in Unix seconds."""
ORDER_LAST_S: int
"""The last Unix second that an order can name."""

@final
class OrderTable:
    """Orders in the table file at `path`, made if there is none that fits (see `Table`, `whole`).

    Numbers are words as `engine.numbers` forms them; a prefix is of kind PREFIX, with bit 59 for one of short codes.
    act: 1 block, 2 allow (both of a caller or a prefix), 3 never block (of a callee). priority: 1 to 3.
    """

    table: Table

    def __init__(self, path: str | PathLike[str], capacity: int) -> None: ...
    @classmethod
    def attach(cls, path: str | PathLike[str]) -> OrderTable:
        """Opens an existing file and never replaces it; TableError or OSError if that fails."""
    def set(self, number: int, act: int, priority: int, from_s: int = 0, until_s: int = 0) -> bool:
        """Puts an order about a number or prefix into force; False if there is no room. Times: Unix s, 0 = none."""
    def clear(self, number: int, *, callee: bool = False) -> None:
        """Takes away what is ordered of a caller or prefix, or of a callee."""
    def read(self, number: int, now_us: int, *, callee: bool = False) -> tuple[int, int, int] | None:
        """(act, priority, weight) of the longest match that is in force; weight: 2 * digits, + 1 for a whole number."""
    def set_trunk(self, trunk: int, act: int, priority: int, from_s: int = 0, until_s: int = 0) -> bool:
        """The same about a trunk, by the hash of its name (`engine.policy_rows.name_hash`)."""
    def clear_trunk(self, trunk: int) -> None: ...
    def read_trunk(self, trunk: int, now_us: int) -> tuple[int, int] | None:
        """(act, priority) of what is ordered of a trunk, if it is in force."""
    def flush(self) -> None:
        """Waits until all changes are on the disk; until then a crash of the machine costs a rebuild."""
