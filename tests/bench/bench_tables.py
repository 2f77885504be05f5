"""The native tables at a million entries, random keys: one line each. Run: python -m tests.bench.bench_tables

Each figure is the time of one operation inside a batch of 64, over many batches: the loop is native, and a batch's
cache lines are fetched side by side as the call path fetches them. The ratio is to a look-up of the same random keys in
a plain dict, measured in the same run.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from array import array
from collections.abc import Callable
from pathlib import Path

from engine._prefix_trie import PrefixTrie
from engine._rate_limiter import RateLimiter
from engine._reputation import ReputationCache

MILLION = 1_000_000
BATCH = 64
BATCHES = 4000
NOW_US = 1_795_000_000_000_000
KIND_NUMBER = 1 << 60


def time_batches(operation: Callable[[array[int]], object], keys: array[int]) -> list[float]:
    """Nanoseconds of one operation, for each batch; sorted."""
    times = []
    for start in range(0, BATCH * BATCHES, BATCH):
        batch = keys[start : start + BATCH]
        before = time.perf_counter_ns()
        operation(batch)
        times.append((time.perf_counter_ns() - before) / BATCH)
    return sorted(times)


class Report:
    """Prints one line a figure, against the reference measured first."""

    def __init__(self, reference: list[float]) -> None:
        self.reference_ns = statistics.median(reference)
        self.line("dict.get, 1 M (reference)", reference)

    def line(self, name: str, times: list[float], bytes_each: float | None = None) -> None:
        median, p99 = statistics.median(times), times[len(times) * 99 // 100]
        size = "" if bytes_each is None else f"  {bytes_each:5.1f} B/entry"
        print(f"{name:32} {median:7.0f} ns  p99 {p99:7.0f} ns  {median / self.reference_ns:5.2f} x{size}")


def mobile_numbers(source: random.Random, count: int) -> array[int]:
    """Chinese mobile numbers: 86, 1, ten digits."""
    return array("Q", (KIND_NUMBER | 1861 * 10**10 + source.randrange(10**10) for _ in range(count)))


def trie_entries(source: random.Random) -> list[tuple[str, bool, int]]:
    """A list as operators keep them: 70 % whole numbers, the others blocks of five lengths."""
    entries = []
    for number in mobile_numbers(source, MILLION):
        digits = str(number - KIND_NUMBER)[1:]
        exact = source.random() < 0.7
        entries.append((digits if exact else digits[: source.randint(7, 11)], exact, source.randrange(1, 2**32)))
    return entries


def bench_trie(report: Report, source: random.Random, keys: array[int]) -> None:
    entries = trie_entries(source)
    before = time.perf_counter()
    image = PrefixTrie.build(entries)
    built_s = time.perf_counter() - before
    trie = PrefixTrie(image)
    bytes_each = len(image) / len(trie)
    present = array("Q", (KIND_NUMBER | int("1" + digits) for digits, _, _ in source.sample(entries, BATCH * BATCHES)))
    report.line("trie match, 1 M", time_batches(trie.match_many, keys), bytes_each)
    report.line("trie match, 1 M, all present", time_batches(trie.match_many, present), bytes_each)
    print(f"{'trie build, 1 M':32} {built_s:7.2f} s")


def bench_limiter(report: Report, directory: Path, keys: array[int]) -> None:
    limiter = RateLimiter(directory / "limiter.tbl", 2 * MILLION)

    def conform(batch: array[int]) -> None:
        limiter.conforms_many(batch, NOW_US, 2_000_000, 8_000_000)

    conform(keys)
    report.line("limiter, 1 M keys", time_batches(conform, keys), 16 * limiter.table.capacity / len(limiter.table))


def bench_reputation(report: Report, directory: Path, keys: array[int]) -> None:
    cache = ReputationCache(directory / "reputation.tbl", 2 * MILLION)

    def read(batch: array[int]) -> None:
        cache.read_many(batch, NOW_US)

    def add(batch: array[int]) -> None:
        cache.add_many(batch, NOW_US, 60)

    add(keys)
    bytes_each = 16 * cache.table.capacity / len(cache.table)
    kept_percent = 100 * len(cache.table) / MILLION
    report.line("reputation read, 1 M", time_batches(read, keys), bytes_each)
    report.line("reputation add, 1 M", time_batches(add, keys), bytes_each)
    print(f"{'kept of 1 M in 2 M records':32} {kept_percent:7.1f} %")


def main() -> None:
    source = random.Random(1)
    keys = mobile_numbers(source, MILLION)
    plain = dict.fromkeys(keys, 1)
    source.shuffle(keys)
    report = Report(time_batches(lambda batch: [plain.get(key) for key in batch], keys))
    bench_trie(report, source, keys)
    with tempfile.TemporaryDirectory() as directory:
        bench_limiter(report, Path(directory), keys)
        bench_reputation(report, Path(directory), keys)


if __name__ == "__main__":
    main()
