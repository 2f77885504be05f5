"""Tables under pressure: many writers at once, and far more callers than room.

Each hammer runs as processes, as on a node, and as threads of one process on one mapping, so that a thread sanitizer
sees it (`make tsan`). What is hammered are the native loops, which hold no interpreter lock.
"""

from __future__ import annotations

import mmap
import multiprocessing
import threading
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from engine._pairs import PairMemory
from engine._rate_limiter import RateLimiter
from engine._reputation import ReputationCache
from engine._subscribers import SubscriberTable
from tests.abuse.size import size

NUMBER = 1 << 60 | 18613800138000
NOW_US = 1_795_000_000_000_000
SECOND_US = 1_000_000
HAMMERS = 2

Work = Callable[[int], None]


def as_processes(work: Work) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(index,)) for index in range(HAMMERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(600)
        assert process.exitcode == 0


def as_threads(work: Work) -> None:
    failures: list[BaseException] = []

    def run(index: int) -> None:
        try:
            work(index)
        except BaseException as failure:  # handed to the test
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(HAMMERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
    assert not failures, failures


together = pytest.mark.parametrize("together", [as_processes, as_threads])


# Three keys never fill a bucket of four, so none of them is evicted however their buckets fall.
@together
def test_limits_are_exact_under_two_hammers(tmp_path: Path, together: Callable[[Work], None]) -> None:
    """Each key conforms exactly `burst` times, whoever asks, while strangers come and go in the same buckets."""
    limiter = RateLimiter(tmp_path / "limits.tbl", 256)
    keys, burst = array("Q", range(1, 4)), 500
    admitted = multiprocessing.get_context("fork").Array("Q", HAMMERS)

    def work(index: int) -> None:
        for turn in range(size(burst, 20 * burst)):
            answers = limiter.conforms_many(keys, NOW_US, SECOND_US, SECOND_US * (burst - 1))
            admitted[index] += sum(answers)
            start = 10**6 * (1 + index) + 50 * turn
            limiter.conforms_many(array("Q", range(start, start + 50)), NOW_US - 2 * SECOND_US * (turn % 2), 1, 0)

    together(work)
    assert sum(admitted) == burst * len(keys)
    assert limiter.table.lost == 0


@together
def test_new_keys_that_two_hammers_bring_in_at_once_are_exact(
    tmp_path: Path, together: Callable[[Work], None]
) -> None:
    """Each hour both bring in the same three new keys, into buckets full of what has passed."""
    limiter, burst, hours = RateLimiter(tmp_path / "limits.tbl", 64), 5, size(4_000, 100_000)
    admitted = multiprocessing.get_context("fork").Array("Q", HAMMERS)
    together_at = multiprocessing.get_context("fork").Barrier(HAMMERS)

    def work(index: int) -> None:
        for hour in range(hours):
            together_at.wait(600)
            keys, now_us = array("Q", range(1 + 3 * hour, 4 + 3 * hour)), NOW_US + 3600 * SECOND_US * hour
            for _ in range(burst):
                admitted[index] += sum(limiter.conforms_many(keys, now_us, SECOND_US, SECOND_US * (burst - 1)))

    together(work)
    assert limiter.table.lost == 0
    assert sum(admitted) == 3 * burst * hours


@together
def test_reputation_is_exact_while_records_move(tmp_path: Path, together: Callable[[Work], None]) -> None:
    """Pinned numbers in a table at nine tenths get every complaint, while a crowd makes them move about."""
    cache, turns = ReputationCache(tmp_path / "reputation.tbl", 4096), 100
    worthy = array("Q", range(NUMBER, NUMBER + 2500))
    cache.add_many(worthy, NOW_US, 1000)
    assert all(cache.pin(number, NOW_US) for number in worthy)

    def work(index: int) -> None:
        for turn in range(size(turns, 100 * turns)):
            crowd = range(NUMBER + 10_000 * (1 + index), NUMBER + 10_000 * (1 + index) + 600)
            cache.add_many(array("Q", crowd), NOW_US, 1)
            if turn < turns:
                for number in worthy[::25]:
                    cache.add(number, NOW_US, complaint=True)
            assert all(cache.read_many(worthy, NOW_US))
            for number in crowd:
                cache.forget(number)

    together(work)
    read = [cache.read(number, NOW_US) for number in worthy]
    complaints = [standing.complaints for standing in read if standing]
    assert complaints == [HAMMERS * turns if i % 25 == 0 else 0 for i in range(len(worthy))]
    assert all(standing and standing.points == pytest.approx(1000, rel=0.001) for standing in read)


@together
def test_pairs_are_exact_under_two_hammers(tmp_path: Path, together: Callable[[Work], None]) -> None:
    """Few enough points a pair for their logarithm to hold every one of them."""
    pairs, turns, rounds = PairMemory(tmp_path / "pairs.tbl", 65_536), 200, size(1, 200)
    blocks = array("Q", [NUMBER] * 50)
    callees = [array("Q", range(NUMBER + 50 * turn, NUMBER + 50 * (turn + 1))) for turn in range(rounds)]

    def work(index: int) -> None:
        for some in callees:
            for _ in range(turns):
                pairs.add_many(some, blocks, NOW_US, 10)

    together(work)
    for some in callees:
        assert list(pairs.read_many(some, blocks, NOW_US)) == pytest.approx([HAMMERS * turns * 10] * 50, rel=0.01)


@together
def test_no_reader_misses_a_subscriber_while_others_are_added(
    tmp_path: Path, together: Callable[[Work], None]
) -> None:
    """One writes and makes records move, the other one finds each of the subscribers that were there, every time."""
    subscribers = SubscriberTable(tmp_path / "subscribers.tbl", 8192)
    there = array("Q", range(NUMBER, NUMBER + 6500))
    assert not subscribers.set_many(there, there)

    def work(index: int) -> None:
        for turn in range(size(40, 2000)):
            if index == 0:
                others = array("Q", range(NUMBER + 10_000 * (turn + 1), NUMBER + 10_000 * (turn + 1) + 600))
                assert not subscribers.set_many(others, others)
                subscribers.set_many(others, array("Q", bytes(8 * len(others))))
            else:
                for _ in range(10):
                    assert subscribers.read_many(there) == there

    together(work)
    assert subscribers.read_many(there) == there
    assert len(subscribers.table) == len(there)


@together
def test_no_record_is_torn_while_it_is_replaced(tmp_path: Path, together: Callable[[Work], None]) -> None:
    """Numbers fight for an eighth of the room they need: what is read is of the number asked for, or nothing."""
    cache = ReputationCache(tmp_path / "reputation.tbl", 256)
    crowd = range(NUMBER, NUMBER + 2048)

    def work(index: int) -> None:
        for turn in range(size(10, 1000)):
            for number in crowd[(index + turn) % 2 :: 2]:
                cache.add(number, NOW_US, points=1 + number % 997, category=1 + number % 7)
            for number in crowd:
                standing = cache.read(number, NOW_US)
                assert standing is None or standing.category == 1 + number % 7

    together(work)
    assert cache.table.evictions > 0


@together
def test_no_word_of_a_subscriber_is_torn(tmp_path: Path, together: Callable[[Work], None]) -> None:
    """Both replace the same words, of which no half fits another's."""
    subscribers = SubscriberTable(tmp_path / "subscribers.tbl", 256)
    callees = array("Q", range(NUMBER, NUMBER + 100))
    words = [0x5555_5555_5555_5555, 0x2AAA_AAAA_AAAA_AAAA]

    def work(index: int) -> None:
        mine = array("Q", [words[index]] * len(callees))
        for _ in range(size(2000, 200_000)):
            assert not subscribers.set_many(callees, mine)
            assert set(subscribers.read_many(callees)) <= set(words)

    together(work)
    assert len(subscribers.table) == len(callees)


def plain_memory(path: Path, size: int) -> mmap.mmap:
    """A file in memory as the tables' files are, every page of it touched."""
    with path.open("w+b") as file:
        file.truncate(size)
        memory = mmap.mmap(file.fileno(), size)
    with suppress(OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    for page in range(0, size, mmap.PAGESIZE):
        memory[page] = 1
    return memory


def test_s2_far_more_callers_than_room(tmp_path: Path) -> None:
    """100 M callers through tables of 10 M: nothing grows, no call waits 1 ms for its tables, pins stay.

    Measured in the thread's own time, to which kernel and hypervisor add what is theirs: interrupts, and memory that
    they have taken away. One call in a million is granted to them, ten in the short run. How often they interrupt who
    writes two bytes at random places of files as large as the tables is told beside. The pages are there before, as on
    a node that has run a while.
    """
    records, callers = size(100_000, 10_000_000), size(1_000_000, 100_000_000)
    cache = ReputationCache(tmp_path / "reputation.tbl", records)
    limiter = RateLimiter(tmp_path / "limits.tbl", records)
    pinned = [number for number in range(NUMBER, NUMBER + records // 100) if cache.pin(number, NOW_US)]
    assert len(pinned) == records // 100
    crowd = array("Q", range(NUMBER + 10**8, NUMBER + 10**8 + records))
    cache.add_many(crowd, NOW_US, 10)
    limiter.conforms_many(crowd, NOW_US, SECOND_US, 0)
    places = 16 * records
    first, second = plain_memory(tmp_path / "first", places), plain_memory(tmp_path / "second", places)
    sizes = [entry.stat().st_size for entry in tmp_path.iterdir()]
    pauses = others = 0
    for caller in range(NUMBER + 10**9, NUMBER + 10**9 + callers):
        place = caller * 0x9E3779B97F4A7C15 % places
        begun = time.thread_time_ns()
        limiter.conforms(caller, NOW_US, SECOND_US, 0)
        cache.add(caller, NOW_US, 10)
        done = time.thread_time_ns()
        first[place] = second[places - 1 - place] = 1
        others += time.thread_time_ns() - done > 1_000_000
        pauses += done - begun > 1_000_000
    print(f"S2: {pauses} of {callers} calls above 1 ms, and {others} pairs of bytes in plain memory")
    assert [entry.stat().st_size for entry in tmp_path.iterdir()] == sizes
    assert all((standing := cache.read(number, NOW_US)) and standing.pinned for number in pinned)
    assert cache.table.evictions > 0
    assert cache.table.lost == limiter.table.lost == 0
    assert pauses <= callers * size(10, 1) // 1_000_000
