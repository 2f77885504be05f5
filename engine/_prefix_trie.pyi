"""Longest match on digits over an immutable, packed set of prefixes."""

from array import array
from collections.abc import Iterable
from typing import final

from typing_extensions import Buffer

@final
class PrefixTrie:
    """A set of prefixes as `build` packed it. ValueError if the buffer is torn or of another layout.

    A buffer that does not begin on a 64-byte boundary is copied to one that does.
    """

    def __init__(self, buffer: Buffer) -> None: ...
    @staticmethod
    def build(entries: Iterable[tuple[str, bool, int]]) -> bytes:
        """Packs (digits, exact, value): 1 to 15 digits, a value from 1 to 2^32 - 1; ValueError or OverflowError if not.

        An exact entry matches the whole number only and beats every prefix. Of several entries with the same digits and
        `exact` the last one counts. About 15 bytes an entry.
        """
    @staticmethod
    def build_keys(keys: Buffer, values: Buffer) -> bytes:
        """`build` from buffers of keys (format Q: decimal of "1" + digits, doubled, + 1 if exact) and values (I)."""
    def match(self, digits: str) -> tuple[int, int] | None:
        """The value that matches and the number of digits it matched; ValueError if `digits` are not 1 to 15 digits."""
    def match_many(self, numbers: Buffer) -> array[int]:
        """The value that matches each of the numbers (a buffer of format Q, formed by `engine.numbers`), 0 = none."""
    def __len__(self) -> int:
        """Number of entries."""
