"""SubscriberLists: own entries and consent against a plain version, days, and no room."""

from __future__ import annotations

import tempfile
from array import array
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._subscriber_lists import ListEntry, SubscriberLists
from tests.oracles import DAY_US, OwnListOracle

CALLEE = 1 << 60 | 18613800138000
CALLER = 1 << 60 | 18613900139000
BLOCK = 2 << 60 | 186139
TODAY = 20_780
NOW_US = TODAY * DAY_US + DAY_US // 2

days = st.just(0) | st.integers(TODAY - 2, TODAY + 2)
entries = st.builds(
    ListEntry,
    allow=st.booleans(),
    deny=st.booleans(),
    last_day=days,
    consent=st.booleans(),
    consent_categories=st.integers(0, 0xFFFF),
    consent_last_day=days,
)
settings = st.tuples(st.integers(0, 3), st.integers(0, 3), entries)


@pytest.fixture
def lists(tmp_path: Path) -> SubscriberLists:
    return SubscriberLists(tmp_path / "subscriber_lists.tbl", 256)


@given(st.lists(settings, max_size=30))
def test_agrees_with_the_oracle(settings: list[tuple[int, int, ListEntry]]) -> None:
    oracles = {(callee, caller): OwnListOracle() for callee in range(4) for caller in range(4)}
    with tempfile.TemporaryDirectory() as directory:
        lists = SubscriberLists(Path(directory, "lists.tbl"), 256)
        for callee, caller, entry in settings:
            assert lists.set(CALLEE + callee, CALLER + caller, entry)
            oracles[callee, caller] = OwnListOracle(
                entry.allow, entry.deny, entry.consent, entry.consent_categories, entry.last_day, entry.consent_last_day
            )
        for (callee, caller), oracle in oracles.items():
            read = lists.read(CALLEE + callee, CALLER + caller, NOW_US)
            assert (read.allow, read.deny, read.consent, read.consent_categories) == oracle.in_force(NOW_US)


def test_an_empty_entry_takes_the_record_away(lists: SubscriberLists) -> None:
    lists.set(CALLEE, CALLER, ListEntry(deny=True))
    lists.set(CALLEE, CALLER, ListEntry())
    assert len(lists.table) == 0


def test_a_block_and_a_number_are_two_entries(lists: SubscriberLists) -> None:
    lists.set(CALLEE, BLOCK, ListEntry(deny=True))
    lists.set(CALLEE, CALLER, ListEntry(allow=True))
    assert lists.read(CALLEE, BLOCK, NOW_US) == ListEntry(deny=True)
    assert lists.read(CALLEE, CALLER, NOW_US) == ListEntry(allow=True)
    assert lists.read(CALLER, CALLEE, NOW_US) == ListEntry()


def test_many_at_once_and_no_room(lists: SubscriberLists) -> None:
    callees = array("Q", range(CALLEE, CALLEE + 1000))
    callers = array("Q", [CALLER] * 1000)
    refused = lists.set_many(callees, callers, ListEntry(consent=True, consent_categories=6))
    held = [lists.read(callee, CALLER, NOW_US) for callee in callees]
    assert 744 <= refused == held.count(ListEntry())
    assert set(held) == {ListEntry(), ListEntry(consent=True, consent_categories=6)}


def test_wrong_entries_are_refused(lists: SubscriberLists) -> None:
    for wrong in ({"last_day": 1 << 16}, {"consent_categories": -1}, {"consent_last_day": 1 << 16}):
        with pytest.raises(ValueError, match="16 bits"):
            replace(ListEntry(deny=True), **wrong).pack()  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no number"):
        lists.set(CALLEE, 0, ListEntry(deny=True))
    with pytest.raises(ValueError, match="1 callees, 2 callers"):
        lists.set_many(array("Q", [1]), array("Q", [1, 2]), ListEntry(deny=True))
    lists.flush()
    assert len(lists.table) == 0
