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
    limits = tuple(
        rules.Limit(name=key.value, key=key, calls=100, period_s=10, trunks=trunks)
        for key, trunks in (
            (rules.LimitKey.CALLER, ()),
            (rules.LimitKey.PAIR, ("three-limits",)),
            (rules.LimitKey.BLOCK_1000, ("three-limits",)),
        )
    )
    return rules.PolicySet(
        trunks=tuple(
            rules.TrunkPolicy(name=name, policy="default", dial_plan="cn") for name in ("one-limit", "three-limits")
        ),
        policies=(rules.Policy(name="default"),),
        lists=(
            rules.NumberList(name="deny", action=rules.ListAction.DENY, file="deny.txt"),
            rules.NumberList(name="tag", action=rules.ListAction.TAG, file="tag.txt"),
        ),
        limits=limits,
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


def bench_decisions(screener: Screener, what: str, packed: bytes) -> int:
    """Single decisions from native code, the clock's own time taken off; returns the p50."""
    clock = int(statistics.median(clock_ns(100_000)))
    decision_ns(screener, packed, NOW_US)
    taken = [max(ns - clock, 0) for ns in decision_ns(screener, packed, NOW_US + 1_000_000)]
    line(f"decision from Cython, {what}", percentiles(taken))
    return int(statistics.median(taken))


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


def random_attempts(generator: random.Random, listed: Sequence[str], trunk: str, count: int) -> list[Attempt]:
    """One caller in five is listed."""
    return [
        Attempt(
            random_number(generator) if generator.random() < 0.8 else generator.choice(listed),
            random_number(generator),
            trunk,
        )
        for _ in range(count)
    ]


def main() -> int:
    generator = random.Random(2026)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        policy, numbers = policy_set(directory, generator)
        image = load(policy, directory)
        tables = Tables.open(directory, reputation=1 << 20, rate_limiter=1 << 20, half_life_days=14)
        screener = Screener(image, tables, bytes(range(16)))
        attempts = random_attempts(generator, numbers, "one-limit", ATTEMPTS)
        packed = [screener.pack(attempt) for attempt in attempts]
        hot = bench_decisions(screener, "one number again and again", packed[0] * ATTEMPTS)
        p50 = bench_decisions(screener, "random numbers", b"".join(packed))
        others = random_attempts(generator, numbers, "three-limits", ATTEMPTS)
        bench_decisions(screener, "random numbers, 3 limits", b"".join(map(screener.pack, others)))
        bench_python(screener, attempts[:50_000])
        bench_batches(screener, b"".join(packed), len(packed[0]))
        line("bar: p50 of a decision, random numbers", f"{BAR_P50_NS} ns: {'met' if p50 <= BAR_P50_NS else 'missed'}")
        line("memory's share of that", f"{p50 - hot} ns")
    return 0


if __name__ == "__main__":
    sys.exit(main())
