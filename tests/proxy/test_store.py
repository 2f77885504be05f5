"""The store: what is merged, what is kept, what an older or newer file means, what a disk that refuses costs."""

import asyncio
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.decisions import Act, Decision, Kind
from proxy.control.hybrid_clock import HybridClock, stamp_of
from proxy.control.node_state import EPOCH_ZERO_S
from proxy.control.store import Store
from proxy.control.store_schema import MIGRATIONS, StoreFault
from proxy.control.store_thread import StoreThread, StoreUnavailable
from proxy.logs import open_log

LOG = open_log("test")
NUMBER = 1 << 60 | 18613800138000
CALLER_HASH = 8 << 60 | 12345  # the top bit is set


def decision(**changes: object) -> Decision:
    values = {"ns": "operator", "kind": Kind.EXACT, "key": NUMBER, "act": Act.BLOCK, "prio": 2, "hlc": 1000}
    return Decision(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store.db")
    yield opened
    opened.close()


# Decisions


def test_what_was_merged_is_there_after_opening_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    ordered = decision(reason="robot calls", owner="li", from_s=5, until_s=7, key=CALLER_HASH, signer=9)
    with store.batch():
        assert store.decisions.merge([ordered]) == [ordered]
    store.close()
    again = Store(tmp_path / "store.db")
    assert list(again.decisions.all()) == [ordered]
    again.close()


@pytest.mark.parametrize(
    "higher", [{"prio": 3, "hlc": 1}, {"hlc": 1001}, {"signer": 1}, {"hlc": 1001, "tomb": True}]
)
def test_the_higher_rank_stands_in_either_order(store: Store, higher: dict[str, object]) -> None:
    for first, second in ((decision(), decision(**higher)), (decision(**higher), decision())):
        with store.batch():
            store.decisions.merge([first, second])
        assert store.decisions.get("operator", Kind.EXACT, NUMBER) == decision(**higher)
    assert {won for won, _ in store.decisions.trail(10)} == {True, False}


ranks = st.tuples(st.integers(1, 3), st.integers(0, 5), st.integers(0, 2))
some = st.builds(
    lambda rank, ns, key, tomb: decision(ns=ns, key=key, prio=rank[0], hlc=rank[1], signer=rank[2], tomb=tomb),
    ranks,
    st.sampled_from(["operator", "regulator"]),
    st.integers(1, 2),
    # Two different decisions of one rank cannot be: a signer stamps each of its own anew.
    st.just(False),
)


@given(st.lists(some, max_size=12), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(tmp_path_factory: pytest.TempPathFactory, orders, random) -> None:
    folder = tmp_path_factory.mktemp("merge")
    shuffled = [*orders, *orders[: len(orders) // 2]]
    random.shuffle(shuffled)
    ends = []
    for name, sequence in (("a", orders), ("b", shuffled)):
        store = Store(folder / name)
        with store.batch():
            store.decisions.merge(sequence)
        ends.append(sorted((one.identity, one.rank) for one in store.decisions.all()))
        store.close()
    assert ends[0] == ends[1]


def test_effective_ones_come_highest_first_and_withdrawn_ones_not_at_all(store: Store) -> None:
    of_regulator = decision(ns="regulator", prio=3, act=Act.ALLOW)
    with store.batch():
        store.decisions.merge([decision(), of_regulator, decision(ns="tenant", prio=1, tomb=True)])
    assert store.decisions.effective(Kind.EXACT, NUMBER) == [of_regulator, decision()]


def test_since_gives_withdrawn_ones_too_oldest_first(store: Store) -> None:
    orders = [decision(key=key, hlc=hlc, tomb=hlc == 3) for key, hlc in ((1, 4), (2, 3), (3, 2))]
    with store.batch():
        store.decisions.merge(orders)
    assert [one.hlc for one in store.decisions.since(2)] == [3, 4]
    assert [one.hlc for one in store.decisions.since(0, limit=2)] == [2, 3]


def test_forgotten_tombstones_leave_younger_ones(store: Store) -> None:
    with store.batch():
        store.decisions.merge([decision(key=1, hlc=1, tomb=True), decision(key=2, hlc=9, tomb=True), decision(hlc=1)])
        assert store.decisions.forget_tombstones(5) == 1
    assert sorted(one.hlc for one in store.decisions.all()) == [1, 9]


def test_what_begins_or_ends_in_a_span(store: Store) -> None:
    spans = {1: (10, 20), 2: (0, 15), 3: (15, 0), 4: (0, 0), 5: (16, 30)}
    with store.batch():
        store.decisions.merge(decision(key=key, from_s=begin, until_s=end) for key, (begin, end) in spans.items())
    assert sorted(one.key for one in store.decisions.turning(10, 15)) == [2, 3]


# Evidence, complainants, the node


def test_slots_only_grow(store: Store) -> None:
    with store.batch():
        store.evidence.save([(CALLER_HASH, 1, 2, 0, 6, 100), (NUMBER, 2, 2, 0, 6, 7)])
        store.evidence.save([(CALLER_HASH, 1, 2, 0, 6, 90), (NUMBER, 2, 2, 0, 6, 8)])
    assert sorted(store.evidence.load()) == [(NUMBER, 2, 2, 0, 6, 8), (CALLER_HASH, 1, 2, 0, 6, 100)]
    assert list(store.evidence.load(2)) == [(NUMBER, 2, 2, 0, 6, 8)]
    with store.batch():
        assert store.evidence.forget_origin(1) == 1
        assert store.evidence.forget([NUMBER]) == 1
    assert list(store.evidence.load()) == []


def test_a_generation_voids_the_evidence_before_it(store: Store) -> None:
    with store.batch():
        store.evidence.save([(NUMBER, 1, 1, 0, 6, 5), (NUMBER, 1, 1, 3, 6, 5)])
        store.evidence.set_generation(NUMBER, 3)
        store.evidence.set_generation(NUMBER, 2)
    assert list(store.evidence.generations()) == [(NUMBER, 3)]
    assert [slot[3] for slot in store.evidence.load()] == [3]


def test_complainants_are_the_smallest_sixteen(store: Store) -> None:
    with store.batch():
        store.complainants.merge(NUMBER, 0, 300, range(100, 120))
        kept = store.complainants.merge(NUMBER, 0, 300, [2**64 - 1, 5, 101])
    assert kept == [5, *range(100, 115)]
    assert list(store.complainants.load()) == [(NUMBER, 0, 300, kept)]
    with store.batch():
        assert store.complainants.forget_days(301) == 1


def test_an_epoch_is_never_used_twice(store: Store) -> None:
    with store.batch():
        first = store.node.next_epoch(0, EPOCH_ZERO_S + 50)
        second = store.node.next_epoch(0, EPOCH_ZERO_S)
        third = store.node.next_epoch(900, EPOCH_ZERO_S)
    assert (first, second, third) == (50, 51, 901)


def test_trust_goes_forward_only(store: Store) -> None:
    with store.batch():
        assert store.node.trust() is None
        assert store.node.save_trust(2, b"two")
        assert not store.node.save_trust(2, b"other")
    assert store.node.trust() == (2, b"two")


def test_stamps_grow_over_restarts_and_clocks_that_go_back() -> None:
    clock = HybridClock(0)
    stamps = [clock.tick(now_ms) for now_ms in (1000, 1000, 400, 1001)]
    assert stamps == sorted(set(stamps))
    assert clock.mark > stamps[-1]
    restarted = HybridClock(clock.mark)
    assert restarted.tick(0) > stamps[-1]


def test_a_stamp_from_far_ahead_is_refused() -> None:
    clock = HybridClock(0)
    clock.observe(stamp_of(15_000), 10_000)
    assert clock.tick(10_000) > stamp_of(15_000)
    with pytest.raises(ValueError, match="ahead"):
        clock.observe(stamp_of(15_001), 10_000)


# Versions of the file


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_an_old_file_is_brought_to_this_version(tmp_path: Path, version: int) -> None:
    path = tmp_path / "store.db"
    old = sqlite3.connect(path)
    old.executescript("".join(MIGRATIONS[:version]) + f"PRAGMA user_version = {version};")
    old.close()
    written = Store(path)
    assert written.migrated == len(MIGRATIONS) - version
    with written.batch():
        written.decisions.merge([decision()])
    written.close()
    again = Store(path)
    assert again.migrated == 0
    assert list(again.decisions.all()) == [decision()]
    again.close()


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    newer.close()
    with pytest.raises(StoreFault, match="install the newer one"):
        Store(path)


def test_a_file_that_is_no_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"no database " * 100)
    with pytest.raises(StoreFault, match=r"store\.db cannot be opened: file is not a database"):
        Store(path)


# The thread


@contextmanager
def running(store: Store) -> Iterator[StoreThread]:
    thread = StoreThread(lambda: store, LOG)
    try:
        yield thread
    finally:
        thread.close()


def test_many_share_a_transaction_and_one_that_fails_spares_the_others(tmp_path: Path) -> None:
    def fail(_: Store) -> None:
        raise LookupError("mine alone")

    async def play(thread: StoreThread) -> list[object]:
        orders = [
            thread.do(lambda store, key=key: store.decisions.merge([decision(key=key)])) for key in range(1, 101)
        ]
        return await asyncio.gather(*orders, thread.do(fail), return_exceptions=True)

    with running(Store(tmp_path / "store.db")) as thread:
        *merged, failed = asyncio.run(play(thread))
        assert thread.batches < 101
    assert all(isinstance(won, list) and len(won) == 1 for won in merged)
    assert isinstance(failed, LookupError)
    again = Store(tmp_path / "store.db")
    assert len(again.decisions) == 100
    again.close()


def test_what_is_half_done_when_it_fails_is_undone(tmp_path: Path) -> None:
    def half(store: Store) -> None:
        store.decisions.merge([decision()])
        raise LookupError

    with running(Store(tmp_path / "store.db")) as thread:
        with pytest.raises(LookupError):
            asyncio.run(thread.do(half))
        assert asyncio.run(thread.do(lambda store: len(store.decisions))) == 0


def test_d3_a_full_disk_refuses_in_words_and_is_written_again_when_there_is_room(tmp_path: Path) -> None:
    """SQLite's own limit on pages stands for the disk: the same error, at the same places."""
    store = Store(tmp_path / "store.db")
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    many = [decision(key=key, reason="x" * 60) for key in range(1, 2000)]
    with running(store) as thread:
        with pytest.raises(StoreUnavailable, match="cannot be written: database or disk is full") as refused:
            asyncio.run(thread.do(lambda store: store.decisions.merge(many)))
        assert refused.value.full
        assert thread.failing
        assert asyncio.run(thread.do(lambda store: len(store.decisions))) == 0
        asyncio.run(thread.do(lambda store: store._connection.execute("PRAGMA max_page_count = 100000") and None))
        assert len(asyncio.run(thread.do(lambda store: store.decisions.merge(many)))) == len(many)
        assert not thread.failing


def test_d3_a_store_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    place = tmp_path / "later"
    thread = StoreThread(lambda: Store(place / "store.db"), LOG)
    with pytest.raises(StoreUnavailable, match=r"store\.db cannot be opened: unable to open"):
        asyncio.run(thread.do(lambda store: len(store.decisions)))
    place.mkdir()
    assert asyncio.run(thread.do(lambda store: len(store.decisions))) == 0
    thread.close()


def test_d3_writes_that_the_system_refuses_are_refused_in_words(tmp_path: Path) -> None:
    """A limit on file size: every write of this process fails, as on a disk that is read-only."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with running(Store(tmp_path / "store.db")) as thread:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            with pytest.raises(StoreUnavailable, match="cannot be written"):
                asyncio.run(thread.do(lambda store: store.decisions.merge([decision()])))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert len(asyncio.run(thread.do(lambda store: store.decisions.merge([decision()])))) == 1
