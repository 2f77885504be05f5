"""The store: one SQLite file in the state directory that holds what must not be lost. Owned by control.

What a batch changed is on the disk when it is over (WAL, synchronous=FULL), or nothing of it is there. One thread uses
a `Store` (`store_thread`); others may read the file and copy it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proxy.control.decisions import DecisionTable
from proxy.control.evidence_slots import ComplainantTable, EvidenceTable
from proxy.control.node_state import NodeState
from proxy.control.store_schema import StoreFault, migrate

FILE_NAME = "store.db"
_BUSY_MS = 5000
_WAL_BYTES = 64 << 20  # a longer journal is cut after its next checkpoint


class Store:
    """Opens the file, made if it is not there, and brings it to this version. StoreFault says why that failed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._connection = _connect(path)
            self.migrated = migrate(self._connection, path)
        except sqlite3.Error as why:
            raise StoreFault(f"{path} cannot be opened: {why}") from None
        self.decisions = DecisionTable(self._connection)
        self.evidence = EvidenceTable(self._connection)
        self.complainants = ComplainantTable(self._connection)
        self.node = NodeState(self._connection)

    @property
    def faulty(self) -> int:
        """Rows met so far that are not as they were written."""
        return sum(table.faulty for table in (self.decisions, self.evidence, self.complainants, self.node))

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

    def close(self) -> None:
        self._connection.close()

    def _undo(self, statement: str) -> None:
        """SQLite may have rolled back by itself: after a full disk, for one."""
        if self._connection.in_transaction:
            self._connection.execute(statement)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in (
        f"busy_timeout = {_BUSY_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        f"journal_size_limit = {_WAL_BYTES}",
        "trusted_schema = OFF",
        "cell_size_check = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection
