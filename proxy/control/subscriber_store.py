"""What subscribers have changed one by one, consent included: what their tables are made from again.

Lists of a whole country come by file and are not kept here; a change is, and stands until the next about the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import msgspec

from engine._subscriber_lists import ListEntry
from proxy.control.store_schema import readable, row_sum


class Wishes(msgspec.Struct, frozen=True):
    """What a subscriber wants refused in general, in the words of `engine.subscriber_file`."""

    number: str
    changed_us: int
    refuse: str
    quiet: str
    bursts: str


class OwnEntry(msgspec.Struct, frozen=True):
    """What a subscriber says of a caller or a block of callers; as `engine._subscriber_lists.ListEntry` has it."""

    number: str
    caller: str
    changed_us: int
    allow: bool = False
    deny: bool = False
    last_day: int = 0
    consent: bool = False
    consent_categories: int = 0
    consent_last_day: int = 0

    @property
    def entry(self) -> ListEntry:
        return ListEntry(*msgspec.structs.astuple(self)[3:])


_PUT_WISHES = (
    "INSERT INTO subscriber VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET changed_us = excluded.changed_us,"
    " refuse = excluded.refuse, quiet = excluded.quiet, bursts = excluded.bursts, sum = excluded.sum"
    " WHERE excluded.changed_us >= changed_us"
)
_PUT_ENTRY = (
    "INSERT INTO subscriber_entry VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET changed_us = excluded.changed_us,"
    " record = excluded.record, sum = excluded.sum WHERE excluded.changed_us >= changed_us"
)


class SubscriberChanges:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.faulty = 0

    def put(self, wishes: Iterable[Wishes], entries: Iterable[OwnEntry]) -> None:
        """Each if nothing later is there. Empty ones are kept: they take away what a file may have brought."""
        rows: Iterable[tuple[Any, ...]] = (msgspec.structs.astuple(one) for one in wishes)
        self._connection.executemany(_PUT_WISHES, ((*row, row_sum(row)) for row in rows))
        rows = ((one.number, one.caller, one.changed_us, msgspec.msgpack.encode(one)) for one in entries)
        self._connection.executemany(_PUT_ENTRY, ((*row, row_sum(row)) for row in rows))

    def wishes(self) -> Iterator[Wishes]:
        for row in self._rows("SELECT number, changed_us, refuse, quiet, bursts, sum FROM subscriber"):
            yield Wishes(*row)

    def entries(self) -> Iterator[OwnEntry]:
        for row in self._rows("SELECT number, caller, changed_us, record, sum FROM subscriber_entry"):
            yield msgspec.msgpack.decode(row[3], type=OwnEntry)

    def join(self, other: SubscriberChanges) -> None:
        """Takes what is whole in another file."""
        self.put(readable(other.wishes()), readable(other.entries()))

    def verify(self) -> None:
        """Counts faulty rows."""
        for _ in chain(self.wishes(), self.entries()):
            pass

    def _rows(self, query: str) -> Iterator[Any]:
        for *row, found_sum in self._connection.execute(query):
            if row_sum(row) == found_sum:
                yield row
            else:
                self.faulty += 1
