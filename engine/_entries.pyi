"""List entries on their way into an image: read from text, sorted, and pushed down."""

from array import array
from collections.abc import Iterable
from typing import final

from engine._dial_plan import DialPlan

@final
class RecordSet:
    """Every different combination of hits once: tuples of (rule, weight); weight = 2 * digits, + 1 if exact."""

    contents: list[tuple[tuple[int, int], ...]]
    def __init__(self) -> None: ...

@final
class EntrySet:
    """Entries of many rules: numbers, and short codes apart from them.

    A whole number that one of the plans takes for a short code (+8695588) is kept as that (CN:95588).
    """

    def __init__(self, plans: Iterable[DialPlan] = ()) -> None: ...
    def count(self, short_codes: bool) -> int: ...
    def add(self, number: int, exact: bool, rule: int) -> None: ...
    def add_text(self, text: bytes, rule: int) -> list[tuple[int, bytes]]:
        """Adds one entry a line, `#` starts a comment; returns (line number, text) of those that are no entries."""
    def prefixes(self, short_codes: bool, most_digits: int) -> list[tuple[int, int]]:
        """(rule, number) of the prefixes of at most so many digits."""
    def push_down(self, short_codes: bool, records: RecordSet) -> tuple[array[int], array[int]]:
        """(keys, records) for `PrefixTrie.build_keys`: what holds for a prefix holds for all that begins with it."""
