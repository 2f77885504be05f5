"""M6 in a tree: a judge that lies, and a reducer.

While judges disagree the milder word counts; a minute later there is an alarm. A sum that no region can have is
refused.
"""

from __future__ import annotations

import msgspec
import pytest

from proxy.control.sync.decay import DAY_MS, UNIT
from proxy.control.sync.log_sums import q_of
from proxy.control.sync.metrics import Metric, slot_of, steps_now
from proxy.control.sync.records import Region, Verdict
from proxy.control.sync.score import Band, Judgement, Why
from proxy.control.sync.trust import Role
from proxy.control.sync.verdicts import TTL_S
from tests.proxy.sync.fleet import LOOSE, START_MS, Fleet, Weather, bundle_of, member, number

CLEAN, GUILTY = number(8613800138000), number(8613900000000)
PROXIES = [f"p{index}" for index in range(3)]


def tree(seed: int = 1, f: int = 0) -> Fleet:
    """Two that judge, two reducers and three proxies of one region."""
    members = [member(1, "top-a", Role.TOP, "centre", 0), member(2, "top-b", Role.TOP, "centre", 1)]
    members += [member(3, "r-a", Role.REDUCER, "r", 0), member(4, "r-b", Role.REDUCER, "r", 1)]
    members += [member(5 + index, name, Role.PROXY, "r", 2 + index) for index, name in enumerate(PROXIES)]
    return Fleet(members, msgspec.structs.replace(LOOSE, f=f), mesh=False, seed=seed)


def lie(fleet: Fleet, name: str, key: int, score: int, band: Band) -> None:
    """The judge says so, and goes on saying so in its digests and answers."""
    node = fleet.nodes[name]
    hlc = fleet.hlc() + 1
    word, ends_s = Judgement(score, band, Why.COMPLAINTS), fleet.now_ms // 1000 + TTL_S
    node.replica.verdicts.merge(key, word, ends_s, 1, hlc, node.member.origin)
    record = Verdict(key, 0, score, band, Why.COMPLAINTS, TTL_S)
    node.outbound.say(node.outbound.sealer.verdicts([record], hlc, 1))


def bands(fleet: Fleet, key: int) -> set[Band]:
    found = [fleet.nodes[name].replica.verdicts.get(key) for name in PROXIES]
    return {Band.NONE if verdict is None else verdict.judgement.band for verdict in found}


def alarms(fleet: Fleet) -> set[int]:
    return {fleet.nodes[name].replica.opinions.lasting(fleet.now_ms) for name in PROXIES}


@pytest.mark.parametrize("liar", ["top-a", "top-b"])
def test_m6_one_judge_alone_blocks_nobody(liar: str) -> None:
    fleet = tree()
    fleet.run(3)
    lie(fleet, liar, CLEAN, 999, Band.BLOCK)
    fleet.run(20)
    assert bands(fleet, CLEAN) == {Band.NONE}
    assert alarms(fleet) == {0}
    fleet.run(120)
    assert bands(fleet, CLEAN) == {Band.NONE}
    assert alarms(fleet) == {1}
    assert all(not fleet.bands[name].get(CLEAN) for name in PROXIES)


def test_m6_judges_that_agree_block_at_once() -> None:
    fleet = tree()
    fleet.run(3)
    fleet.nodes["p0"].observe(GUILTY, Metric.COMPLAINTS, fleet.now_ms, 5 << 16)
    fleet.run(10)
    assert bands(fleet, GUILTY) == {Band.BLOCK}
    fleet.run(120)
    assert alarms(fleet) == {0}
    assert all(len(fleet.nodes[name].replica.opinions) == 0 for name in PROXIES)


@pytest.mark.parametrize("seed", range(3))
def test_m6_messages_that_vanish_are_no_lie(seed: int) -> None:
    fleet = tree(seed)
    fleet.run(3)
    fleet.broker.weather = Weather(loss=0.3, duplicates=0.3, delay_ms=1000)
    for at in range(20):
        fleet.nodes["p0"].observe(number(1000 + at), Metric.COMPLAINTS, fleet.now_ms, 5 << 16)
    fleet.run(30)
    fleet.broker.weather = Weather()
    fleet.run(240)
    for at in range(20):  # what both reducers have missed is told again within an hour
        heard = {fleet.nodes[name].replica.verdicts.get(number(1000 + at)) is not None for name in ("top-a", "top-b")}
        assert len(heard) == 1
        assert bands(fleet, number(1000 + at)) == {Band.BLOCK if heard == {True} else Band.NONE}
    assert alarms(fleet) == {0}


def test_m6_the_milder_word_counts_for_who_is_guilty_too_and_there_is_an_alarm() -> None:
    fleet = tree()
    fleet.run(3)
    fleet.nodes["p0"].observe(GUILTY, Metric.COMPLAINTS, fleet.now_ms, 5 << 16)
    fleet.run(10)
    lie(fleet, "top-b", GUILTY, 0, Band.NONE)
    fleet.run(100)
    assert bands(fleet, GUILTY) == {Band.NONE}
    assert alarms(fleet) == {1}


def test_m6_a_judge_that_is_left_alone_is_believed_again() -> None:
    fleet = tree()
    fleet.run(3)
    fleet.nodes["p0"].observe(GUILTY, Metric.COMPLAINTS, fleet.now_ms, 5 << 16)
    fleet.run(10)
    lie(fleet, "top-b", GUILTY, 0, Band.NONE)
    fleet.run(10)
    assert bands(fleet, GUILTY) == {Band.NONE}
    fleet.disconnect("top-b")
    fleet.publish("top-b", fleet.wills["top-b"])
    fleet.run(5)
    assert bands(fleet, GUILTY) == {Band.BLOCK}


def test_m6_what_a_liar_tells_who_joins_does_not_last() -> None:
    fleet = tree()
    fleet.run(3)
    lie(fleet, "top-a", CLEAN, 999, Band.BLOCK)
    fleet.run(60)
    fleet.start("p2")
    fleet.run(200)
    assert bands(fleet, CLEAN) == {Band.NONE}


def sum_up(fleet: Fleet, name: str, *records: Region, trust: int = 1) -> None:
    """A reducer says so of its region."""
    sealer = fleet.nodes[name].outbound.sealer
    fleet.nodes[name].outbound.say(sealer.regions(records, fleet.hlc() + 1, trust))


def complaints(q: int, origins: int, *largest: tuple[int, int]) -> Region:
    return Region(CLEAN, 0, slot_of(Metric.COMPLAINTS), q, fleet_day(), origins, list(largest))


def fleet_day() -> int:
    return START_MS // DAY_MS


def q_now(events: int) -> int:
    return q_of(events * UNIT, steps_now(START_MS)[slot_of(Metric.COMPLAINTS)])


IMPOSSIBLE = {
    "more than its members may say": complaints(q_now(5 * 5 + 1), 0b1111100, (2, q_now(5))),
    "members that there are not": complaints(q_now(1), 1 << 20, (20, q_now(1))),
    "nobody": complaints(q_now(1), 0),
    "the largest left out": complaints(q_now(10), 0b11100, (2, q_now(1))),
    "one above the cap": complaints(q_now(6), 0b100, (2, q_now(6))),
    "one that has said nothing": complaints(q_now(1), 0b100, (3, q_now(1))),
    "one twice": complaints(q_now(2), 0b1100, (2, q_now(1)), (2, q_now(1))),
}


@pytest.mark.parametrize("said", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_m6_a_sum_that_a_region_cannot_have_is_refused(said: Region) -> None:
    fleet = tree(f=1)
    fleet.run(3)
    sum_up(fleet, "r-a", said)
    fleet.run(5)
    for name in ("top-a", "top-b"):
        assert fleet.nodes[name].counts["refused: region"] == 1
        assert not fleet.nodes[name].replica.regions.read(CLEAN, fleet.trust)
    fleet.nodes["p0"].complain(GUILTY, "somebody", fleet.now_ms)
    fleet.nodes["p1"].complain(GUILTY, "somebody else", fleet.now_ms)
    fleet.run(10)
    assert bands(fleet, GUILTY) == {Band.BLOCK}


def test_m6_what_is_said_under_a_bundle_that_there_is_not_outranks_nobody() -> None:
    fleet = tree()
    fleet.run(3)
    nothing = Region(GUILTY, 0, slot_of(Metric.COMPLAINTS), 0, fleet_day(), 0, [])
    sum_up(fleet, "r-a", nothing, trust=0xFFFF_FFFF)
    fleet.run(3)
    assert fleet.nodes["top-a"].counts["early: region"] == 1
    fleet.nodes["p0"].complain(GUILTY, "somebody", fleet.now_ms)
    fleet.run(10)
    assert bands(fleet, GUILTY) == {Band.BLOCK}


def test_m6_what_comes_before_its_bundle_counts_once_that_is_there() -> None:
    fleet = tree()
    fleet.run(3)
    sum_up(fleet, "r-a", complaints(q_now(1), 0b100), trust=2)
    fleet.run(1)
    top = fleet.nodes["top-a"]
    assert not top.replica.regions.read(CLEAN, fleet.trust)
    _, raw = bundle_of(fleet.members, fleet.parameters, version=2)
    top.inbound.take_bundle(raw)
    assert list(top.replica.regions.read(CLEAN, fleet.trust)) == ["r"]
