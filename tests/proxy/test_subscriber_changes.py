"""What subscribers change is in the store before it is acknowledged, and in the tables again when these are lost."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine._subscriber_lists import ListEntry
from engine.subscriber_file import texts_of
from engine.subscribers import Subscribers
from engine.tables import Tables
from proxy.cli import main
from proxy.control.store import FILE_NAME, Store
from proxy.control.store_recovery import faults_of, open_or_recover
from proxy.control.store_schema import APPLICATION_ID, MIGRATIONS
from proxy.control.store_thread import StoreThread
from proxy.control.subscriber_replay import replay_subscribers
from proxy.control.subscriber_store import OwnEntry, Wishes
from proxy.logs import open_log

CALLEE, OTHER, CALLER = "+8613800138000", "+8613800138001", "CN:95071666"
NOW_US = 1_795_000_000_000_000
LOG = open_log("test")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "callsieve.toml"
    path.write_text('[node]\nstate_dir = "state"\n[capacity]\nreputation = 1024\nrate_limiter = 1024\npairs = 1024\n')
    return path


def run(config: Path, *arguments: str) -> int:
    return main(["--config", str(config), "subscriber", *arguments])


def small_tables(directory: Path) -> Tables:
    return Tables.open(directory, reputation=1024, rate_limiter=1024, half_life_days=14, pairs=1024)


def replayed(store: Path, directory: Path) -> int:
    thread = StoreThread(lambda: Store(store), LOG)
    try:
        return asyncio.run(replay_subscribers(thread, directory, LOG))
    finally:
        thread.close()


def test_what_was_set_and_agreed_to_outlives_the_tables(config: Path, tmp_path: Path) -> None:
    run(config, "set", CALLEE, "--refuse", "resale do-not-call", "--consent", CALLER, "--deny", "+86170*")
    run(config, "set", OTHER, "--refuse", "fraud")
    run(config, "set", OTHER, "--refuse", "")
    state = tmp_path / "state"
    shutil.rmtree(state / "tables")
    tables = small_tables(state / "tables")
    assert replayed(state / FILE_NAME, state / "tables") == 1
    subscribers = Subscribers(tables)
    assert texts_of(subscribers.get(CALLEE))[0] == "resale do-not-call"
    assert subscribers.entry(CALLEE, CALLER, NOW_US).consent
    assert subscribers.entry(CALLEE, "+86170*", NOW_US).deny
    assert texts_of(subscribers.get(OTHER))[0] == ""
    assert replayed(state / FILE_NAME, state / "tables") == 0


def test_a_file_read_later_stands_and_own_entries_stay(config: Path, tmp_path: Path) -> None:
    run(config, "set", CALLEE, "--refuse", "resale", "--consent", CALLER)
    (tmp_path / "wishes.csv").write_text(f"number,refuse,quiet,bursts\n{CALLEE},fraud,,\n")
    assert run(config, "import", "--replace", str(tmp_path / "wishes.csv")) == 0
    state = tmp_path / "state"
    subscribers = Subscribers(Tables.attach(state / "tables"))
    assert subscribers.entry(CALLEE, CALLER, NOW_US).consent
    replayed(state / FILE_NAME, state / "tables")
    assert texts_of(subscribers.get(CALLEE))[0] == "fraud"


def test_what_cannot_be_kept_is_not_put_into_force(config: Path, tmp_path: Path) -> None:
    run(config, "set", CALLEE, "--refuse", "resale")
    store = tmp_path / "state" / FILE_NAME
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID | 99}")
        connection.commit()
    assert run(config, "set", CALLEE, "--refuse", "fraud") != 0
    subscribers = Subscribers(Tables.attach(tmp_path / "state" / "tables"))
    assert texts_of(subscribers.get(CALLEE))[0] == "resale"


def test_the_later_change_stands_and_a_damaged_row_is_found(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with closing(Store(path)) as store:
        with store.batch():
            store.subscribers.put([Wishes(CALLEE, 2, "resale", "", "")], [OwnEntry(CALLEE, CALLER, 2, allow=True)])
            store.subscribers.put([Wishes(CALLEE, 1, "fraud", "", "")], [OwnEntry(CALLEE, CALLER, 1, deny=True)])
        assert [one.refuse for one in store.subscribers.wishes()] == ["resale"]
        assert [one.entry for one in store.subscribers.entries()] == [ListEntry(allow=True)]
    assert faults_of(path) == []
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE subscriber SET refuse = 'fraud'")
        connection.commit()
    assert faults_of(path) == ["1 rows are not as they were written"]
    with closing(open_or_recover(path, LOG)) as store:
        assert list(store.subscribers.wishes()) == []
        assert len(list(store.subscribers.entries())) == 1


def test_a_store_of_the_version_before_is_brought_along(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with closing(sqlite3.connect(path)) as old:
        old.executescript("".join(MIGRATIONS[:-1]) + f"PRAGMA user_version = {len(MIGRATIONS) - 1};")
    with closing(Store(path)) as store:
        assert store.migrated == 1
        with store.batch():
            store.subscribers.put([Wishes(CALLEE, 1, "resale", "", "")], [])
    assert faults_of(path) == []
