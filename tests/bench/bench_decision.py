"""The decision with every table far larger than the processor's cache. Run: python -m tests.bench.bench_decision [N]

Reputation, limits, refused pairs and subscribers hold 10 million records each (or N), 160 MB and more a table; lists
hold 1 M numbers and 100 k prefixes. Callers and callees are drawn from those that the tables know; one caller in five
is listed. Cold: other numbers each time. Warm: the same call, or the same 64, again and again.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from array import array
from pathlib import Path

from engine import Attempt, PolicyImage, Screener, Tables, compile_policy, rules
from engine._subscribers import Preferences
from tests.bench._cache_misses import overlapped_ns
from tests.bench._screen_clock import clock_ns, decision_ns
from tests.bench.bench_screen import BATCH, NOW_US, line, percentiles, policy_set
from tests.bench.bench_tables import FIRST, KIND_NUMBER

RECORDS = 10_000_000
ATTEMPTS = 400_000
ROUNDS = 15
CHUNK = 1_000_000
BAR_BATCH_NS, BAR_P50_NS, BAR_P99_NS, BAR_WARM_NS = 250, 1000, 3000, 200


def mobile_numbers(generator: random.Random, count: int) -> array[int]:
    """Chinese mobile numbers as the tables' keys."""
    return array("Q", (FIRST + int(generator.random() * 10**10) for _ in range(count)))


def packed_attempts(screener: Screener, callers: array[int], callees: array[int]) -> bytes:
    """C attempts of one trunk, caller and callee being their first two words."""
    words = array("Q", screener.pack(Attempt("+8613012345678", "+8613112345678", "one-limit")))
    size = len(words)
    words *= len(callers)
    words[0::size] = callers
    words[1::size] = callees
    return words.tobytes()


def fill(tables: Tables, screener: Screener, callers: array[int], callees: array[int]) -> None:
    """Every caller has called before and is known a little; every callee is a subscriber and has refused somebody."""
    word = Preferences(refused_segments=1, do_not_call=True).pack()
    words = array("Q", [word]) * CHUNK
    for start in range(0, len(callers), CHUNK):
        some, others = callers[start : start + CHUNK], callees[start : start + CHUNK]
        tables.reputation.add_many(some, NOW_US, 60)
        tables.subscribers.set_many(others, words[: len(others)])
        tables.pairs.add_many(others, some[::-1], NOW_US, 50)
        screener.screen_batch(packed_attempts(screener, some, others), NOW_US)


def chosen(generator: random.Random, known: array[int], count: int) -> array[int]:
    return array("Q", (known[int(generator.random() * len(known))] for _ in range(count)))


def of_batches(screener: Screener, packed: bytes, now_us: int, *, same: bool = False) -> list[int]:
    """Nanoseconds of a decision in each group of 64."""
    size = len(packed) * BATCH // ATTEMPTS
    taken = []
    for start in range(0, len(packed) - size + 1, size):
        group = packed[:size] if same else packed[start : start + size]
        started = time.perf_counter_ns()
        screener.screen_batch(group, now_us)
        taken.append((time.perf_counter_ns() - started) // BATCH)
    return taken


def huge_pages_percent() -> int:
    """How much of the tables' memory has huge pages: a line elsewhere costs a walk through page tables, too."""
    kb = {"Rss": 0, "FilePmdMapped": 0, "ShmemPmdMapped": 0}
    inside = False
    for row in Path("/proc/self/smaps").read_text().splitlines():
        name, _, rest = row.partition(":")
        if name in kb and inside:
            kb[name] += int(rest.split()[0])
        elif "-" in name:
            inside = row.endswith(".tbl")
    return 100 * (kb["FilePmdMapped"] + kb["ShmemPmdMapped"]) // max(1, kb["Rss"])


def held(figure: float, bar: int) -> str:
    return f"asked {bar} ns: {'met' if figure <= bar else 'missed'}"


def measure(screener: Screener, packed: bytes, random_line_ns: float) -> None:
    """The best of some rounds: what others do on the machine only adds to a figure."""
    clock = int(statistics.median(clock_ns(100_000)))
    one = len(packed) // ATTEMPTS
    best: dict[str, list[int]] = {}
    for turn in range(1, ROUNDS + 1):
        now_us = NOW_US + turn * 1_000_000
        figures = {
            "alone, cold": [max(ns - clock, 0) for ns in decision_ns(screener, packed, now_us)],
            "alone, warm": [max(ns - clock, 0) for ns in decision_ns(screener, packed[:one] * ATTEMPTS, now_us)],
            "in batches of 64, cold": of_batches(screener, packed, now_us + 1),
            "in batches of 64, warm": of_batches(screener, packed, now_us + 1, same=True),
        }
        for name, taken in figures.items():
            if name not in best or statistics.median(taken) < statistics.median(best[name]):
                best[name] = taken
    bars = {"alone, cold": BAR_P50_NS, "alone, warm": BAR_WARM_NS, "in batches of 64, cold": BAR_BATCH_NS}
    for name, taken in best.items():
        verdict = f"   {held(statistics.median(taken), bars[name])}" if name in bars else ""
        line(f"decision, {name}", percentiles(taken) + verdict)
    p99 = sorted(best["alone, cold"])[len(best["alone, cold"]) * 99 // 100]
    line("decision, alone, cold, p99", f"{held(p99, BAR_P99_NS)}")
    line("a random line, 64 fetched together", f"{random_line_ns:5.1f} ns")


def opened(policy: rules.PolicySet, directory: Path, records: int) -> tuple[Screener, Tables]:
    image = compile_policy(policy, base_dir=directory, generation=1)
    image.write(directory / "policy.img")
    tables = Tables.open(
        directory,
        reputation=round(records / 0.73),
        rate_limiter=2 * records,
        pairs=round(records / 0.73),
        subscribers=round(records / 0.823),
        half_life_days=14,
    )
    return Screener(PolicyImage.open(directory / "policy.img"), tables, bytes(range(16))), tables


def main() -> None:
    records = int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS
    generator = random.Random(2026)
    with tempfile.TemporaryDirectory() as name:
        policy, numbers = policy_set(Path(name), generator)
        screener, tables = opened(policy, Path(name), records)
        listed = array("Q", (KIND_NUMBER | int(f"1{number[1:]}") for number in numbers))
        callers, callees = mobile_numbers(generator, records), mobile_numbers(generator, records)
        fill(tables, screener, callers, callees)
        from_known = chosen(generator, callers, ATTEMPTS)
        from_known[::5] = chosen(generator, listed, len(from_known[::5]))
        packed = packed_attempts(screener, from_known, chosen(generator, callees, ATTEMPTS))
        size = sum(path.stat().st_size for path in Path(name).glob("*.tbl"))
        line(f"tables of {records / 1e6:.0f} M records", f"{size / 1e6:.0f} MB, {huge_pages_percent()} % in huge pages")
        measure(screener, packed, overlapped_ns(tables.reputation.table, 1_000_000))


if __name__ == "__main__":
    main()
