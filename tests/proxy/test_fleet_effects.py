"""What the fleet says, put into force: points of reputation, orders, and the circuit breaker before both."""

from __future__ import annotations

import asyncio
from array import array
from pathlib import Path

from engine._reputation import ReputationCache
from proxy.control.decisions import Act, Decision, Kind
from proxy.control.fleet_effects import Change, FleetEffects, would_hit
from proxy.control.fleet_events import metric_of, observe_calls
from proxy.control.store_thread import StoreUnavailable
from proxy.control.sync.breaker import RecentCallers
from proxy.control.sync.metrics import Metric
from proxy.control.sync.score import Band
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
    return FleetEffects(orders or FullDisk(), reputation), reputation  # type: ignore[arg-type]


def points(reputation: ReputationCache) -> int:
    standing = reputation.read(NUMBER, NOW_MS * 1000)
    return 0 if standing is None else standing.points


def test_a_verdict_gives_points_and_takes_them_back(tmp_path: Path) -> None:
    fleet, reputation = effects(tmp_path)
    reputation.add(NUMBER, NOW_MS * 1000, 150)
    fleet.take([Change(NUMBER, Band.BLOCK)], NOW_MS)
    assert 990 <= points(reputation) <= 1010
    fleet.take([Change(NUMBER, Band.BLOCK)], NOW_MS)
    assert 990 <= points(reputation) <= 1010
    fleet.take([Change(NUMBER, Band.NONE)], NOW_MS)
    assert 145 <= points(reputation) <= 155  # what the node has learned by itself stays


def test_many_verdicts_at_once_are_what_each_would_be_alone(tmp_path: Path) -> None:
    fleet, reputation = effects(tmp_path)
    keys = [NUMBER + at for at in range(8)] + [4 << 60 | 5]
    reputation.add(NUMBER + 1, NOW_MS * 1000, 150)
    fleet.take_bands(keys, bytes([0, 3, 3, 2, 1, 0, 3, 1, 3]), NOW_MS)
    standing = reputation.read_many(array("Q", keys), NOW_MS * 1000)
    assert [round(points, -1) for points in standing] == [0, 1000, 1000, 700, 600, 0, 1000, 600, 0]
    fleet.take_bands(keys, bytes(9), NOW_MS)
    standing = reputation.read_many(array("Q", keys), NOW_MS * 1000)
    assert [round(points, -1) for points in standing] == [0, 150, 0, 0, 0, 0, 0, 0, 0]


def test_m11_many_verdicts_that_would_hit_callers_wait_too(tmp_path: Path) -> None:
    fleet, reputation = effects(tmp_path)
    callers = [NUMBER + at for at in range(500)]
    for caller in callers:
        fleet.callers.add(caller, False, NOW_MS)
    fleet.take_bands(callers[:20], bytes([Band.BLOCK]) * 20, NOW_MS)
    assert (fleet.breaker.held, points(reputation)) == (20, 0)


def test_m11_blocks_that_would_hit_callers_wait_for_release(tmp_path: Path) -> None:
    fleet, reputation = effects(tmp_path)
    callers = [NUMBER + at for at in range(500)]
    for caller in callers:
        fleet.callers.add(caller, False, NOW_MS)
    fleet.take([Change(caller, Band.BLOCK) for caller in callers[:20]], NOW_MS)
    assert fleet.breaker.held == 20
    assert points(reputation) == 0
    assert fleet.release(NOW_MS) == 20
    assert points(reputation) > 900


def test_prefixes_hit_the_callers_below_them() -> None:
    prefix = Decision("operator", Kind.PREFIX, 2 << 60 | 186139, Act.BLOCK, 2, 1)
    short = Decision("operator", Kind.PREFIX, 2 << 60 | 1 << 59 | 18695, Act.BLOCK, 2, 1)
    short_code = 3 << 60 | 18695588
    other = 1 << 60 | 144123
    callers = {NUMBER, short_code, other}
    assert would_hit([Change(prefix.key, prefix)], callers) == {NUMBER}
    assert would_hit([Change(short.key, short)], callers) == {short_code}
    assert would_hit([Change(other, Band.BLOCK)], callers) == {other}


def test_d3_decisions_wait_for_the_disk(tmp_path: Path) -> None:
    orders = FullDisk()
    fleet, _ = effects(tmp_path, orders)
    order = Decision("operator", Kind.EXACT, NUMBER, Act.BLOCK, 2, 1)
    fleet.take([Change(NUMBER, order)], NOW_MS)

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
    assert callers.clean(NOW_MS) == {NUMBER}
