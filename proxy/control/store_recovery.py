"""A store that is checked, copied, and put together again from what is left of it.

Everything in a store merges or is known by its own words, so what a damaged file still holds can be joined with the
last good copy: nothing that either has whole is lost, and a row that is not as it was written is in neither.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import time
from contextlib import closing, suppress
from pathlib import Path

from proxy.control.store import Store
from proxy.control.store_schema import APPLICATION_ID, StoreFault
from proxy.logs import Log

_COPY_PAGES = 256  # copied before writers have their turn
_COMPANIONS = ("-wal", "-shm")
_MAGIC = b"SQLite format 3\0"
_HEADER = struct.Struct(">16s2xBB40xi4xi28x")  # magic, write and read version, user_version, application_id


def last_good(path: Path) -> Path:
    """Where the copy is that control makes now and then."""
    return path.with_name(f"{path.name}.last-good")


def open_or_recover(path: Path, log: Log) -> Store:
    """The store at `path`; if it is damaged, one put together from it and the last good copy. StoreFault, OSError."""
    why = _damage(path)
    if why is None:
        return Store(path)
    log.error("the store is damaged, what is whole of it and of the last good copy is kept", file=str(path), why=why)
    damaged = path.with_name(f"{path.name}.damaged-{int(time.time())}")
    partial = path.with_name(f".{path.name}.partial")
    _remove(partial)
    _join(partial, [source for source in (last_good(path), path) if source.exists()])
    if path.exists():
        _move(path, damaged)
    _move(partial, path)
    log.warning("the store is in use again", damaged=str(damaged))
    return Store(path)


def faults_of(path: Path) -> list[str]:
    """Everything that is wrong with a store, in words. StoreFault if it cannot be opened at all."""
    with closing(Store.read_only(path)) as store:
        try:
            faults = store.integrity()
            for table in store.tables:
                table.verify()
        except sqlite3.DatabaseError as why:
            return [f"cannot be read to its end: {why}"]
        if store.faulty:
            faults.append(f"{store.faulty} rows are not as they were written")
        return faults


def backup(path: Path, to: Path) -> None:
    """Copies a store while it is in use; `to` appears whole or not at all. StoreFault, OSError."""
    partial = to.with_name(f".{to.name}.partial")
    _remove(partial)
    try:
        with closing(Store.read_only(path)) as store, closing(sqlite3.connect(partial)) as copy:
            store.copy_to(copy, _COPY_PAGES)
        _sync(partial)
        os.replace(partial, to)
        _sync(to.parent)
    except sqlite3.Error as why:
        raise StoreFault(f"{path} cannot be copied to {to}: {why}") from None
    finally:
        _remove(partial)


def restore(copy: Path, path: Path) -> Path | None:
    """Puts a copy in the place of a store that nobody uses; where the old one is now. StoreFault for a faulty copy."""
    faults = faults_of(copy)
    if faults:
        raise StoreFault(f"{copy}: {'; '.join(faults)}")
    old = None
    if path.exists():
        old = path.with_name(f"{path.name}.before-{int(time.time())}")
        _move(path, old)
    backup(copy, path)
    return old


def _damage(path: Path) -> str | None:
    """What is wrong with the file; None for one that is whole, or that only we may not read."""
    if not path.exists() or path.stat().st_size == 0:
        return "it is gone" if last_good(path).exists() else None
    why = _header_fault(path)
    if why is not None:
        return why
    try:
        return "; ".join(faults_of(path)) or None
    except StoreFault as fault:
        return str(fault) if _finds_fault(path) else None


def _header_fault(path: Path) -> str | None:
    """Of what SQLite believes without asking (its file format, section 1.3)."""
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return "its header is cut off"
    magic, writes, reads, version, application = _HEADER.unpack(header)
    if magic != _MAGIC or not 1 <= writes <= 2 or not 1 <= reads <= 2:
        return "its header is none of SQLite's"
    if application != (APPLICATION_ID | version if version else 0):
        return f"its header says version {version} and {application:#x}"
    return None


def _finds_fault(path: Path) -> bool:
    """Whether SQLite finds fault with what is written, not with the permission or the version."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError:
        return False
    except sqlite3.DatabaseError:
        return True
    return False


def _join(path: Path, sources: list[Path]) -> None:
    """A new store of all that is whole in the sources. Of two words on the same that of the later source stays."""
    with closing(Store(path)) as joined:
        for source in sources:
            with suppress(StoreFault), closing(Store.read_only(source)) as store, joined.batch():
                for mine, other in zip(joined.tables, store.tables, strict=True):
                    mine.join(other)


def _move(path: Path, to: Path) -> None:
    """With what SQLite keeps beside it, first: a journal without its store harms nobody."""
    for companion in _COMPANIONS:
        with suppress(FileNotFoundError):
            os.replace(f"{path}{companion}", f"{to}{companion}")
    os.replace(path, to)
    _sync(to.parent)


def _remove(path: Path) -> None:
    for name in ("", *_COMPANIONS):
        Path(f"{path}{name}").unlink(missing_ok=True)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
