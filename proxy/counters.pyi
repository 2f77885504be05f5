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
    def add(self, name: str, count: int = 1) -> None:
        """For what is rare enough to be counted by name."""
    def set(self, name: str, value: int) -> None:
        """The present value of a gauge."""
    def __getitem__(self, name: str) -> int: ...
