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
    records and is rounded up: to a power of two, at least 256, and beyond 131,072 to a multiple of that. Only the
    header is read, however large the table is. OSError if the space cannot be reserved.

    `whole`: a file whose changes had not all reached the disk when the machine went down does not fit either. Its
    writer calls `begin_changes` and `end_changes`.
    """

    path: str
    capacity: int
    fresh: bool
    reason: str

    def __init__(
        self,
        path: str | PathLike[str],
        kind: int,
        capacity: int,
        parameters: tuple[int, ...] = (),
        whole: bool = False,
    ) -> None: ...
    @classmethod
    def attach(cls, path: str | PathLike[str], kind: int, whole: bool = False) -> Table:
        """Opens an existing file with the sizes it has, never replaces it; TableError or OSError if that fails."""
    @property
    def replaced(self) -> bool:
        """Whether another file has taken the place of this one since it was opened; costs a look at the directory."""
    def begin_changes(self) -> None:
        """Marks the file as not whole, on the disk, before a change; a call that finds the mark costs nothing."""
    def end_changes(self) -> None:
        """Writes every change to the disk, waits for it, and takes the mark away. OSError if the disk refuses."""
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
