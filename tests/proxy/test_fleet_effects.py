"""What the fleet says, put into force: points of reputation and orders."""

from __future__ import annotations

import asyncio
import random
from array import array
from pathlib import Path

from engine._reputation import ReputationCache
from proxy.control.decisions import Act, Decision, Kind
from proxy.control.fleet_effects import FleetEffects
from proxy.control.fleet_events import metric_of, observe_calls
from proxy.control.store_thread import StoreUnavailable
from proxy.control.sync.metrics import Metric
from proxy.control.sync.recent_callers import RecentCallers
from proxy.control.sync.score import Band
from proxy.control.sync.verdicts import VerdictTable
from proxy.events import EventBatch, EventRecord

NOW_MS = 1_795_000_000_000
NUMBER = 1 << 60 | 18613912345678


class FullDisk:
    """Orders whose store refuses, until it is told not to."""

    def __init__(self) -> None:
        self.refuses = True
        self.merged: list[Decision] = []

    async def merge(self, decisions: list[Decision]) -> list[Decision]:
        if self.refuses:
            raise StoreUnavailable("the disk is full")
        self.merged += decisions
        return decisions


def effects(directory: Path, orders: FullDisk | None = None) -> tuple[FleetEffects, ReputationCache]:
    reputation = ReputationCache(directory / "reputation.tbl", 10_000)
    return FleetEffects(orders or FullDisk(), reputation, VerdictTable()), reputation  # type: ignore[arg-type]


def points(reputation: ReputationCache) -> int:
    standing = reputation.read(NUMBER, NOW_MS * 1000)
    return 0 if standing is None else standing.points


def test_a_verdict_gives_points_and_takes_them_back(tmp_path: Path) -> None:
    fleet, reputation = effects(tmp_path)
    reputation.add(NUMBER, NOW_MS * 1000, 150)
    for _ in range(2):
        fleet.take_bands(array("Q", [NUMBER]), bytearray([Band.BLOCK]), NOW_MS)
        assert 990 <= points(reputation) <= 1010
    fleet.take_bands(array("Q", [NUMBER]), bytearray([Band.NONE]), NOW_MS)
    assert 145 <= points(reputation) <= 155  # what the node has learned by itself stays


def test_verdicts_in_bulk_are_what_each_is_alone(tmp_path: Path) -> None:
    (tmp_path / "bulk").mkdir()
    one, changed = effects(tmp_path)
    other, in_bulk = effects(tmp_path / "bulk")
    rng = random.Random(4)
    keys = [1 << 60 | 18613912345000 + at for at in range(300)] + [2 << 60 | 186139 + at for at in range(50)]
    keys += [4 << 60 | 77, 3 << 60 | 195588]
    for at in range(12):
        now_ms = NOW_MS + at * 40 * 3_600_000
        some = rng.sample(keys, rng.randrange(len(keys)))
        for key in rng.sample(keys[:-2], 20):
            for reputation in (changed, in_bulk):
                reputation.add(key, now_ms * 1000, at, category=at % 3)
        bands = [Band(rng.randrange(4)) for _ in some]
        for key, band in zip(some, bands, strict=True):
            one.take_bands(array("Q", [key]), bytearray([band]), now_ms)
        other.take_bands(array("Q", some), bytearray(bands), now_ms)
        for key in keys:
            assert changed.read(key, now_ms * 1000) == in_bulk.read(key, now_ms * 1000)
    assert in_bulk.read(4 << 60 | 77, NOW_MS * 1000) is None


def test_d3_decisions_wait_for_the_disk(tmp_path: Path) -> None:
    orders = FullDisk()
    fleet, _ = effects(tmp_path, orders)
    order = Decision("operator", Kind.EXACT, NUMBER, Act.BLOCK, 2, 1)
    fleet.take_decisions([order], NOW_MS)

    async def twice() -> None:
        try:
            await fleet.store_decisions()
        except StoreUnavailable:
            assert fleet.waiting == 1
        orders.refuses = False
        await fleet.store_decisions()

    asyncio.run(twice())
    assert orders.merged == [order]
    assert fleet.waiting == 0


def test_calls_are_evidence_of_their_callers() -> None:
    screened, ended = 1, 2
    rows = {
        EventRecord(screened, NOW_MS * 1000, 1): Metric.CALLS,
        EventRecord(screened, NOW_MS * 1000, 1, action=3): None,
        EventRecord(ended, NOW_MS * 1000, 1, status=487): Metric.UNANSWERED,
        EventRecord(ended, NOW_MS * 1000, 1, status=200, talk_ms=2000): Metric.SHORT_ANSWERED,
        EventRecord(ended, NOW_MS * 1000, 1, status=200, talk_ms=30_000): None,
        EventRecord(ended, NOW_MS * 1000, 1, status=200, talk_ms=90_000): Metric.LONG_ANSWERED,
    }
    for record, metric in rows.items():
        assert metric_of(record) == metric
    seen: list[tuple[int, Metric]] = []
    callers = RecentCallers()
    batch = EventBatch(EventRecord(screened, NOW_MS * 1000, 1, caller=NUMBER).pack())
    observe_calls(batch, lambda key, metric, now_ms: seen.append((key, metric)), callers)
    assert seen == [(NUMBER, Metric.CALLS), (2 << 60 | 186139123456, Metric.CALLS)]
    assert callers.clean(NOW_MS, [NUMBER], (), ()) == {NUMBER}
