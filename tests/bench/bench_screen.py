"""Benchmarks of the decision: one line each, with 1 M list numbers and 100 k prefixes loaded and random keys."""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from engine import Attempt, PolicyImage, Screener, Tables, compile_policy, rules
from tests.bench._screen_clock import clock_ns, decision_ns

NUMBERS = 1_000_000
PREFIXES = 100_000
ATTEMPTS = 200_000
BATCH = 64
NOW_US = 1_795_000_000_000_000
BAR_P50_NS = 500


def line(what: str, figures: str) -> None:
    print(f"{what:<44} {figures}", flush=True)


def percentiles(ns: Sequence[int]) -> str:
    ordered = sorted(ns)
    return f"p50 {ordered[len(ordered) // 2]:>6} ns   p99 {ordered[len(ordered) * 99 // 100]:>6} ns"


def random_number(generator: random.Random) -> str:
    return f"+861{generator.randrange(30, 100)}{generator.randrange(10**8):08}"


def policy_set(directory: Path, generator: random.Random) -> tuple[rules.PolicySet, list[str]]:
    """A policy over two list files, and the numbers in it."""
    numbers = [random_number(generator) for _ in range(NUMBERS)]
    prefixes = [f"+{generator.randrange(10**5, 10 ** generator.randrange(6, 11))}*" for _ in range(PREFIXES)]
    (directory / "deny.txt").write_text("\n".join(numbers))
    (directory / "tag.txt").write_text("\n".join(prefixes))
    limit = rules.Limit(name="caller", key=rules.LimitKey.CALLER, calls=100, period_s=10)
    block = rules.Limit(name="block", key=rules.LimitKey.BLOCK_1000, calls=1000, period_s=10, outcome=rules.Outcome.TAG)
    return rules.PolicySet(
        trunks=(rules.TrunkPolicy(name="carrier", policy="default", dial_plan="cn"),),
        policies=(rules.Policy(name="default"),),
        lists=(
            rules.NumberList(name="deny", action=rules.ListAction.DENY, file="deny.txt"),
            rules.NumberList(name="tag", action=rules.ListAction.TAG, file="tag.txt"),
        ),
        limits=(limit, block),
    ), numbers


def load(policy: rules.PolicySet, directory: Path) -> PolicyImage:
    started = time.perf_counter()
    image = compile_policy(policy, base_dir=directory, generation=1)
    line("compile, 1 M numbers and 100 k prefixes", f"{time.perf_counter() - started:.2f} s, {len(image) / 1e6:.1f} MB")
    image.write(directory / "policy.img")
    started = time.perf_counter()
    opened = PolicyImage.open(directory / "policy.img")
    line("open the image", f"{(time.perf_counter() - started) * 1e3:.1f} ms")
    return opened


def bench_decisions(screener: Screener, packed: bytes) -> int:
    """Single decisions from native code; returns the p50 without the clock's own time."""
    decision_ns(screener, packed[: len(packed) // 4], NOW_US)
    taken = decision_ns(screener, packed, NOW_US + 1_000_000)
    clock = int(statistics.median(clock_ns(100_000)))
    line("screen_attempt from Cython, clock included", percentiles(taken))
    p50 = int(statistics.median(taken)) - clock
    line("screen_attempt from Cython, clock taken off", f"p50 {p50:>6} ns   (clock {clock} ns; bar {BAR_P50_NS} ns)")
    return p50


def bench_python(screener: Screener, attempts: Sequence[Attempt]) -> None:
    taken = []
    for attempt in attempts:
        started = time.perf_counter_ns()
        screener.screen(attempt, NOW_US + 2_000_000)
        taken.append(time.perf_counter_ns() - started)
    line("screen(), a Python call", percentiles(taken))


def bench_batches(screener: Screener, packed: bytes, size: int) -> None:
    """screen_batch on consecutive groups of 64."""
    taken = []
    for start in range(0, len(packed) - BATCH * size + 1, BATCH * size):
        group = packed[start : start + BATCH * size]
        started = time.perf_counter_ns()
        screener.screen_batch(group, NOW_US + 3_000_000)
        taken.append((time.perf_counter_ns() - started) // BATCH)
    line(f"screen_batch of {BATCH}, per decision", percentiles(taken))


def main() -> int:
    generator = random.Random(2026)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        policy, numbers = policy_set(directory, generator)
        image = load(policy, directory)
        tables = Tables.open(directory, reputation=1 << 20, rate_limiter=1 << 20, half_life_days=14)
        screener = Screener(image, tables, bytes(range(16)))
        attempts = [
            Attempt(
                random_number(generator) if generator.random() < 0.8 else generator.choice(numbers),
                random_number(generator),
                "carrier",
            )
            for _ in range(ATTEMPTS)
        ]
        rows = [screener.pack(attempt) for attempt in attempts]
        packed = b"".join(rows)
        p50 = bench_decisions(screener, packed)
        bench_python(screener, attempts[:50_000])
        bench_batches(screener, packed, len(rows[0]))
    return 0 if p50 <= BAR_P50_NS else 1


if __name__ == "__main__":
    sys.exit(main())
