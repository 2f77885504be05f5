"""SubscriberTable: preferences against a plain dict, nobody lost at high load, bulk build, what a crash leaves."""

from __future__ import annotations

import random
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._subscribers import Preferences, SubscriberTable
from engine._table import TableError
from engine.decision import Category
from tests.oracles import QuietHoursOracle, SubscriberOracle

CALLEE = 1 << 60 | 18613800138000
REGION = 1 << 17
BOOT_MARK = 320

half_hours = st.integers(0, 47)
preferences = st.builds(
    Preferences,
    refused_categories=st.integers(0, 0xFFFF),
    refused_segments=st.integers(0, 0xFFFF),
    do_not_call=st.booleans(),
    high_frequency=st.none() | st.integers(0, 3),
    own_lists=st.booleans(),
    own_prefix_lengths=st.integers(0, (1 << 14) - 1).map(lambda bits: bits << 1),
    quiet=st.none() | st.tuples(half_hours, half_hours),
)
rows = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=120)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "subscribers.tbl"


def columns(rows: list[tuple[int, int]]) -> tuple[array[int], array[int]]:
    return array("Q", (CALLEE + callee for callee, _ in rows)), array("Q", (word for _, word in rows))


def strangers(count: int) -> array[int]:
    """So many callees, no two alike, in no order."""
    return array("Q", (CALLEE + offset for offset in random.Random(1).sample(range(10**9), count)))


@given(preferences)
def test_preferences_survive_packing(wanted: Preferences) -> None:
    assert Preferences.unpack(wanted.pack()) == wanted


def test_no_preferences_are_no_word() -> None:
    assert Preferences().pack() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"refused_categories": 1 << 16},
        {"refused_segments": -1},
        {"high_frequency": 4},
        {"own_prefix_lengths": 1 << 15},
        {"quiet": (0, 48)},
        {"quiet": (-1, 2)},
    ],
)
def test_what_has_no_place_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Preferences(**wrong).pack()  # type: ignore[arg-type]


@given(st.tuples(half_hours, half_hours))
def test_quiet_hours(quiet: tuple[int, int]) -> None:
    wanted = Preferences(quiet=quiet)
    assert {half_hour for half_hour in range(48) if wanted.is_quiet(half_hour)} == QuietHoursOracle(quiet).half_hours()


def test_without_quiet_hours_no_half_hour_is_quiet() -> None:
    assert not any(Preferences(do_not_call=True).is_quiet(half_hour) for half_hour in range(48))


def test_refused_categories() -> None:
    wanted = Preferences(refused_categories=1 << Category.LOAN | 1 << Category.DEBT)
    assert [category for category in Category if wanted.refuses(category)] == [Category.LOAN, Category.DEBT]


@given(rows)
def test_agrees_with_the_oracle(rows: list[tuple[int, int]]) -> None:
    oracle = SubscriberOracle()
    with tempfile.TemporaryDirectory() as directory:
        subscribers = SubscriberTable(Path(directory, "subscribers.tbl"), 256)
        for callee, word in rows:
            assert subscribers.set(CALLEE + callee, word)
            oracle.set(callee, word)
        assert [subscribers.read(CALLEE + callee) for callee in range(41)] == [oracle.read(c) for c in range(41)]
        assert len(subscribers.table) == len(oracle.words)


@given(rows, st.integers(1, 50))
def test_a_build_agrees_with_the_oracle(rows: list[tuple[int, int]], chunk: int) -> None:
    oracle = SubscriberOracle()
    for callee, word in rows:
        oracle.set(callee, word)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "subscribers.tbl")
        chunks = (columns(rows[start : start + chunk]) for start in range(0, len(rows), chunk))
        assert SubscriberTable.build(path, 256, chunks, len(rows)) == len(oracle.words)
        subscribers = SubscriberTable(path, 256)
        assert not subscribers.table.fresh
        read = subscribers.read_many(array("Q", range(CALLEE, CALLEE + 41)))
        assert list(read) == [oracle.read(callee) for callee in range(41)]


@pytest.mark.parametrize("regions", [1, 3])
def test_85_percent_are_held_without_loss(path: Path, regions: int) -> None:
    callees = strangers(REGION * regions * 85 // 100)
    subscribers = SubscriberTable(path, REGION * regions)
    assert subscribers.set_many(callees, callees) == array("Q")
    assert subscribers.read_many(callees) == callees
    assert subscribers.table.evictions == subscribers.table.lost == 0


def test_a_build_holds_85_percent_and_says_how_far_it_is(path: Path) -> None:
    callees = strangers(REGION * 3 * 85 // 100)
    told: list[tuple[int, int]] = []

    def chunks() -> Iterator[tuple[array[int], array[int]]]:
        for start in range(0, len(callees), 50_000):
            yield callees[start : start + 50_000], callees[start : start + 50_000]

    kept = SubscriberTable.build(
        path, REGION * 3, chunks(), len(callees), lambda done, total: told.append((done, total))
    )
    assert kept == len(callees)
    assert SubscriberTable.attach(path).read_many(callees) == callees
    assert told == sorted(told)
    assert told[-1] == (2 * len(callees), 2 * len(callees))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_build_takes_any_number_of_rows_of_few_subscribers(path: Path) -> None:
    callees = strangers(100)
    chunks = ((callees, array("Q", [turn] * 100)) for turn in range(1, 40))
    assert SubscriberTable.build(path, 256, chunks) == 100
    assert set(SubscriberTable.attach(path).read_many(callees)) == {39}


def test_a_full_table_refuses_and_keeps_everybody(path: Path) -> None:
    callees = strangers(1000)
    subscribers = SubscriberTable(path, 256)
    refused = set(subscribers.set_many(callees, callees))
    assert 1000 - 256 <= len(refused) < 1000 - 256 * 9 // 10
    assert all(subscribers.read(callee) == (0 if callee in refused else callee) for callee in callees)
    one = refused.pop()
    assert not subscribers.set(one, 1)
    held = next(callee for callee in callees if subscribers.read(callee))
    assert subscribers.set(held, 7)
    assert subscribers.read(held) == 7
    assert subscribers.table.evictions == 0


def test_a_build_that_does_not_fit_leaves_the_old_table(path: Path) -> None:
    SubscriberTable(path, 256).set(CALLEE, 5)
    callees = strangers(1000)
    with pytest.raises(TableError, match="room"):
        SubscriberTable.build(path, 256, [(callees, callees)])
    assert SubscriberTable.attach(path).read(CALLEE) == 5
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_an_interrupted_build_leaves_the_old_table(path: Path) -> None:
    SubscriberTable(path, 256).set(CALLEE, 5)

    def broken() -> Iterator[tuple[array[int], array[int]]]:
        yield columns([(1, 1)])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SubscriberTable.build(path, 256, broken())
    assert SubscriberTable.attach(path).read(CALLEE) == 5


def test_what_is_no_callee_is_refused(path: Path) -> None:
    subscribers = SubscriberTable(path, 256)
    assert subscribers.read(0) == 0
    for wrong in (0, 1 << 59 | CALLEE):
        with pytest.raises(ValueError, match="no number"):
            subscribers.set(wrong, 1)
        with pytest.raises(ValueError, match="no number"):
            subscribers.set_many(array("Q", [wrong]), array("Q", [1]))
    with pytest.raises(ValueError, match="2 callees, 1 words"):
        subscribers.set_many(array("Q", [1, 2]), array("Q", [1]))


def boot_mark(path: Path) -> bytes:
    return path.read_bytes()[BOOT_MARK : BOOT_MARK + 16]


def write_boot_mark(path: Path, mark: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(BOOT_MARK)
        file.write(mark)


def test_changes_are_marked_until_they_are_on_the_disk(path: Path) -> None:
    subscribers = SubscriberTable(path, 256)
    assert boot_mark(path) == bytes(16)
    subscribers.set(CALLEE, 5)
    assert boot_mark(path) != bytes(16)
    subscribers.flush()
    assert boot_mark(path) == bytes(16)


def test_a_process_that_died_costs_nothing(path: Path) -> None:
    SubscriberTable(path, 256).set(CALLEE, 5)
    again = SubscriberTable(path, 256)
    assert (again.table.fresh, again.read(CALLEE)) == (False, 5)


def test_a_machine_that_went_down_costs_a_rebuild(path: Path) -> None:
    SubscriberTable(path, 256).set(CALLEE, 5)
    write_boot_mark(path, b"the other boot..")
    with pytest.raises(TableError, match="went down"):
        SubscriberTable.attach(path)
    again = SubscriberTable(path, 256)
    assert again.table.fresh
    assert "went down" in again.table.reason
    assert again.read(CALLEE) == 0
