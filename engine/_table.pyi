"""A fixed-size table of 16-byte records in a memory-mapped file, shared by processes without locks."""

from os import PathLike
from typing import final

class TableError(ValueError):
    """The file is not a table that can be used; the text says why."""

@final
class Table:
    """Opens the table file at `path`, or makes it where there is none that fits.

    A file of the same layout, kind, capacity and parameters is used as it stands. Anything else (another layout, a torn
    or truncated file, other sizes) is replaced by an empty table; `fresh` and `reason` tell so. The capacity counts
    records and is rounded up to a power of two, at least 256. OSError if the space cannot be reserved.
    """

    path: str
    capacity: int
    fresh: bool
    reason: str

    def __init__(
        self, path: str | PathLike[str], kind: int, capacity: int, parameters: tuple[int, ...] = ()
    ) -> None: ...
    @classmethod
    def attach(cls, path: str | PathLike[str], kind: int) -> Table:
        """Opens an existing file with the sizes it has, never replaces it; TableError or OSError if that fails."""
    @property
    def parameters(self) -> tuple[int, ...]:
        """Four words whose meaning depends on the kind."""
    @property
    def evictions(self) -> int:
        """Records of worth that had to make room, since the file was made."""
    @property
    def lost(self) -> int:
        """Changes given up: 1000 races lost in a row, or a bucket with nothing that may go."""
    def __len__(self) -> int:
        """Records in use, by a scan of the whole table."""
