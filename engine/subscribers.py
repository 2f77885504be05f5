"""Setting and showing what subscribers want: numbers as text on one side, the tables on the other.

One process at a time may change the tables; `Subscribers` changes them where they are, so that whoever screens on them
sees it with the next call.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from engine._subscriber_lists import ListEntry
from engine._subscribers import Preferences
from engine.decision import Category
from engine.number_words import caller_word, number
from engine.subscriber_import import Imported, NoRoom, Progress, add_file, replace_by_file
from engine.tables import Tables

EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Subscribers:
    """The wishes of subscribers in a node's tables."""

    tables: Tables

    def get(self, callee: str) -> Preferences:
        """ValueError for what is no number."""
        return Preferences.unpack(self.tables.subscribers.read(number(callee)))

    def set(self, callee: str, preferences: Preferences) -> None:
        """Replaces the preferences; that there are own entries stays known. ValueError, NoRoom."""
        old = self.get(callee)
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
        old = self.get(callee)
        lengths = old.own_prefix_lengths | (1 << prefix_digits if prefix_digits else 0)
        self._put(callee, replace(old, own_lists=True, own_prefix_lengths=lengths))

    def allow(self, callee: str, caller: str, until: date | None = None) -> None:
        """The callee wants the calls of a caller or a block; until: the last day (UTC), None = without end."""
        self.set_entry(callee, caller, ListEntry(allow=True, last_day=_day(until)))

    def deny(self, callee: str, caller: str, until: date | None = None) -> None:
        self.set_entry(callee, caller, ListEntry(deny=True, last_day=_day(until)))

    def consent(
        self, callee: str, caller: str, until: date | None = None, categories: Iterable[Category] = ()
    ) -> None:
        """The callee has agreed to be called by a named caller; categories: about what, none = about anything."""
        covered = sum(1 << category for category in set(categories))
        entry = ListEntry(consent=True, consent_categories=covered, consent_last_day=_day(until))
        self.set_entry(callee, caller, entry)

    def forget(self, callee: str, caller: str) -> None:
        """Takes the callee's own entry for a caller away, consent included."""
        self.set_entry(callee, caller, ListEntry())

    def import_file(self, path: Path, *, replace: bool = False, progress: Progress | None = None) -> Imported:
        """Preferences from a file (`engine.subscriber_file` has its form), hundreds of millions of rows if need be.

        replace: they take the place of all that there are, in a table built beside this one; who screens goes over to
        it within a second. progress is told (done, in all). OSError, NoRoom, TableError.
        """
        table = self.tables.subscribers
        if replace:
            return replace_by_file(Path(table.table.path), table.table.capacity, path, progress)
        return add_file(table, path, progress)

    def flush(self) -> None:
        """Waits until all of it is on the disk."""
        self.tables.subscriber_lists.flush()
        self.tables.subscribers.flush()

    def _put(self, callee: str, preferences: Preferences) -> None:
        if not self.tables.subscribers.set(number(callee), preferences.pack()):
            raise NoRoom("subscribers")


def _day(last: date | None) -> int:
    return (last - EPOCH).days if last else 0
