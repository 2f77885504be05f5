"""RateLimiter: exact against the oracle, exact across processes, and what eviction costs."""

from __future__ import annotations

import multiprocessing
import random
import tempfile
from array import array
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._rate_limiter import RateLimiter
from tests.oracles import RateLimiterOracle

NOW_US = 1_795_000_000_000_000
SECOND_US = 1_000_000

# Steps forward from microseconds to years; small steps back, as between two workers' batches.
steps = st.one_of(st.integers(-500_000, 500_000), st.integers(0, 60 * SECOND_US), st.integers(0, 10**16))
events = st.lists(st.tuples(st.integers(0, 5), steps, st.booleans()), max_size=80)


@pytest.fixture
def limiter(tmp_path: Path) -> RateLimiter:
    return RateLimiter(tmp_path / "limiter.tbl", 1)


@given(events, st.integers(1, 10 * SECOND_US), st.integers(0, 100 * SECOND_US))
@settings(deadline=None)
def test_agrees_with_the_oracle(events: list[tuple[int, int, bool]], increment_us: int, tolerance_us: int) -> None:
    oracle, now_us = RateLimiterOracle(), NOW_US
    with tempfile.TemporaryDirectory() as directory:
        limiter = RateLimiter(Path(directory, "limiter.tbl"), 4096)
        for subject, step, count in events:
            key = subject * 0x9E3779B97F4A7C15 % 2**64 + 1
            now_us += step
            expected = oracle.conforms(key, now_us, increment_us, tolerance_us, count)
            assert limiter.conforms(key, now_us, increment_us, tolerance_us, count) == expected
        assert limiter.table.evictions == 0


def test_a_burst_and_then_the_rate(limiter: RateLimiter) -> None:
    """5 calls in 10 s, all 5 may come at once."""
    increment_us, tolerance_us = 2 * SECOND_US, 8 * SECOND_US
    assert [limiter.conforms(1, NOW_US, increment_us, tolerance_us) for _ in range(7)] == [True] * 5 + [False] * 2
    assert not limiter.conforms(1, NOW_US + increment_us - 1, increment_us, tolerance_us)
    assert limiter.conforms(1, NOW_US + increment_us, increment_us, tolerance_us)
    assert not limiter.conforms(1, NOW_US + increment_us, increment_us, tolerance_us)


def test_asking_does_not_count(limiter: RateLimiter) -> None:
    assert all(limiter.conforms(1, NOW_US, SECOND_US, 0, count=False) for _ in range(3))
    assert len(limiter.table) == 0


def test_a_time_from_another_clock_does_not_block_a_key(limiter: RateLimiter) -> None:
    assert limiter.conforms(1, NOW_US + 86_400 * SECOND_US, SECOND_US, 0)
    assert limiter.conforms(1, NOW_US, SECOND_US, 0)
    assert not limiter.conforms(1, NOW_US, SECOND_US, 0)


def test_many_is_the_same_as_one_by_one(tmp_path: Path) -> None:
    source = random.Random(3)
    keys = [source.randrange(1, 40) for _ in range(3000)]
    one, many = RateLimiter(tmp_path / "one.tbl", 4096), RateLimiter(tmp_path / "many.tbl", 4096)
    expected = [one.conforms(key, NOW_US, SECOND_US, 5 * SECOND_US) for key in keys]
    assert list(many.conforms_many(array("Q", keys), NOW_US, SECOND_US, 5 * SECOND_US)) == expected


def test_limits_survive_a_restart(tmp_path: Path) -> None:
    assert RateLimiter(tmp_path / "limiter.tbl", 256).conforms(7, NOW_US, SECOND_US, 0)
    assert not RateLimiter(tmp_path / "limiter.tbl", 256).conforms(7, NOW_US, SECOND_US, 0)
    assert not RateLimiter.attach(tmp_path / "limiter.tbl").conforms(7, NOW_US, SECOND_US, 0)


def test_under_pressure_the_earliest_times_go_and_are_counted(limiter: RateLimiter) -> None:
    """Ten times as many keys as records: every first event conforms, the largest debts stay."""
    capacity = limiter.table.capacity
    debtors = range(1, 9)
    for key in debtors:
        assert all(limiter.conforms(key, NOW_US, SECOND_US, 100 * SECOND_US) for _ in range(101))
    for key in range(1000, 1000 + 10 * capacity):
        assert limiter.conforms(key, NOW_US, SECOND_US, 100 * SECOND_US)
    assert not any(limiter.conforms(key, NOW_US, SECOND_US, 100 * SECOND_US) for key in debtors)
    assert len(limiter.table) <= capacity
    assert limiter.table.evictions == 10 * capacity + len(debtors) - len(limiter.table)
    assert limiter.table.lost == 0


def test_what_is_kept_stays_among_larger_debts_until_its_time_has_passed(limiter: RateLimiter) -> None:
    """A trunk's limit of two calls a second among a crowd of callers with limits by the hour."""
    capacity, hour_us = limiter.table.capacity, 3600 * SECOND_US
    trunk = 1

    def crowd(first: int, now_us: int) -> None:
        for caller in range(first, first + 10 * capacity):
            assert limiter.conforms(caller, now_us, hour_us, 0)

    assert [limiter.conforms(trunk, NOW_US, SECOND_US // 2, SECOND_US // 2, kept=True) for _ in range(3)] == [1, 1, 0]
    crowd(1_000_000, NOW_US)
    assert not limiter.conforms(trunk, NOW_US, SECOND_US // 2, SECOND_US // 2, kept=True)
    evictions = limiter.table.evictions
    crowd(2_000_000, NOW_US + SECOND_US)
    assert limiter.table.evictions == evictions + 10 * capacity - 1, "its time has passed: no more than a free record"


def test_among_what_is_kept_the_earliest_time_goes(limiter: RateLimiter) -> None:
    capacity = limiter.table.capacity
    assert all(limiter.conforms(1, NOW_US, SECOND_US, 100 * SECOND_US, kept=True) for _ in range(101))
    for key in range(1000, 1000 + 10 * capacity):
        assert limiter.conforms(key, NOW_US, SECOND_US, 100 * SECOND_US, kept=True)
    assert not limiter.conforms(1, NOW_US, SECOND_US, 100 * SECOND_US, kept=True)


def test_times_that_have_passed_make_room_uncounted(limiter: RateLimiter) -> None:
    for round_number in range(10):
        for key in range(1, 400):
            assert limiter.conforms(round_number * 1000 + key, NOW_US + round_number * SECOND_US, SECOND_US, 0)
    within_one_round = limiter.table.evictions
    for key in range(1, 100_000):
        assert limiter.conforms(20_000 + key, NOW_US + (100 + key) * SECOND_US, SECOND_US, 0)
    assert limiter.table.evictions == within_one_round


@pytest.mark.parametrize(
    ("now_us", "increment_us", "tolerance_us"),
    [(-1, 1, 0), (1 << 61, 1, 0), (0, 0, 0), (0, 1 << 59, 0), (0, 1, -1), (0, 1, 1 << 59)],
)
def test_times_out_of_range_are_refused(
    limiter: RateLimiter, now_us: int, increment_us: int, tolerance_us: int
) -> None:
    with pytest.raises(ValueError, match="expected"):
        limiter.conforms(1, now_us, increment_us, tolerance_us)


def hammer(path: Path, keys: array[int], out: multiprocessing.Queue[list[int]], start: object) -> None:
    limiter = RateLimiter.attach(path)
    start.wait()  # type: ignore[attr-defined]
    admitted = limiter.conforms_many(keys, NOW_US, SECOND_US, 999 * SECOND_US)
    out.put([sum(admitted[i] for i in range(len(keys)) if keys[i] == key) for key in range(1, 4)])


def test_processes_together_admit_exactly_the_limit(tmp_path: Path) -> None:
    """Four processes, three keys of a bucket-sized table, 1000 events of each key allowed and many more tried."""
    path = tmp_path / "limiter.tbl"
    limiter = RateLimiter(path, 1)
    source = random.Random(5)
    keys = array("Q", [source.randint(1, 3) for _ in range(20_000)])
    context = multiprocessing.get_context("fork")
    out: multiprocessing.Queue[list[int]] = context.Queue()
    start = context.Event()
    processes = [context.Process(target=hammer, args=(path, keys, out, start)) for _ in range(4)]
    for process in processes:
        process.start()
    start.set()
    answers = [out.get(timeout=20) for _ in processes]
    for process in processes:
        process.join(10)
    assert [sum(column) for column in zip(*answers, strict=True)] == [1000, 1000, 1000]
    assert (limiter.table.evictions, limiter.table.lost, len(limiter.table)) == (0, 0, 3)
