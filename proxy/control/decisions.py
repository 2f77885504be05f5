"""Operators' decisions as the store keeps them: of two about the same, the one of higher rank stands, on every node.

The rank is (prio, hlc, signer); a withdrawal is a decision of its own (`tomb`). So any two nodes that have seen the
same decisions, in whatever order, agree. What lost is kept beside it, in a trail of the latest.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from enum import IntEnum

import msgspec

from proxy.control.store_schema import readable, row_sum, signed, unsigned

TRAIL_KEPT = 1_000_000
TEXT_BYTES = 64  # of a reason, of an owner


class Kind(IntEnum):
    EXACT = 0
    PREFIX = 1
    TRUNK = 2


class Act(IntEnum):
    BLOCK = 1
    ALLOW = 2
    NEVER_BLOCK = 3  # of a called number


class Priority(IntEnum):
    TENANT = 1
    OPERATOR = 2
    REGULATOR = 3


class Decision(msgspec.Struct, frozen=True, array_like=True):
    """One order about a number, a prefix or a trunk.

    ns: namespace, who orders. key: 64 bits, for numbers the engine's number word. hlc: Unix ms << 16 | counter.
    signer: origin of the node that signed it, 0 = this one while it belongs to no fleet. from_s, until_s: Unix seconds,
    0 = at once and without end. tomb: the order is withdrawn. reason, owner: up to 64 bytes each.
    """

    ns: str
    kind: Kind
    key: int
    act: Act
    prio: int
    hlc: int
    signer: int = 0
    from_s: int = 0
    until_s: int = 0
    tomb: bool = False
    reason: str = ""
    owner: str = ""

    @property
    def identity(self) -> tuple[str, int, int]:
        return self.ns, self.kind, self.key

    @property
    def rank(self) -> tuple[int, int, int]:
        return self.prio, self.hlc, self.signer

    def in_force(self, now_s: float) -> bool:
        return not self.tomb and self.from_s <= now_s and (self.until_s == 0 or now_s < self.until_s)


_COLUMNS = "ns, kind, key, act, prio, hlc, signer, from_s, until_s, tomb, reason, owner"
_SELECT = f"SELECT {_COLUMNS}, sum FROM decision"
_Row = tuple[str, int, int, int, int, int, int, int, int, int, str, str]


class DecisionTable:
    """faulty: rows that were passed over because they are not as they were written."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.faulty = 0

    def __len__(self) -> int:
        """All of them, withdrawn ones too."""
        (count,) = self._connection.execute("SELECT count(*) FROM decision").fetchone()
        return int(count)

    def merge(self, decisions: Iterable[Decision]) -> list[Decision]:
        """Takes what outranks what is there; those that did."""
        won = []
        for decision in decisions:
            standing = self.get(*decision.identity)
            if standing == decision:
                continue
            wins = standing is None or decision.rank > standing.rank
            self._record(decision, wins)
            if wins:
                self._put(decision)
                won.append(decision)
        return won

    def join(self, other: DecisionTable) -> None:
        """Takes what is whole in another file."""
        self.merge(readable(other.all()))

    def verify(self) -> None:
        """Counts faulty rows."""
        for _ in self.all():
            pass

    def get(self, ns: str, kind: int, key: int) -> Decision | None:
        """That of a namespace, withdrawn or not."""
        found = self._read(f"{_SELECT} WHERE ns = ? AND kind = ? AND key = ?", (ns, kind, signed(key)))
        return next(found, None)

    def since(self, hlc: int, limit: int = 1000) -> list[Decision]:
        """Those stamped after `hlc`, oldest first, withdrawn ones too."""
        return list(self._read(f"{_SELECT} WHERE hlc > ? ORDER BY hlc, ns, kind, key LIMIT ?", (hlc, limit)))

    def effective(self, kind: int, key: int) -> list[Decision]:
        """Those of all namespaces that are not withdrawn, highest rank first."""
        found = self._read(f"{_SELECT} WHERE kind = ? AND key = ? AND NOT tomb", (kind, signed(key)))
        return sorted(found, key=lambda decision: decision.rank, reverse=True)

    def turning(self, after_s: float, until_s: float) -> list[Decision]:
        """Those that begin or end after one time and not after the other."""
        span = (after_s, until_s)
        return list(
            self._read(
                f"{_SELECT} WHERE NOT tomb AND (from_s > ? AND from_s <= ? OR until_s > ? AND until_s <= ?)",
                (*span, *span),
            )
        )

    def standing(self, limit: int) -> list[Decision]:
        """Those that are not withdrawn, newest first."""
        return list(self._read(f"{_SELECT} WHERE NOT tomb ORDER BY hlc DESC LIMIT ?", (limit,)))

    def of_kind(self, kind: int) -> list[Decision]:
        """All of a kind, withdrawn ones too."""
        return list(self._read(f"{_SELECT} WHERE kind = ?", (kind,)))

    def all(self) -> Iterator[Decision]:
        return self._read(_SELECT, ())

    def trail(self, limit: int) -> list[tuple[bool, Decision]]:
        """(whether it stood, decision) of the latest, newest first."""
        rows = self._connection.execute(
            "SELECT won, record, sum FROM decision_trail ORDER BY entry DESC LIMIT ?", (limit,)
        )
        whole = [(won, record) for won, record, found_sum in rows if row_sum((won, record)) == found_sum]
        return [(bool(won), msgspec.msgpack.decode(record, type=Decision)) for won, record in whole]

    def forget_tombstones(self, before_hlc: int) -> int:
        """Withdrawals stamped before `before_hlc`; how many."""
        return self._connection.execute("DELETE FROM decision WHERE tomb AND hlc < ?", (before_hlc,)).rowcount

    def _put(self, decision: Decision) -> None:
        row = _row_of(decision)
        places = ", ".join("?" * (len(row) + 1))
        self._connection.execute(f"REPLACE INTO decision ({_COLUMNS}, sum) VALUES ({places})", (*row, row_sum(row)))

    def _record(self, decision: Decision, won: bool) -> None:
        record = msgspec.msgpack.encode(decision)
        entry = self._connection.execute(
            "INSERT INTO decision_trail (won, record, sum) VALUES (?, ?, ?)", (won, record, row_sum((int(won), record)))
        ).lastrowid
        assert entry is not None
        self._connection.execute("DELETE FROM decision_trail WHERE entry <= ?", (entry - TRAIL_KEPT,))

    def _read(self, query: str, parameters: tuple[object, ...]) -> Iterator[Decision]:
        for *row, found_sum in self._connection.execute(query, parameters):
            if row_sum(row) == found_sum:
                yield _decision_of(tuple(row))
            else:
                self.faulty += 1


def _row_of(decision: Decision) -> _Row:
    return (
        decision.ns,
        int(decision.kind),
        signed(decision.key),
        int(decision.act),
        decision.prio,
        decision.hlc,
        decision.signer,
        decision.from_s,
        decision.until_s,
        int(decision.tomb),
        decision.reason,
        decision.owner,
    )


def _decision_of(row: tuple[object, ...]) -> Decision:
    ns, kind, key, act, *rest, tomb, reason, owner = row
    assert isinstance(key, int)
    return msgspec.convert((ns, kind, unsigned(key), act, *rest, bool(tomb), reason, owner), Decision)
