"""The tables at national scale: 100 million numbers, 540 million subscribers. Takes minutes and 13 GB.

Run: python -m tests.bench.scale_tables [--numbers N] [--subscribers N] [--directory DIRECTORY]
The lines are those of `bench_tables`. Keys of the cold figures are drawn from all that are in the table. On a disk the
figures of changes are those of the disk (docs/operations.md, The state directory), on a tmpfs those of the tables.
"""

from __future__ import annotations

import random
import tempfile
import time
from argparse import ArgumentParser
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

from engine._reputation import ReputationCache
from engine._subscribers import SubscriberTable
from tests.bench.bench_tables import BATCH, BATCHES, FIRST, MILLION, NOW_US, Memory, report

CHUNK = MILLION


def chunks(count: int) -> Iterator[array[int]]:
    for start in range(0, count, CHUNK):
        yield array("Q", range(FIRST + start, FIRST + min(start + CHUNK, count)))


def drawn(count: int) -> array[int]:
    source = random.Random(3)
    return array("Q", (FIRST + source.randrange(count) for _ in range(BATCH * BATCHES)))


def timed(name: str, rows: int, work: Callable[[], object]) -> None:
    """One line, which begins when the work does: it may take minutes."""
    print(f"{name:46} ", end="", flush=True)
    before, before_cpu = time.perf_counter(), time.process_time()
    work()
    taken_s, cpu_ns = time.perf_counter() - before, (time.process_time() - before_cpu) / rows * 1e9
    print(f"{taken_s:6.1f} s  {taken_s / rows * 1e9:4.0f} ns a row, {cpu_ns:4.0f} of processor time")


def opened(open_table: Callable[[], object]) -> None:
    before = time.perf_counter()
    open_table()
    print(f"{'opened':46} {(time.perf_counter() - before) * 1e3:6.1f} ms")


def bench_numbers(directory: Path, count: int) -> None:
    path, capacity = directory / "reputation.tbl", round(count * 1.372)
    cache = ReputationCache(path, capacity)

    def fill() -> None:
        for keys in chunks(count):
            cache.add_many(keys, NOW_US, 60)

    timed(f"reputation, {count // MILLION} M, filled", count, fill)
    lost = sum(len(keys) - sum(map(bool, cache.read_many(keys, NOW_US))) for keys in chunks(count))
    print(f"{'lost':46} {100 * lost / count:9.6f} %  of {path.stat().st_size / 1e9:.3f} GB")
    opened(lambda: ReputationCache(path, capacity))
    keys, memory = drawn(count), Memory.measure("reputation", cache.table)
    name, bytes_each = f"reputation, {count // MILLION} M", 16 * cache.table.capacity / count
    report(f"{name}, read", lambda batch: cache.read_many(batch, NOW_US), keys, memory, 2, bytes_each)
    report(f"{name}, add", lambda batch: cache.add_many(batch, NOW_US, 60), keys, memory, 2)


def bench_subscribers(directory: Path, count: int) -> None:
    path, capacity = directory / "subscribers.tbl", round(count * 1.2146)

    def build() -> None:
        kept = SubscriberTable.build(path, capacity, ((keys, keys) for keys in chunks(count)))
        if kept != count:
            raise SystemExit(f"{kept} of {count} subscribers were kept")

    timed(f"subscribers, {count // MILLION} M, built", count, build)
    opened(lambda: SubscriberTable(path, capacity))
    subscribers = SubscriberTable.attach(path)
    missing = sum(keys != subscribers.read_many(keys) for keys in chunks(count))
    print(f"{'millions that are not all there':46} {missing:6}    of {path.stat().st_size / 1e9:.3f} GB")
    keys, memory = drawn(count), Memory.measure("subscribers", subscribers.table)
    name, bytes_each = f"subscribers, {count // MILLION} M", 16 * subscribers.table.capacity / count
    report(f"{name}, read", subscribers.read_many, keys, memory, 2, bytes_each)
    report(f"{name}, set", lambda batch: subscribers.set_many(batch, batch), keys, memory, 2)


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("--numbers", type=int, default=100 * MILLION)
    parser.add_argument("--subscribers", type=int, default=540 * MILLION)
    parser.add_argument("--directory", help="where the tables are made, default the system's temporary directory")
    options = parser.parse_args()
    for bench, count in ((bench_numbers, options.numbers), (bench_subscribers, options.subscribers)):
        with tempfile.TemporaryDirectory(dir=options.directory) as directory:
            bench(Path(directory), count)


if __name__ == "__main__":
    main()
