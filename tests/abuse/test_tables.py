"""Tables under pressure: many writers at once, and far more callers than room.

Each hammer runs as processes, as on a node, and as threads of one process on one mapping, so that a thread sanitizer
sees it (`make tsan`). What is hammered are the native loops, which hold no interpreter lock.
"""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import tempfile
import threading
import time
from array import array
from collections.abc import Callable, Iterator
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


def as_processes(work: Work, timeout_s: float = 600) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(index,)) for index in range(HAMMERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout_s)
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


class Slow:
    """What one process saw: which calls took more than 1 ms of its thread's time, and when pages were missing."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("fork")
        self.count = context.Value("Q", 0)
        self.calls = context.Array("Q", 100_000)
        self.missing = context.Array("B", 100_000)
        self.pages = context.Value("Q", 0)

    def note(self, caller: int, missing: int) -> None:
        index = self.count.value
        self.calls[index], self.missing[index] = caller, missing > 0
        self.count.value = index + 1

    def all(self) -> set[int]:
        return set(self.calls[: self.count.value])

    def for_want_of_a_page(self) -> set[int]:
        return {caller for caller, missing in zip(self.calls, self.missing, strict=True) if missing}


def pages_missed() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def send(cache: ReputationCache, limiter: RateLimiter, crowd: array[int], callers: range, slow: Slow) -> None:
    """The crowd makes all pages of the tables be there, as on a node that has run a while; then the callers come."""
    cache.add_many(crowd, NOW_US, 10)
    limiter.conforms_many(crowd, NOW_US, SECOND_US, 0)
    at_first = missed = pages_missed()
    for caller in callers:
        if caller % 16 == 0:
            missed = pages_missed()
        begun = time.thread_time_ns()
        limiter.conforms(caller, NOW_US, SECOND_US, 0)
        cache.add(caller, NOW_US, 10)
        if time.thread_time_ns() - begun > 1_000_000:
            missing = pages_missed() - missed      # before this process writes to what it shares with its parent
            slow.note(caller, missing)
    slow.pages.value = pages_missed() - at_first


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A directory whose files nobody writes to a disk, as docs/operations.md wants it for large tables."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


def test_s2_far_more_callers_than_room(in_memory: Path) -> None:
    """100 M callers through tables of 10 M: nothing grows, no call waits 1 ms for its tables, pins stay.

    Even a thread's own time holds what is not the tables': interrupts, and the time for which a hypervisor stops the
    processor or takes its memory away. But what tables do depends on nothing but their files and the calls. So two
    processes send the same calls into copies of the same files: a call that its table holds up is slow in both. One
    that is slow in one of them counts, too, if a page of memory was missing then or in the few calls before.
    """
    records, callers = size(100_000, 10_000_000), size(1_000_000, 100_000_000)
    first, second = in_memory / "first", in_memory / "second"
    first.mkdir()
    second.mkdir()
    cache = ReputationCache(first / "reputation.tbl", records)
    limiter = RateLimiter(first / "limits.tbl", records)
    pinned = [number for number in range(NUMBER, NUMBER + records // 100) if cache.pin(number, NOW_US)]
    assert len(pinned) == records // 100
    crowd = array("Q", range(NUMBER + 10**8, NUMBER + 10**8 + records))
    for table in (cache.table, limiter.table):
        shutil.copy(table.path, second)
    tables = [
        (ReputationCache(path / "reputation.tbl", records), RateLimiter(path / "limits.tbl", records))
        for path in (first, second)
    ]
    assert not any(table.table.fresh for pair in tables for table in pair)
    files = [path for path in in_memory.rglob("*") if path.is_file()]
    sizes = [path.stat().st_size for path in files]
    slow = [Slow(), Slow()]
    sent = range(NUMBER + 10**9, NUMBER + 10**9 + callers)

    as_processes(lambda index: send(*tables[index], crowd, sent, slow[index]), timeout_s=3600)
    both = slow[0].all() & slow[1].all()
    missing = slow[0].for_want_of_a_page() | slow[1].for_want_of_a_page()
    print(
        f"S2: of {callers} calls {slow[0].count.value} and {slow[1].count.value} took more than 1 ms;"
        f" the same ones in both: {len(both)}; for want of a page: {len(missing)}"
        f" ({slow[0].pages.value} and {slow[1].pages.value} pages were missing in all)"
    )
    assert [path.stat().st_size for path in files] == sizes
    for cache, limiter in tables:
        assert all((standing := cache.read(number, NOW_US)) and standing.pinned for number in pinned)
        assert cache.table.evictions > 0
        assert cache.table.lost == limiter.table.lost == 0
    assert not both
    assert not missing
