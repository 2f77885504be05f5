"""M15 of the fault and abuse tests: one hot caller, many proxies, a lender that dies. Real tables, a fake clock.

What a proxy admits is what its workers would: its shares in a `ShareTable`, its calls in a `RateLimiter`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine._rate_limiter import RateLimiter
from engine._shares import ShareTable, scaled
from engine.policy_rows import limit_word, name_hash
from proxy.control.sync.lease_terms import MICRO, FleetLimit
from proxy.control.sync.node import Node
from proxy.control.sync.records import Demand
from proxy.control.sync.trust import Role
from tests.abuse.size import size
from tests.proxy.sync.fleet import TICK_MS, Fleet, Weather, member, mesh_of, number

CALLS_PER_S = 100
LIMIT = FleetLimit("caller-second", name_hash("caller-second"), CALLS_PER_S * MICRO, CALLS_PER_S)
CALLER = limit_word(LIMIT.word, number(8613900000000))
LENDING_S = 25  # until the first lender has waited and learned
OUTAGE_S = 30  # until the next one has


@dataclass
class Proxy:
    """What stands behind a node: the tables of its workers."""

    node: Node
    shares: ShareTable
    limiter: RateLimiter

    def apply(self, now_ms: int) -> None:
        self.shares.leave(LIMIT.word, self.node.limits.borrower.unlent_parts(now_ms))
        for change in self.node.limits.borrower.take_changes(1000):
            if change.parts:
                self.shares.lend(change.word, change.parts, -(-change.until_ms // 1000))
            else:
                self.shares.take_back(change.word)

    def call(self, now_us: int) -> bool:
        self.node.limits.borrower.attempt(LIMIT, CALLER)
        share = self.shares.read(CALLER, LIMIT.word, now_us)
        return self.limiter.conforms(CALLER, now_us, *scaled(1_000_000 // CALLS_PER_S, 990_000, *share))


class Hot:
    """A fleet and a caller who dials so often a second by these proxies. share: of his calls by the first of them."""

    def __init__(self, fleet: Fleet, names: list[str], folder: Path, seed: int = 1) -> None:
        self.fleet = fleet
        self.rng = random.Random(seed)
        self.proxies = []
        for name in names:
            (folder / name).mkdir()
            tables = ShareTable(folder / name / "shares.tbl", 256), RateLimiter(folder / name / "limiter.tbl", 256)
            self.proxies.append(Proxy(fleet.nodes[name], *tables))

    def run(self, seconds: float, calls_per_s: int, by: list[Proxy] | None = None) -> float:
        """Calls admitted a second."""
        admitted = 0
        for _ in range(int(seconds * 1000 / TICK_MS)):
            self.fleet.step()
            now_us = self.fleet.now_ms * 1000
            for proxy in self.proxies:
                proxy.apply(self.fleet.now_ms)
            times = sorted(self.rng.randrange(TICK_MS * 1000) for _ in range(calls_per_s * TICK_MS // 1000))
            admitted += sum(self.rng.choice(by or self.proxies).call(now_us + after) for after in times)
        return admitted / seconds


def tree(proxies: int) -> Fleet:
    members = [member(1, "top-a", Role.TOP, "centre", 0), member(2, "top-b", Role.TOP, "centre", 1)]
    for index in range(proxies):
        members.append(member(len(members) + 1, f"p{index}", Role.PROXY, f"r{index // 30}", index % 30))
    return Fleet(members, mesh=False)


def test_m15_a_lender_that_dies_costs_at_most_twice_the_limit(tmp_path: Path) -> None:
    fleet = tree(50)
    hot = Hot(fleet, [f"p{index}" for index in range(50)], tmp_path)
    hot.run(LENDING_S, 0)
    lasts = size(12, 120)
    before = hot.run(lasts, 4 * CALLS_PER_S)
    assert 0.85 * CALLS_PER_S <= before <= 1.05 * CALLS_PER_S
    fleet.disconnect("top-a")
    during = hot.run(OUTAGE_S, 4 * CALLS_PER_S)
    assert 0.5 * CALLS_PER_S <= during <= 2 * CALLS_PER_S
    after = hot.run(lasts, 4 * CALLS_PER_S)
    assert 0.85 * CALLS_PER_S <= after <= 1.05 * CALLS_PER_S
    assert {proxy.node.limits.borrower.lender for proxy in hot.proxies} == {2}


def test_m15_without_any_lender_a_safe_share_is_left(tmp_path: Path) -> None:
    proxies = size(12, 50)
    fleet = tree(proxies)
    hot = Hot(fleet, [f"p{index}" for index in range(proxies)], tmp_path)
    hot.run(LENDING_S, 0)
    fleet.disconnect("top-a")
    fleet.disconnect("top-b")
    hot.run(15, 4 * CALLS_PER_S)
    alone = hot.run(size(15, 60), 4 * CALLS_PER_S)
    assert 1.5 * CALLS_PER_S <= alone <= 2.1 * CALLS_PER_S


def test_m15_who_calls_by_one_node_alone_may_use_the_whole_limit(tmp_path: Path) -> None:
    """And when he moves to another one, the limit moves along, and is not there twice."""
    hot = Hot(tree(5), [f"p{index}" for index in range(5)], tmp_path)
    hot.run(LENDING_S, 0)
    assert hot.run(3, 2 * CALLS_PER_S, hot.proxies[:1]) <= 1.05 * CALLS_PER_S + CALLS_PER_S / 3
    assert 0.85 * CALLS_PER_S <= hot.run(10, 2 * CALLS_PER_S, hot.proxies[:1]) <= 1.05 * CALLS_PER_S
    moved = hot.run(25, 2 * CALLS_PER_S, hot.proxies[1:2])
    assert 0.5 * CALLS_PER_S <= moved <= 1.05 * CALLS_PER_S + CALLS_PER_S / 25


def test_m15_in_a_mesh_messages_vanish(tmp_path: Path) -> None:
    fleet = mesh_of(8, weather=Weather(loss=0.3, duplicates=0.3, delay_ms=400))
    hot = Hot(fleet, [f"node-{origin}" for origin in range(1, 9)], tmp_path)
    hot.run(LENDING_S + 5, 0)
    assert 0.6 * CALLS_PER_S <= hot.run(size(30, 300), 4 * CALLS_PER_S) <= 1.1 * CALLS_PER_S


def test_m15_a_caller_of_human_pace_is_not_hindered(tmp_path: Path) -> None:
    hot = Hot(tree(8), [f"p{index}" for index in range(8)], tmp_path)
    hot.run(LENDING_S, 0)
    for _ in range(10):
        assert hot.run(3, 0) == 0
        assert hot.proxies[0].call(hot.fleet.now_ms * 1000)


def test_m15_a_liar_gets_no_more_than_an_equal_part(tmp_path: Path) -> None:
    hot = Hot(tree(4), ["p0", "p1", "p2"], tmp_path)
    hot.run(LENDING_S, 0)
    liar = hot.fleet.nodes["p3"]
    key = None
    for _ in range(80):
        hot.run(0.25, 4 * CALLS_PER_S)
        key = key or next(iter(hot.proxies[0].node.limits.borrower.keys()), None)
        if key is not None:
            greedy = Demand(key, 1 << 60, 0, 1 << 60, 1 << 31)
            liar.outbound.say(liar.outbound.sealer.demands([greedy], hot.fleet.hlc(), 1))
    assert hot.run(10, 4 * CALLS_PER_S) >= 0.65 * CALLS_PER_S


@pytest.mark.parametrize("late", ["top-a", "top-b"])
def test_m15_two_lenders_become_one(late: str) -> None:
    fleet = tree(3)
    fleet.disconnect(late)
    fleet.run(40)
    fleet.connect(late)
    fleet.run(40)
    lending = [name for name in ("top-a", "top-b") if fleet.nodes[name].limits.lender.term]
    assert len(lending) == 1
    assert len({fleet.nodes[f"p{index}"].limits.borrower.lender for index in range(3)}) == 1
