"""The native tables with a million and with ten million entries: one line each. Run: python -m tests.bench.bench_tables

Each figure is the time of one operation inside a batch of 64, over many batches: the loop is native, and cache lines
are fetched side by side as the call path fetches them. Cold: other keys each time. Warm: the same 64 keys again. The
ratio is that of the cold figure to the bare cost of the cache misses it cannot do without: as many random lines of the
same mapping, 64 at a time, measured in the same run.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from engine._pairs import PairMemory
from engine._prefix_trie import PrefixTrie
from engine._rate_limiter import RateLimiter
from engine._reputation import ReputationCache
from engine._subscriber_lists import ListEntry, SubscriberLists
from engine._subscribers import SubscriberTable
from engine._table import Table
from tests.bench._cache_misses import dependent_ns, overlapped_ns

MILLION = 1_000_000
BATCH = 64
BATCHES = 4000
MISSES = 500_000
NOW_US = 1_795_000_000_000_000
KIND_NUMBER = 1 << 60
FIRST = KIND_NUMBER | 1861 * 10**10

Operation: TypeAlias = "Callable[[array[int]], object]"


def time_batches(operation: Operation, batches: list[array[int]]) -> list[float]:
    """Nanoseconds of one operation, for each batch; sorted."""
    times = []
    for batch in batches:
        before = time.perf_counter_ns()
        operation(batch)
        times.append((time.perf_counter_ns() - before) / BATCH)
    return sorted(times)


@dataclass(frozen=True)
class Memory:
    """What a random line of a mapping costs."""

    dependent: float
    overlapped: float

    @classmethod
    def measure(cls, name: str, table: Table) -> Memory:
        memory = cls(dependent_ns(table, MISSES), overlapped_ns(table, 4 * MISSES))
        what = f"{name}: a random line of {table.capacity * 16 / 1e6:.0f} MB"
        print(f"{what:46} {memory.dependent:6.0f} ns  64 together {memory.overlapped:5.1f} ns")
        return memory


def report(
    name: str, operation: Operation, keys: array[int], memory: Memory, lines: int, bytes_each: float | None = None
) -> None:
    """One line: cold, warm, and the cold median against `lines` bare misses."""
    starts = random.Random(2).sample(range(len(keys) // BATCH), min(BATCHES, len(keys) // BATCH))
    cold = time_batches(operation, [keys[BATCH * start : BATCH * (start + 1)] for start in starts])
    warm = time_batches(operation, [keys[:BATCH]] * BATCHES)
    median, p99 = statistics.median(cold), cold[len(cold) * 99 // 100]
    ratio = median / memory.overlapped / lines
    size = "" if bytes_each is None else f"  {bytes_each:5.1f} B"
    print(
        f"{name:46} {median:6.0f} ns  p99 {p99:6.0f}  warm {statistics.median(warm):5.0f}"
        f"  {ratio:5.2f} x {lines} misses{size}"
    )


def trie_entries(source: random.Random, count: int) -> list[tuple[str, bool, int]]:
    """A list as operators keep them: seven in ten whole numbers, the others blocks of five lengths; none twice."""
    entries: dict[tuple[str, bool], int] = {}
    while len(entries) < count:
        digits = str(861 * 10**10 + source.randrange(10**10))
        exact = source.random() < 0.7
        entries[digits if exact else digits[: source.randint(7, 11)], exact] = source.randrange(1, 2**32)
    return [(digits, exact, value) for (digits, exact), value in entries.items()]


def bench_trie(directory: Path) -> None:
    source = random.Random(1)
    entries = trie_entries(source, MILLION)
    before = time.perf_counter()
    image = PrefixTrie.build(entries)
    built_s = time.perf_counter() - before
    trie = PrefixTrie(image)
    memory = Memory.measure("trie", Table(directory / "as_large.tbl", 1, MILLION))
    strangers = array("Q", (FIRST + source.randrange(10**10) for _ in range(BATCH * BATCHES)))
    present = array("Q", (KIND_NUMBER | int(f"1{digits}") for digits, _, _ in source.sample(entries, BATCH * BATCHES)))
    report("trie match, 1 M", trie.match_many, strangers, memory, 1, len(image) / len(trie))
    report("trie match, 1 M, all present", trie.match_many, present, memory, 1)
    print(f"{'trie build, 1 M':46} {built_s:6.2f} s")


def bench_limiter(directory: Path, keys: array[int]) -> None:
    limiter = RateLimiter(directory / "limiter.tbl", 2 * len(keys))

    def conform(batch: array[int]) -> None:
        limiter.conforms_many(batch, NOW_US, 2_000_000, 8_000_000)

    conform(keys)
    memory = Memory.measure("limiter", limiter.table)
    report(f"limiter, {named(keys)}", conform, keys, memory, 1, bytes_of(limiter.table, keys))


def bench_reputation(directory: Path, keys: array[int], share: float = 0.73) -> None:
    cache = ReputationCache(directory / "reputation.tbl", round(len(keys) / share))

    def read(batch: array[int]) -> None:
        cache.read_many(batch, NOW_US)

    def add(batch: array[int]) -> None:
        cache.add_many(batch, NOW_US, 60)

    add(keys)
    lost_percent = 100 * (1 - sum(map(bool, cache.read_many(keys, NOW_US))) / len(keys))
    memory = Memory.measure("reputation", cache.table)
    name = f"reputation, {named(keys)}"
    report(f"{name}, read", read, keys, memory, 2, bytes_of(cache.table, keys))
    report(f"{name}, add", add, keys, memory, 2)
    load_percent = 100 * len(keys) / cache.table.capacity
    print(f"{f'{name}, lost at {load_percent:.0f} % load':46} {lost_percent:8.5f} %")


def bench_losses(directory: Path, keys: array[int]) -> None:
    for percent in (50, 80, 90):
        cache = ReputationCache(directory / f"{percent}.tbl", 100 * len(keys) // percent)
        cache.add_many(keys, NOW_US, 60)
        lost_percent = 100 * (1 - sum(map(bool, cache.read_many(keys, NOW_US))) / len(keys))
        load_percent = 100 * len(keys) / cache.table.capacity
        print(f"{f'reputation, lost at {load_percent:.0f} % load':46} {lost_percent:8.5f} %")


def bench_subscribers(directory: Path, keys: array[int]) -> None:
    path, capacity = directory / "subscribers.tbl", round(len(keys) / 0.823)
    before = time.perf_counter()
    kept = SubscriberTable.build(path, capacity, [(keys, keys)])
    built_s = time.perf_counter() - before
    subscribers = SubscriberTable.attach(path)
    memory = Memory.measure("subscribers", subscribers.table)
    name = f"subscribers, {named(keys)}"
    report(f"{name}, read", subscribers.read_many, keys, memory, 2, bytes_of(subscribers.table, keys))
    report(f"{name}, set", lambda batch: subscribers.set_many(batch, batch), keys, memory, 2)
    print(f"{f'{name}, build':46} {built_s:6.2f} s  {built_s / len(keys) * 1e9:.0f} ns a row, {kept} kept")


def bench_pairs(directory: Path, keys: array[int]) -> None:
    pairs = PairMemory(directory / "pairs.tbl", round(len(keys) / 0.73))
    pairs.add_many(keys, keys, NOW_US, 1000)
    memory = Memory.measure("pairs", pairs.table)
    report(
        f"pairs, {named(keys)}, read",
        lambda batch: pairs.read_many(batch, batch, NOW_US),
        keys,
        memory,
        2,
        bytes_of(pairs.table, keys),
    )


def bench_subscriber_lists(directory: Path, keys: array[int]) -> None:
    lists = SubscriberLists(directory / "lists.tbl", round(len(keys) / 0.823))
    entry = ListEntry(deny=True)
    lists.set_many(keys, keys, entry)
    memory = Memory.measure("subscriber lists", lists.table)
    report(
        f"subscriber lists, {named(keys)}, set",
        lambda batch: lists.set_many(batch, batch, entry),
        keys,
        memory,
        2,
        bytes_of(lists.table, keys),
    )


def named(keys: array[int]) -> str:
    return f"{len(keys) // MILLION} M"


def bytes_of(table: Table, keys: array[int]) -> float:
    return 16 * table.capacity / len(keys)


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        bench_trie(Path(directory))
    for count in (MILLION, 10 * MILLION):
        keys = array("Q", range(FIRST, FIRST + count))
        for bench in (bench_limiter, bench_reputation, bench_pairs, bench_subscribers, bench_subscriber_lists):
            with tempfile.TemporaryDirectory() as directory:
                bench(Path(directory), keys)
    with tempfile.TemporaryDirectory() as directory:
        bench_losses(Path(directory), array("Q", range(FIRST, FIRST + MILLION)))


if __name__ == "__main__":
    main()
