"""This node's own signatures under orders that a second authority must sign too, kept for as long as the order stands.

They are durable before they are acknowledged, and are told again at every start: whoever joins later needs both.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

import msgspec

from proxy.control.decisions import Decision
from proxy.control.store_schema import readable, row_sum, signed

_PLACE = "ns = ? AND kind = ? AND key = ?"


class ProposalTable:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.faulty = 0

    def put(self, decisions: Iterable[Decision]) -> None:
        """Of two about the same the later one stays; a withdrawal takes it away."""
        for decision in decisions:
            ns, kind, key = decision.identity
            standing = self.get(ns, kind, key)
            if standing is not None and standing.hlc >= decision.hlc:
                continue
            self._connection.execute(f"DELETE FROM proposal WHERE {_PLACE}", (ns, int(kind), signed(key)))
            if not decision.tomb:
                row = (ns, int(kind), signed(key), msgspec.msgpack.encode(decision))
                self._connection.execute("INSERT INTO proposal VALUES (?, ?, ?, ?, ?)", (*row, row_sum(row)))

    def get(self, ns: str, kind: int, key: int) -> Decision | None:
        return next(self._read(f" WHERE {_PLACE}", (ns, int(kind), signed(key))), None)

    def all(self) -> Iterator[Decision]:
        return self._read("", ())

    def join(self, other: ProposalTable) -> None:
        """Takes what is whole in another file."""
        self.put(readable(other.all()))

    def verify(self) -> None:
        """Counts faulty rows."""
        for _ in self.all():
            pass

    def _read(self, where: str, values: tuple[object, ...]) -> Iterator[Decision]:
        query = f"SELECT ns, kind, key, record, sum FROM proposal{where}"
        for *row, found_sum in self._connection.execute(query, values):
            if row_sum(row) == found_sum:
                yield msgspec.msgpack.decode(row[3], type=Decision)
            else:
                self.faulty += 1
