"""M6 in a tree: a judge that lies. While judges disagree the milder word counts; a minute later there is an alarm."""

from __future__ import annotations

import pytest

from proxy.control.sync.metrics import Metric
from proxy.control.sync.records import Verdict
from proxy.control.sync.score import Band, Judgement, Why
from proxy.control.sync.trust import Role
from proxy.control.sync.verdicts import TTL_S
from tests.proxy.sync.fleet import Fleet, Weather, member, number

CLEAN, GUILTY = number(8613800138000), number(8613900000000)
PROXIES = [f"p{index}" for index in range(3)]


def tree(seed: int = 1) -> Fleet:
    """Two that judge, two reducers and three proxies of one region."""
    members = [member(1, "top-a", Role.TOP, "centre", 0), member(2, "top-b", Role.TOP, "centre", 1)]
    members += [member(3, "r-a", Role.REDUCER, "r", 0), member(4, "r-b", Role.REDUCER, "r", 1)]
    members += [member(5 + index, name, Role.PROXY, "r", 2 + index) for index, name in enumerate(PROXIES)]
    return Fleet(members, mesh=False, seed=seed)


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
