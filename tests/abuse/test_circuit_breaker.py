"""M11: what would newly block too many of a node's live callers is held, by source, and everything else passes."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine._numbers import block_of
from engine._reputation import ReputationCache
from engine.policy_rows import name_hash
from proxy.control.decisions import Act, Decision, Kind
from proxy.control.fleet_effects import BEHAVIOUR, COMPLAINTS, FleetEffects
from proxy.control.held_sources import read_held, write_held
from proxy.control.store import Store
from proxy.control.sync.breaker import EVERYTHING, OF_MACHINES, OF_PEOPLE
from proxy.control.sync.metrics import Metric
from proxy.control.sync.score import Band, Judgement, Why
from proxy.control.sync.trust import Parameters
from proxy.control.sync.verdicts import VerdictTable
from tests.proxy.sync.fleet import START_MS, mesh_of, number

NOW_MS = START_MS
LIVE = 500
CALLERS = [number(8613912345000 + at) for at in range(LIVE)]
OTHER = number(44123)


class Everyone:
    """Orders of a node, in force as soon as they are merged."""

    def __init__(self) -> None:
        self.merged: list[Decision] = []
        self.trunks = SimpleNamespace(name_of={4 << 60 | 1: "carrier", 4 << 60 | 2: "other"}.get)

    async def merge(self, decisions: list[Decision]) -> None:
        self.merged += decisions


class Screen:
    """A node's effects; what is in force shows in `blocked` and `ordered`."""

    def __init__(self, directory: Path, live: Iterable[int] = CALLERS) -> None:
        self.orders = Everyone()
        self.verdicts = VerdictTable()
        self.reputation = ReputationCache(directory / "reputation.tbl", 10_000)
        self.effects = FleetEffects(
            self.orders,  # type: ignore[arg-type]
            self.reputation,
            self.verdicts,
            lambda origin: f"node-{origin}",
        )
        self.now_ms = NOW_MS
        self._hlc = 0
        for caller in live:
            self.effects.callers.add(caller, False, NOW_MS)

    def judge(self, keys: Iterable[int], why: Why, band: Band = Band.BLOCK) -> None:
        wanted = array("Q", keys)
        self._hlc += 1
        for key in wanted:
            self.verdicts.merge(key, Judgement(900, band, why), self.now_ms // 1000 + 3600, 1, self._hlc, 1)
        self.effects.take_bands(wanted, bytearray([band] * len(wanted)), self.now_ms)

    def order(self, *keys: int, signer: int = 1, kind: Kind = Kind.EXACT, tomb: bool = False) -> None:
        self._hlc += 1
        given = [Decision("operator", kind, key, Act.BLOCK, 2, self._hlc, signer, tomb=tomb) for key in keys]
        self.effects.take_decisions(given, self.now_ms)

    def release(self) -> int:
        count = self.effects.release(self.now_ms)
        while self.effects.put_released(7, self.now_ms):
            pass
        return count

    def blocked(self, keys: Iterable[int]) -> int:
        standing = [self.reputation.read(key, self.now_ms * 1000) for key in keys]
        return sum(each is not None and each.points > 900 for each in standing)

    @property
    def ordered(self) -> list[int]:
        asyncio.run(self.effects.store_decisions())
        return [one.key for one in self.orders.merged]

    @property
    def held_sources(self) -> set[str]:
        return set(self.effects.breaker.holds)


@pytest.fixture
def screen(tmp_path: Path) -> Screen:
    return Screen(tmp_path)


def test_m11_what_would_block_many_callers_waits_for_release(screen: Screen) -> None:
    feed = [*CALLERS[:20], number(15)]
    screen.judge(feed, Why.UNANSWERED)
    assert screen.blocked(feed) == 0
    assert screen.effects.held == {BEHAVIOUR: 21}
    assert "20 of the 500 callers" in screen.effects.breaker.holds[BEHAVIOUR].why
    screen.judge([OTHER], Why.UNANSWERED)
    assert screen.blocked([OTHER]) == 0  # nothing of that source overtakes what is held
    assert screen.release() == 22
    assert screen.blocked([*feed, OTHER]) == 22
    assert not screen.effects.breaker.holding
    screen.judge(feed, Why.UNANSWERED)
    assert not screen.effects.breaker.holding  # they were approved


def test_m11_few_callers_are_no_mistake_of_a_feed(screen: Screen) -> None:
    screen.judge([*CALLERS[: OF_MACHINES.at_once - 1], *range(OTHER, OTHER + 1000)], Why.UNANSWERED)
    assert not screen.effects.breaker.holding


def test_m11_a_feed_in_small_portions_is_held_too(screen: Screen) -> None:
    for start in range(0, 200, 5):
        screen.judge(CALLERS[start : start + 5], Why.UNANSWERED)
    assert screen.held_sources == {BEHAVIOUR}
    assert screen.blocked(CALLERS) < OF_MACHINES.in_window


def test_m11_complaints_in_bulk_are_held_too(screen: Screen) -> None:
    screen.judge(CALLERS[: OF_PEOPLE.at_once], Why.COMPLAINTS)
    assert screen.held_sources == {COMPLAINTS} and screen.blocked(CALLERS) == 0


def test_m11_a_handful_of_complaints_on_a_node_with_few_callers_passes(tmp_path: Path) -> None:
    screen = Screen(tmp_path, CALLERS[:14])
    screen.judge(CALLERS[:14], Why.COMPLAINTS | Why.UNANSWERED)
    assert screen.blocked(CALLERS[:14]) == 14 and not screen.effects.breaker.holding


def test_m11_callers_that_are_blocked_already_are_not_blocked_anew(tmp_path: Path) -> None:
    apart = [number(8613912345000 + 100 * at) for at in range(60)]
    screen = Screen(tmp_path, apart)
    for at, caller in enumerate(apart):
        screen.now_ms = NOW_MS + at * 1000
        screen.judge([caller], Why.COMPLAINTS)
        screen.judge(apart[: at + 1], Why.COMPLAINTS | Why.UNANSWERED)  # their scores have changed
        screen.judge([block_of(each, 2) for each in apart[: at + 1]], Why.UNANSWERED)
        assert not screen.effects.breaker.holding
    assert screen.blocked(apart) == 60


def test_m11_complaints_one_after_the_other_in_a_mesh_are_never_held(tmp_path: Path) -> None:
    """When the calls that they made before end, all of them are judged anew together."""
    fleet = mesh_of(3, Parameters(f=0, cap=5, tag=300, challenge=450, block=50, origins=1))
    fleet.run(2)
    (tmp_path / "node-1").mkdir()
    screen = Screen(tmp_path / "node-1", ())
    node = fleet.nodes["node-1"]
    screen.effects = FleetEffects(screen.orders, screen.reputation, node.replica.verdicts)  # type: ignore[arg-type]
    complained = [number(86 * 10**11 + (130 + at) * 10**8 + at) for at in range(60)]
    put = node.take_bands

    def put_into_force(limit: int) -> tuple[array[int], bytearray]:
        keys, bands = put(limit)
        screen.effects.take_bands(keys, bands, fleet.now_ms)
        return keys, bands

    node.take_bands = put_into_force  # type: ignore[method-assign]
    def everywhere(caller: int, metric: Metric) -> None:
        for each in fleet.nodes.values():
            each.observe(caller, metric, fleet.now_ms)

    for at, caller in enumerate(complained):
        everywhere(caller, Metric.CALLS)
        screen.effects.callers.add(caller, False, fleet.now_ms)
        fleet.nodes[f"node-{at % 3 + 1}"].complain(caller, f"person {at}", fleet.now_ms)
        fleet.step()
        assert not screen.effects.breaker.holding, at
    for caller in complained:
        everywhere(caller, Metric.UNANSWERED)
    fleet.run(60)
    assert not screen.effects.breaker.holding
    screen.now_ms = fleet.now_ms
    assert screen.blocked(complained) == len(complained)


def test_m11_a_hold_is_of_the_source_that_caused_it(screen: Screen) -> None:
    screen.judge(CALLERS[:20], Why.UNANSWERED)
    assert screen.held_sources == {BEHAVIOUR}
    screen.judge(CALLERS[100:110], Why.COMPLAINTS)
    screen.order(OTHER)
    assert screen.blocked(CALLERS[100:110]) == 10 and screen.ordered == [OTHER]
    screen.judge(CALLERS[:1], Why.UNANSWERED | Why.COMPLAINTS)  # now somebody complains of it
    assert screen.blocked(CALLERS[:1]) == 1 and screen.effects.held == {BEHAVIOUR: 19}


def test_m11_orders_of_one_authority_do_not_wait_for_those_of_another(screen: Screen) -> None:
    screen.order(*CALLERS[:20], signer=2)
    assert screen.ordered == [] and screen.held_sources == {"orders of node-2"}
    screen.order(CALLERS[30], signer=1)
    screen.judge(CALLERS[40:50], Why.COMPLAINTS)
    assert screen.ordered == [CALLERS[30]] and screen.blocked(CALLERS) == 10
    screen.order(CALLERS[0], signer=2, tomb=True)
    assert screen.release() == 19  # what was withdrawn meanwhile does not come into force
    assert sorted(screen.ordered) == sorted([CALLERS[30], CALLERS[0], *CALLERS[1:20]])


def test_m11_an_operator_who_blocks_one_after_the_other_is_not_held_up(screen: Screen) -> None:
    for caller in CALLERS[:60]:
        screen.order(caller)
    assert screen.ordered == CALLERS[:60]


@pytest.mark.parametrize("prefix", [2 << 60 | 18613912345, 2 << 60 | 186139])
def test_m11_one_prefix_of_many_callers_is_held(screen: Screen, prefix: int) -> None:
    screen.order(prefix, kind=Kind.PREFIX)
    screen.judge([prefix], Why.UNANSWERED)
    assert screen.held_sources == {"orders of node-1", BEHAVIOUR} and screen.ordered == []


def test_m11_a_trunk_with_most_live_calls_is_held_and_a_quiet_one_is_not(screen: Screen) -> None:
    for caller in CALLERS[:400]:
        screen.effects.callers.add(caller, False, NOW_MS, name_hash("carrier"))
    screen.order(4 << 60 | 2, kind=Kind.TRUNK)
    screen.order(4 << 60 | 3, kind=Kind.TRUNK)  # of another node
    assert screen.ordered == [4 << 60 | 2, 4 << 60 | 3]
    screen.order(4 << 60 | 1, kind=Kind.TRUNK)
    assert len(screen.ordered) == 2
    assert screen.effects.breaker.holds["orders of node-1"].why.startswith("would newly block 400 of the 500")


def test_m11_what_is_held_comes_into_force_as_it_is_then(screen: Screen) -> None:
    screen.judge(CALLERS[:20], Why.UNANSWERED)
    screen.judge(CALLERS[:5], Why.UNANSWERED, Band.TAG)
    assert screen.effects.held == {BEHAVIOUR: 15}
    screen.release()
    assert screen.blocked(CALLERS) == 15


def test_m11_hold_by_hand_is_of_everything_that_blocks(screen: Screen) -> None:
    screen.effects.breaker.hold()
    screen.judge([CALLERS[0], OTHER], Why.COMPLAINTS)
    screen.judge([number(1)], Why(0), Band.TAG)
    screen.order(CALLERS[1])
    screen.order(CALLERS[2], tomb=True)
    assert screen.ordered == [CALLERS[2]] and screen.blocked(CALLERS) == 0
    assert screen.reputation.read(number(1), NOW_MS * 1000) is not None  # a label blocks nobody
    assert screen.release() == 3
    assert screen.ordered == [CALLERS[2], CALLERS[1]] and screen.blocked([CALLERS[0], OTHER]) == 2


def test_m11_what_is_held_is_held_after_a_restart(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    before, after = Screen(tmp_path), Screen(tmp_path / "again", ())
    before.judge(CALLERS[:20], Why.UNANSWERED)
    with closing(Store(tmp_path / "store.db")) as store:
        write_held(store, before.effects.breaker.sources)
        after.effects.breaker.hold_again(read_held(store), NOW_MS)
        after.judge([*CALLERS[:20], OTHER], Why.UNANSWERED)
        after.judge([number(7)], Why.COMPLAINTS)
        assert after.blocked([*CALLERS, OTHER]) == 0 and after.effects.held == {BEHAVIOUR: 21}
        assert after.blocked([number(7)]) == 1
        assert after.release() == 21 and after.blocked([*CALLERS, OTHER]) == 21
        after.effects.breaker.hold()
        write_held(store, after.effects.breaker.sources)
        assert read_held(store) == {EVERYTHING}


def test_m11_callers_of_long_ago_do_not_count(screen: Screen) -> None:
    screen.now_ms = NOW_MS + 700_000
    screen.judge(CALLERS[:50], Why.UNANSWERED)
    assert not screen.effects.breaker.holding


def test_m11_blocked_callers_three_times_as_many_are_held(tmp_path: Path) -> None:
    screen = Screen(tmp_path, [number(4_420_000 + at) for at in range(20_000)])
    live = [number(4_420_000 + at) for at in range(20_000)]
    for at in range(60):
        screen.effects.callers.add(OTHER + at, True, NOW_MS)
    screen.judge(live[:119], Why.UNANSWERED)
    assert not screen.effects.breaker.holding
    screen.judge(live[119:240], Why.UNANSWERED)  # 240 besides 60 would be 300, more than three times
    assert "where 60 were blocked" in screen.effects.breaker.holds[BEHAVIOUR].why


def test_prefixes_are_of_the_callers_below_them(screen: Screen) -> None:
    short_code = 3 << 60 | 195588
    screen.effects.callers.add(short_code, False, NOW_MS)
    callers = screen.effects.callers
    assert callers.clean(NOW_MS, (), [2 << 60 | 18613912345], ()) == set(CALLERS)
    assert callers.clean(NOW_MS, (), [2 << 60 | 1 << 59 | 1955], ()) == {short_code}
    assert callers.clean(NOW_MS, [OTHER], (), ()) == set()
    prefixes = {2 << 60 | 186139, 2 << 60 | 1 << 59 | 1955}
    assert set(callers.among(prefixes | {2 << 60 | 144}, NOW_MS)) == prefixes
    callers.add(CALLERS[0], True, NOW_MS)
    assert CALLERS[0] not in callers.clean(NOW_MS, CALLERS, (), ())  # it is rejected already
