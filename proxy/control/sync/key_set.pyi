"""A set of keys that remembers the order in which they came, in about 20 bytes a key."""

from collections.abc import Iterable
from typing import final

@final
class KeySet:
    """Keys are words of 64 bits, not 0 (ValueError)."""

    def __init__(self) -> None: ...
    def __len__(self) -> int: ...
    def __contains__(self, key: int) -> bool: ...
    def add(self, key: int) -> bool:
        """Whether it was not there; one that was keeps its place."""
    def update(self, keys: Iterable[int]) -> None: ...
    def discard(self, key: int) -> None: ...
    def take(self, limit: int) -> list[int]:
        """The oldest keys, up to so many; they are no longer here."""
    @property
    def octets(self) -> int:
        """Memory in use."""
