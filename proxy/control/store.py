"""The store: one SQLite file in the state directory that holds what must not be lost. Owned by control.

What a batch changed is on the disk when it is over (WAL, synchronous=FULL), or nothing of it is there. One thread uses
a `Store` (`store_thread`); others may read the file and copy it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from proxy.control.complaint_store import CaseTable, ComplaintTable
from proxy.control.decisions import DecisionTable
from proxy.control.evidence_slots import ComplainantTable, EvidenceTable
from proxy.control.node_state import NodeState
from proxy.control.proposals import ProposalTable
from proxy.control.store_schema import StoreFault, check_version, migrate
from proxy.control.subscriber_store import SubscriberChanges

FILE_NAME = "store.db"
_BUSY_S = 5.0
_WAL_BYTES = 64 << 20  # a longer journal is cut after its next checkpoint
_WRITING = (
    "journal_mode = WAL",
    "synchronous = FULL",
    f"journal_size_limit = {_WAL_BYTES}",
    "trusted_schema = OFF",
    "cell_size_check = ON",
)


class StoreTable(Protocol):
    """faulty: rows met that are not as they were written."""

    faulty: int

    def verify(self) -> None: ...
    def join(self, other: Any) -> None: ...


class Store:
    """Opens the file, made if it is not there, and brings it to this version. StoreFault says why that failed."""

    path: Path
    migrated: int
    _connection: sqlite3.Connection

    def __init__(self, path: Path) -> None:
        self._use(path, _connect(path))
        try:
            for pragma in _WRITING:
                self._connection.execute(f"PRAGMA {pragma}")
            self.migrated = migrate(self._connection, path)
        except sqlite3.Error as why:
            self._connection.close()
            raise StoreFault(f"{path} cannot be opened: {why}") from None

    @classmethod
    def read_only(cls, path: Path) -> Store:
        """A store that others may be writing; StoreFault if it is not there or not of this version."""
        store = cls.__new__(cls)
        store._use(path, _connect(path, "mode=ro"))
        try:
            check_version(store._connection, path)
        except (sqlite3.Error, StoreFault) as why:
            store.close()
            raise StoreFault(f"{path} cannot be opened: {why}") from None
        return store

    def _use(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.migrated = 0
        self._connection: sqlite3.Connection = connection
        self.decisions = DecisionTable(connection)
        self.proposals = ProposalTable(connection)
        self.evidence = EvidenceTable(connection)
        self.complainants = ComplainantTable(connection)
        self.node = NodeState(connection)
        self.complaints = ComplaintTable(connection)
        self.cases = CaseTable(connection)
        self.subscribers = SubscriberChanges(connection)

    @property
    def faulty(self) -> int:
        """Rows met so far that are not as they were written."""
        return sum(table.faulty for table in self.tables)

    @property
    def tables(self) -> tuple[StoreTable, ...]:
        return (
            self.decisions,
            self.proposals,
            self.evidence,
            self.complainants,
            self.node,
            self.complaints,
            self.cases,
            self.subscribers,
        )

    @property
    def changes(self) -> int:
        """Rows changed since it was opened."""
        return self._connection.total_changes

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Everything in it is on the disk at its end, or, if it raises, nothing is."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._undo("ROLLBACK")
            raise

    @contextmanager
    def part(self) -> Iterator[None]:
        """A part of a batch that, if it raises, leaves nothing behind and spares the rest."""
        self._connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            self._undo("ROLLBACK TO part")
            raise
        finally:
            self._undo("RELEASE part")

    def integrity(self) -> list[str]:
        """What SQLite finds wrong with the file; nothing, if it is whole."""
        found = [text for (text,) in self._connection.execute("PRAGMA integrity_check(20)")]
        return [] if found == ["ok"] else found

    def copy_to(self, copy: sqlite3.Connection, pages: int) -> None:
        """SQLite's online backup, so many pages at a time."""
        self._connection.backup(copy, pages=pages, sleep=0.005)

    def close(self) -> None:
        self._connection.close()

    def _undo(self, statement: str) -> None:
        """SQLite may have rolled back by itself: after a full disk, for one."""
        if self._connection.in_transaction:
            self._connection.execute(statement)


def _connect(path: Path, parameters: str = "") -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{parameters}"
    try:
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_BUSY_S)
    except sqlite3.Error as why:
        raise StoreFault(f"{path} cannot be opened: {why}") from None
