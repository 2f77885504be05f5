from os import PathLike
from typing import ClassVar

NAMES: tuple[str, ...]
GAUGES: frozenset[str]
SIZE: int

class Counters:
    """One worker's counters: 64-bit words in a memory-mapped file."""

    names: ClassVar[tuple[str, ...]]
    gauges: ClassVar[frozenset[str]]
    @staticmethod
    def open(path: str | PathLike[str], create: bool = True) -> Counters:
        """`create` starts them at zero; without it an existing file is read. OSError if it cannot be opened."""
    @staticmethod
    def in_memory() -> Counters: ...
    def read(self) -> dict[str, int]: ...
    def __getitem__(self, name: str) -> int: ...
