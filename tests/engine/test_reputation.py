"""ReputationCache: the decayed score against floating point, eviction by worth, pins, and many processes at once."""

from __future__ import annotations

import multiprocessing
import tempfile
from array import array
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._rate_limiter import RateLimiter
from engine._reputation import ReputationCache, Standing
from engine._table import TableError
from engine.decision import Category
from tests.oracles import DAY_US, LANDMARK_US, MAX_POINTS, StandingOracle

NOW_US = LANDMARK_US + 325 * DAY_US
NUMBER = 1 << 60 | 18613800138000
STEP = 2 ** (1 / 1024) - 1  # relative error of one rounding, at most half of this

# Seconds to decades forward, and late events from the past.
steps = st.one_of(st.integers(-10 * DAY_US, DAY_US), st.integers(0, 60 * DAY_US), st.integers(0, 20 * 365 * DAY_US))
additions = st.tuples(
    st.integers(0, 5),
    steps,
    st.one_of(st.integers(0, 1000), st.integers(0, 2**32 - 1)),
    st.booleans(),
    st.sampled_from(Category),
)


@pytest.fixture
def cache(tmp_path: Path) -> ReputationCache:
    return ReputationCache(tmp_path / "reputation.tbl", 1)


def assert_agrees(standing: Standing | None, oracle: StandingOracle, now_us: int) -> None:
    if not oracle.events:
        assert standing is None
        return
    assert standing is not None
    expected = oracle.points(now_us)
    assert abs(standing.points - expected) <= 0.5 + expected * STEP * (len(oracle.events) + 2)
    assert (standing.category, standing.complaints) == (oracle.category, oracle.complaints)
    assert standing.pinned == oracle.pinned


@given(st.lists(additions, max_size=40), st.sampled_from([1 / 24, 1.0, 14.0, 125.0]))
@settings(deadline=None)
def test_agrees_with_the_oracle(additions: list[tuple[int, int, int, bool, Category]], half_life_days: float) -> None:
    now_us = NOW_US
    with tempfile.TemporaryDirectory() as directory:
        cache = ReputationCache(Path(directory, "reputation.tbl"), 4096, half_life_days)
        oracles = [StandingOracle(round(half_life_days * DAY_US)) for _ in range(6)]
        for subject, step, points, complaint, category in additions:
            now_us += step
            cache.add(NUMBER + subject, now_us, points, complaint, category)
            oracles[subject].add(now_us, points, complaint, category)
            for i, oracle in enumerate(oracles):
                assert_agrees(cache.read(NUMBER + i, now_us), oracle, now_us)


def test_points_halve_every_half_life(cache: ReputationCache) -> None:
    cache.add(NUMBER, NOW_US, 800)
    later = [cache.read(NUMBER, NOW_US + 14 * DAY_US * n) for n in range(12)]
    assert [standing.points for standing in later if standing] == [800, 400, 200, 100, 50, 25, 12, 6, 3, 2, 1, 0]


@pytest.mark.parametrize("points", [1, 2, 3, 60, 150, 999, 65_537, 999_999])
def test_one_event_is_read_as_it_was_added(cache: ReputationCache, points: int) -> None:
    cache.add(NUMBER, NOW_US, points)
    standing = cache.read(NUMBER, NOW_US)
    assert standing is not None
    assert standing.points == pytest.approx(points, rel=STEP)


def test_many_small_events_do_not_drift(cache: ReputationCache) -> None:
    for _ in range(200):
        cache.add(NUMBER, NOW_US, 60)
    standing = cache.read(NUMBER, NOW_US)
    assert standing is not None
    assert standing.points == pytest.approx(12_000, rel=0.01)


def test_everything_saturates(cache: ReputationCache) -> None:
    for _ in range(300):
        cache.add(NUMBER, NOW_US, 2**32 - 1, complaint=True)
    far = NOW_US + 10**17
    cache.add(NUMBER + 1, far, 500)
    cache.add(NUMBER + 1, 2**62, 500)
    standing, distant = cache.read(NUMBER, NOW_US), cache.read(NUMBER + 1, 2**62)
    assert standing is not None
    assert distant is not None
    assert (standing.points, standing.complaints) == (MAX_POINTS, 255)
    assert distant.updated_us == 65_535 * DAY_US
    assert distant.points >= 499


def test_time_before_the_landmark_is_the_landmark(cache: ReputationCache) -> None:
    cache.add(NUMBER, 0, 100)
    cache.add(NUMBER + 1, -(2**62), 1)
    standing, oldest = cache.read(NUMBER, LANDMARK_US), cache.read(NUMBER + 1, 0)
    assert standing is not None
    assert oldest is not None
    assert (standing.points, standing.updated_us, oldest.points) == (100, 0, 1)


def test_number_0_is_refused(cache: ReputationCache) -> None:
    assert cache.read(0, NOW_US) is None
    for change in (lambda: cache.add(0, NOW_US, 1), lambda: cache.pin(0, NOW_US), lambda: cache.forget(0)):
        with pytest.raises(ValueError, match="no number"):
            change()
    assert len(cache.table) == 0


def test_forgetting(cache: ReputationCache) -> None:
    cache.add(NUMBER, NOW_US, 100)
    assert cache.forget(NUMBER)
    assert not cache.forget(NUMBER)
    assert cache.read(NUMBER, NOW_US) is None


def test_under_pressure_the_least_worth_goes(cache: ReputationCache) -> None:
    """Eight numbers worth more than anything else stay, whatever comes; each record that went is counted."""
    heavy = [NUMBER + i for i in range(8)]
    for number in heavy:
        cache.add(number, NOW_US, 100_000)
    crowd = array("Q", range(NUMBER + 1000, NUMBER + 6000))
    cache.add_many(crowd, NOW_US + 28 * DAY_US, 10)
    assert [round(points, -3) for points in cache.read_many(array("Q", heavy), NOW_US + 28 * DAY_US)] == [25_000] * 8
    assert len(cache.table) <= cache.table.capacity
    assert cache.table.evictions == len(crowd) + len(heavy) - len(cache.table)
    assert cache.table.lost == 0


@pytest.mark.parametrize(("percent", "lost_per_million"), [(50, 0), (73, 50), (80, 300), (90, 5000)])
def test_how_many_go_before_the_table_is_full(tmp_path: Path, percent: int, lost_per_million: int) -> None:
    cache = ReputationCache(tmp_path / "reputation.tbl", 1 << 17)
    numbers = array("Q", range(NUMBER, NUMBER + (1 << 17) * percent // 100))
    cache.add_many(numbers, NOW_US, 60)
    kept = sum(map(bool, cache.read_many(numbers, NOW_US)))
    assert len(numbers) - kept <= lost_per_million * len(numbers) // 1_000_000
    assert len(numbers) - kept == cache.table.evictions


def test_worth_is_compared_after_decay(cache: ReputationCache) -> None:
    """100 points of ten half-lives ago are worth less than 10 of today: the old ones go."""
    old = array("Q", range(NUMBER, NUMBER + 1000))
    new = array("Q", range(NUMBER + 10_000, NUMBER + 10_008))
    cache.add_many(old, NOW_US, 100)
    cache.add_many(new, NOW_US + 140 * DAY_US, 10)
    assert all(cache.read(number, NOW_US) is not None for number in new)
    assert len(cache.table) > 240


def test_pinned_numbers_are_never_evicted(cache: ReputationCache) -> None:
    pinned = [number for number in range(NUMBER, NUMBER + 100) if cache.pin(number, NOW_US)]
    assert len(pinned) > 80  # a bucket that more than four fall into pins four
    cache.add_many(array("Q", range(NUMBER + 1000, NUMBER + 9000)), NOW_US, 1000)
    kept = Standing(0, Category.NONE, 0, True, NOW_US - NOW_US % DAY_US)
    assert all(cache.read(number, NOW_US) == kept for number in pinned)
    assert all(cache.unpin(number, NOW_US) for number in pinned)
    cache.add_many(array("Q", range(NUMBER + 1000, NUMBER + 9000)), NOW_US, 1000)
    assert all(cache.read(number, NOW_US) is None for number in pinned)


def test_a_bucket_of_pinned_numbers_takes_nothing_more(cache: ReputationCache) -> None:
    answers = [cache.pin(number, NOW_US) for number in range(NUMBER, NUMBER + 5000)]
    assert sum(answers) == len(cache.table) == cache.table.capacity
    assert cache.table.lost == 5000 - cache.table.capacity
    assert cache.table.evictions == 0
    refused = NUMBER + answers.index(False)
    cache.add(refused, NOW_US, 1000)
    assert cache.read(refused, NOW_US) is None


def test_unpinning_the_unknown_makes_nothing(cache: ReputationCache) -> None:
    assert not cache.unpin(NUMBER, NOW_US)
    assert len(cache.table) == 0


def test_another_half_life_is_another_table(tmp_path: Path) -> None:
    path = tmp_path / "reputation.tbl"
    ReputationCache(path, 256, 14.0).add(NUMBER, NOW_US, 100)
    assert ReputationCache(path, 256, 14.0).read(NUMBER, NOW_US) is not None
    attached = ReputationCache.attach(path)
    assert (attached.half_life_us, attached.read(NUMBER, NOW_US) is not None) == (14 * DAY_US, True)
    rebuilt = ReputationCache(path, 256, 7.0)
    assert rebuilt.table.fresh
    assert rebuilt.read(NUMBER, NOW_US) is None


@pytest.mark.parametrize("half_life_days", [0.0, -1.0, 0.041, 1e6])
def test_a_half_life_out_of_range_is_refused(tmp_path: Path, half_life_days: float) -> None:
    with pytest.raises(ValueError, match="half_life_days"):
        ReputationCache(tmp_path / "reputation.tbl", 256, half_life_days)


def test_a_rate_limiter_is_no_reputation(tmp_path: Path) -> None:
    RateLimiter(tmp_path / "limiter.tbl", 256)
    with pytest.raises(TableError, match="kind"):
        ReputationCache.attach(tmp_path / "limiter.tbl")


def hammer(path: Path, start: object) -> None:
    """Complaints on two numbers, one point each, while a crowd fights for the same buckets."""
    cache = ReputationCache.attach(path)
    start.wait()  # type: ignore[attr-defined]
    for i in range(50):
        cache.add(NUMBER, NOW_US, 1000, complaint=True, category=7)
        cache.add(NUMBER + 1, NOW_US, 2000, category=8)
        cache.add_many(array("Q", range(NUMBER + 100, NUMBER + 1100)), NOW_US, 3 if i % 2 else 5)


def test_processes_together_lose_nothing_and_tear_nothing(tmp_path: Path) -> None:
    path = tmp_path / "reputation.tbl"
    cache = ReputationCache(path, 1)
    context = multiprocessing.get_context("fork")
    start = context.Event()
    processes = [context.Process(target=hammer, args=(path, start)) for _ in range(4)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join(20)
        assert process.exitcode == 0
    first, second = cache.read(NUMBER, NOW_US), cache.read(NUMBER + 1, NOW_US)
    assert first is not None
    assert second is not None
    assert (first.complaints, first.category, second.complaints, second.category) == (200, 7, 0, 8)
    assert first.points == pytest.approx(200_000, rel=0.02)
    assert second.points == pytest.approx(400_000, rel=0.02)
    assert cache.table.lost == 0
    crowd = [cache.read(number, NOW_US) for number in range(NUMBER + 100, NUMBER + 1100)]
    known = [standing for standing in crowd if standing is not None]
    assert {(standing.category, standing.complaints, standing.pinned) for standing in known} == {(0, 0, False)}
    assert len(known) + 2 == len(cache.table) <= cache.table.capacity
