"""The store's tables, one migration a version: the file says in PRAGMA user_version how many it has been through.

A migration that was released is never changed. What stands in `record` is MessagePack, and `sum` is the CRC-32 of a
row's other values: SQLite checks the shape of its pages, not what is written on them.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

_DECISIONS = """
CREATE TABLE decision (
    ns TEXT NOT NULL, kind INTEGER NOT NULL, key INTEGER NOT NULL, act INTEGER NOT NULL, prio INTEGER NOT NULL,
    hlc INTEGER NOT NULL, signer INTEGER NOT NULL, from_s INTEGER NOT NULL, until_s INTEGER NOT NULL,
    tomb INTEGER NOT NULL, reason TEXT NOT NULL, owner TEXT NOT NULL, sum INTEGER NOT NULL,
    PRIMARY KEY (ns, kind, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX decision_by_hlc ON decision (hlc, ns, kind, key);
CREATE INDEX decision_by_key ON decision (kind, key);
CREATE INDEX decision_by_begin ON decision (from_s);
CREATE INDEX decision_by_end ON decision (until_s);
CREATE TABLE decision_trail (
    entry INTEGER PRIMARY KEY, won INTEGER NOT NULL, record BLOB NOT NULL, sum INTEGER NOT NULL
) STRICT;
"""

_FLEET = """
CREATE TABLE evidence (
    key INTEGER NOT NULL, origin INTEGER NOT NULL, epoch INTEGER NOT NULL, gen INTEGER NOT NULL,
    metric INTEGER NOT NULL, q INTEGER NOT NULL, sum INTEGER NOT NULL,
    PRIMARY KEY (key, origin, epoch, gen, metric)
) STRICT, WITHOUT ROWID;
CREATE TABLE generation (key INTEGER PRIMARY KEY, gen INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT;
CREATE TABLE complainants (
    key INTEGER NOT NULL, gen INTEGER NOT NULL, day INTEGER NOT NULL, hashes BLOB NOT NULL, sum INTEGER NOT NULL,
    PRIMARY KEY (key, gen, day)
) STRICT, WITHOUT ROWID;
CREATE TABLE node_number (name TEXT PRIMARY KEY, value INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE trust (only INTEGER PRIMARY KEY CHECK (only = 1), version INTEGER NOT NULL, body BLOB NOT NULL,
    sum INTEGER NOT NULL) STRICT;
"""

_COMPLAINTS = """
CREATE TABLE complaint (
    entry INTEGER PRIMARY KEY, case_id INTEGER NOT NULL, received_us INTEGER NOT NULL, time_us INTEGER NOT NULL,
    caller INTEGER NOT NULL, category INTEGER NOT NULL, reporter INTEGER NOT NULL, source TEXT NOT NULL,
    request TEXT NOT NULL, call_id TEXT NOT NULL, call_us INTEGER NOT NULL, weight INTEGER NOT NULL,
    consented INTEGER NOT NULL, text_hash TEXT NOT NULL, sum INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX complaint_by_request ON complaint (source, request) WHERE request != '';
CREATE INDEX complaint_by_call ON complaint (call_id, reporter) WHERE call_id != '';
CREATE INDEX complaint_by_reporter ON complaint (reporter, received_us);
CREATE INDEX complaint_by_case ON complaint (case_id);
CREATE INDEX complaint_by_time ON complaint (time_us);
CREATE TABLE case_record (
    id INTEGER PRIMARY KEY, caller INTEGER NOT NULL, opened_us INTEGER NOT NULL, category INTEGER NOT NULL,
    state TEXT NOT NULL, forwarded_us INTEGER NOT NULL, closed_us INTEGER NOT NULL, redress TEXT NOT NULL,
    sum INTEGER NOT NULL
) STRICT;
CREATE INDEX case_by_caller ON case_record (caller, state);
"""

_PROPOSALS_AND_SUBSCRIBERS = """
CREATE TABLE proposal (
    ns TEXT NOT NULL, kind INTEGER NOT NULL, key INTEGER NOT NULL, record BLOB NOT NULL, sum INTEGER NOT NULL,
    PRIMARY KEY (ns, kind, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE subscriber (
    number TEXT PRIMARY KEY, changed_us INTEGER NOT NULL, refuse TEXT NOT NULL, quiet TEXT NOT NULL,
    bursts TEXT NOT NULL, sum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE subscriber_entry (
    number TEXT NOT NULL, caller TEXT NOT NULL, changed_us INTEGER NOT NULL, record BLOB NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY (number, caller)
) STRICT, WITHOUT ROWID;
"""

_Row = TypeVar("_Row")

MIGRATIONS: tuple[str, ...] = (_DECISIONS, _FLEET, _COMPLAINTS, _PROPOSALS_AND_SUBSCRIBERS)


APPLICATION_ID = 0x43535300  # with the version in its last byte: a header that says two versions was damaged


class StoreFault(Exception):
    """The store cannot be used as it is; the text says why and what to do."""


def migrate(connection: sqlite3.Connection, path: Path) -> int:
    """Brings the file to this version, all or nothing; how many migrations that took. StoreFault for a newer file."""
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found > len(MIGRATIONS):
        known = len(MIGRATIONS)
        raise StoreFault(f"{path} is of version {found}, this callsieve knows {known}: install the newer one again")
    if found == len(MIGRATIONS):
        return 0
    steps = "".join(MIGRATIONS[found:])
    marks = f"PRAGMA user_version = {len(MIGRATIONS)};PRAGMA application_id = {APPLICATION_ID | len(MIGRATIONS)};"
    try:
        connection.executescript(f"BEGIN IMMEDIATE;{steps}{marks}COMMIT;")
    except sqlite3.Error:
        connection.rollback()
        raise
    return len(MIGRATIONS) - found


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """StoreFault unless the file has been through all migrations."""
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found != len(MIGRATIONS):
        raise StoreFault(f"{path} is of version {found}, this callsieve works on {len(MIGRATIONS)}")


def row_sum(values: Sequence[int | str | bytes]) -> int:
    """The CRC-32 of a row's values."""
    return zlib.crc32(msgspec.msgpack.encode(values))


def readable(rows: Iterable[_Row]) -> Iterator[_Row]:
    """As many rows as a damaged file lets be read."""
    try:
        yield from rows
    except sqlite3.DatabaseError:
        return


def signed(word: int) -> int:
    """A 64-bit word as SQLite keeps integers."""
    return word - (1 << 64) if word >> 63 else word


def unsigned(value: int) -> int:
    return value & 0xFFFFFFFFFFFFFFFF
