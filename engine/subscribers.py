"""Setting and showing what subscribers want: numbers as text on one side, the tables on the other.

One process at a time may change the tables; `Subscribers` changes them where they are, so that whoever screens on them
sees it with the next call.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine._numbers import kind_of, parse_entry
from engine._subscriber_lists import ListEntry
from engine._subscribers import Preferences
from engine.tables import Tables

KIND_SHIFT = 60
KIND_PREFIX = 2
KIND_SHORT = 3
SHORT_CODES = 1 << 59  # marks prefixes of short codes: +86* does not hold CN:95588
MOST_PREFIX_DIGITS = 14
OWN_ENTRIES = Preferences(own_lists=True, own_prefix_lengths=0x7FFE).pack()  # bits that say what own entries there are


class NoRoom(Exception):
    """The table holds as many subscribers as it can: `[capacity]` has to grow."""


@dataclass(frozen=True, slots=True)
class Subscribers:
    """The wishes of subscribers in a node's tables."""

    tables: Tables

    def show(self, callee: str) -> Preferences:
        """ValueError for what is no number."""
        return Preferences.unpack(self.tables.subscribers.read(number(callee)))

    def set(self, callee: str, preferences: Preferences) -> None:
        """Replaces the preferences; that there are own entries stays known. ValueError, NoRoom."""
        old = self.show(callee)
        self._put(
            callee,
            replace(preferences, own_lists=old.own_lists, own_prefix_lengths=old.own_prefix_lengths),
        )

    def entry(self, callee: str, caller: str, now_us: int) -> ListEntry:
        """What is in force of the callee's own entry for a caller or a block of them, written as in lists."""
        return self.tables.subscriber_lists.read(number(callee), caller_word(caller)[0], now_us)

    def set_entry(self, callee: str, caller: str, entry: ListEntry) -> None:
        """Replaces the callee's own entry for a caller; an empty one takes it away. ValueError, NoRoom."""
        word, prefix_digits = caller_word(caller)
        if not self.tables.subscriber_lists.set(number(callee), word, entry):
            raise NoRoom("subscriber_lists")
        old = self.show(callee)
        lengths = old.own_prefix_lengths | (1 << prefix_digits if prefix_digits else 0)
        self._put(callee, replace(old, own_lists=True, own_prefix_lengths=lengths))

    def flush(self) -> None:
        """Waits until all of it is on the disk."""
        self.tables.subscriber_lists.flush()
        self.tables.subscribers.flush()

    def _put(self, callee: str, preferences: Preferences) -> None:
        if not self.tables.subscribers.set(number(callee), preferences.pack()):
            raise NoRoom("subscribers")


def number(text: str) -> int:
    """The word of one number, written "+8613800138000" or "CN:95588"; ValueError for anything else."""
    word, exact = parse_entry(text)
    if not exact:
        raise ValueError(f"{text!r}: expected one number, not a prefix")
    return word


def caller_word(text: str) -> tuple[int, int]:
    """(word, digits) of an entry for a caller; digits are 0 for one number, else those of the prefix."""
    word, exact = parse_entry(text)
    if exact:
        return word, 0
    decimal = word & ((1 << KIND_SHIFT) - 1)
    digits = len(str(decimal)) - 1
    if digits > MOST_PREFIX_DIGITS:
        raise ValueError(f"{text!r}: a prefix has at most {MOST_PREFIX_DIGITS} digits")
    short_codes = SHORT_CODES if kind_of(word) == KIND_SHORT else 0
    return KIND_PREFIX << KIND_SHIFT | short_codes | decimal, digits
