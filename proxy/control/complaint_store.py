"""Complaints and their cases in the store. A case gathers what is complained of one caller until it is closed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace

from engine.decision import Category
from proxy.control.store_schema import readable, row_sum, signed, unsigned

OPEN_STATES = ("open", "forwarded")
STATES = (*OPEN_STATES, "closed")


@dataclass(frozen=True, slots=True)
class StoredComplaint:
    """reporter: keyed hash. request: its id as the source names it, "" = none. call_us: 0 = of no call that is known.

    weight: thousandths of what a complaint is worth; 0 = kept, and without effect.
    """

    case_id: int
    received_us: int
    time_us: int
    caller: int
    category: Category
    reporter: int
    source: str
    request: str
    call_id: str
    call_us: int
    weight: int
    consented: bool
    text_hash: str


@dataclass(frozen=True, slots=True)
class Case:
    """forwarded_us, closed_us: 0 = not yet. redress: of the verdict that was complained of, "" = none."""

    id: int
    caller: int
    opened_us: int
    category: Category
    state: str = "open"
    forwarded_us: int = 0
    closed_us: int = 0
    redress: str = ""


_COMPLAINT = (
    "case_id, received_us, time_us, caller, category, reporter, source, request, call_id, call_us, weight, consented,"
    " text_hash"
)
_CASE = "id, caller, opened_us, category, state, forwarded_us, closed_us, redress"


class ComplaintTable:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.faulty = 0

    def add(self, complaint: StoredComplaint) -> None:
        row = _complaint_row(complaint)
        places = ", ".join("?" * (len(row) + 1))
        self._connection.execute(f"INSERT INTO complaint ({_COMPLAINT}, sum) VALUES ({places})", (*row, row_sum(row)))

    def join(self, other: ComplaintTable) -> None:
        """Takes what is whole in another file."""
        known = set(self.all())
        for complaint in readable(other.all()):
            if complaint not in known:
                self.add(complaint)

    def verify(self) -> None:
        """Counts faulty rows."""
        for _ in self.all():
            pass

    def of_request(self, source: str, request: str) -> StoredComplaint | None:
        return next(self._read("WHERE source = ? AND request = ? AND request != ''", (source, request)), None)

    def of_call(self, call_id: str, reporter: int) -> StoredComplaint | None:
        """What a reporter has said of a call."""
        where = "WHERE call_id = ? AND call_id != '' AND reporter = ?"
        return next(self._read(where, (call_id, signed(reporter))), None)

    def of_case(self, case_id: int) -> Iterator[StoredComplaint]:
        return self._read("WHERE case_id = ? ORDER BY entry", (case_id,))

    def since(self, time_us: int) -> Iterator[StoredComplaint]:
        """Those about calls since then, oldest first."""
        return self._read("WHERE time_us >= ? ORDER BY time_us", (time_us,))

    def all(self) -> Iterator[StoredComplaint]:
        return self._read("ORDER BY entry", ())

    def taken_of(self, reporter: int, since_us: int) -> int:
        """How many a reporter has made since then."""
        return self._count("reporter = ? AND received_us >= ?", (signed(reporter), since_us))

    def callers_of(self, reporter: int, since_us: int) -> int:
        """How many different callers a reporter has complained of since then."""
        return self._count("reporter = ? AND received_us >= ?", (signed(reporter), since_us), "count(DISTINCT caller)")

    def complainants(self, case_id: int) -> int:
        """Distinct reporters whose word counted."""
        return self._count("case_id = ? AND weight > 0", (case_id,), "count(DISTINCT reporter)")

    def has_counted(self, case_id: int, reporter: int) -> bool:
        return self._count("case_id = ? AND reporter = ? AND weight > 0", (case_id, signed(reporter))) > 0

    def _count(self, where: str, values: tuple[object, ...], what: str = "count(*)") -> int:
        (count,) = self._connection.execute(f"SELECT {what} FROM complaint WHERE {where}", values).fetchone()
        return int(count)

    def _read(self, where: str, values: tuple[object, ...]) -> Iterator[StoredComplaint]:
        for *row, found_sum in self._connection.execute(f"SELECT {_COMPLAINT}, sum FROM complaint {where}", values):
            if row_sum(row) == found_sum:
                yield _complaint_of(*row)
            else:
                self.faulty += 1


class CaseTable:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.faulty = 0

    def join(self, other: CaseTable) -> None:
        """Takes what is whole in another file, in the place of what is here."""
        for case in readable(other.all()):
            self.put(case)

    def verify(self) -> None:
        """Counts faulty rows."""
        for _ in self.all():
            pass

    def open_of(self, caller: int) -> Case | None:
        """The case of a caller that is not closed."""
        return next(self._read("WHERE caller = ? AND state != 'closed'", (signed(caller),)), None)

    def open_new(self, caller: int, opened_us: int, category: Category) -> Case:
        (last,) = self._connection.execute("SELECT coalesce(max(id), 0) FROM case_record").fetchone()
        case = Case(int(last) + 1, caller, opened_us, category)
        self.put(case)
        return case

    def get(self, case_id: int) -> Case | None:
        return next(self._read("WHERE id = ?", (case_id,)), None)

    def put(self, case: Case) -> None:
        row = _case_row(case)
        places = ", ".join("?" * (len(row) + 1))
        self._connection.execute(f"REPLACE INTO case_record ({_CASE}, sum) VALUES ({places})", (*row, row_sum(row)))

    def move(self, case_id: int, state: str, now_us: int) -> Case | None:
        """None if there is no such case."""
        case = self.get(case_id)
        if case is None:
            return None
        forwarded_us = case.forwarded_us or (now_us if state == "forwarded" else 0)
        moved = replace(case, state=state, forwarded_us=forwarded_us, closed_us=now_us if state == "closed" else 0)
        self.put(moved)
        return moved

    def latest(self, limit: int, *, only_open: bool) -> list[Case]:
        where = "WHERE state != 'closed'" if only_open else ""
        return list(self._read(f"{where} ORDER BY id DESC LIMIT ?", (limit,)))

    def all(self) -> Iterator[Case]:
        return self._read("ORDER BY id", ())

    def _read(self, where: str, values: tuple[object, ...]) -> Iterator[Case]:
        for *row, found_sum in self._connection.execute(f"SELECT {_CASE}, sum FROM case_record {where}", values):
            if row_sum(row) == found_sum:
                case_id, caller, opened_us, category, *rest = row
                yield Case(case_id, unsigned(caller), opened_us, Category(category), *rest)
            else:
                self.faulty += 1


def _complaint_row(one: StoredComplaint) -> tuple[int | str, ...]:
    return (
        one.case_id,
        one.received_us,
        one.time_us,
        signed(one.caller),
        int(one.category),
        signed(one.reporter),
        one.source,
        one.request,
        one.call_id,
        one.call_us,
        one.weight,
        int(one.consented),
        one.text_hash,
    )


def _complaint_of(
    case_id: int,
    received_us: int,
    time_us: int,
    caller: int,
    category: int,
    reporter: int,
    source: str,
    request: str,
    call_id: str,
    call_us: int,
    weight: int,
    consented: int,
    text_hash: str,
) -> StoredComplaint:
    return StoredComplaint(
        case_id,
        received_us,
        time_us,
        unsigned(caller),
        Category(category),
        unsigned(reporter),
        source,
        request,
        call_id,
        call_us,
        weight,
        bool(consented),
        text_hash,
    )


def _case_row(case: Case) -> tuple[int | str, ...]:
    return (
        case.id,
        signed(case.caller),
        case.opened_us,
        int(case.category),
        case.state,
        case.forwarded_us,
        case.closed_us,
        case.redress,
    )
