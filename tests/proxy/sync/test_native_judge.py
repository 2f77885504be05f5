"""The native judge comes to what the plain one comes to, in every bit: replicas must agree whoever computes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.hybrid_clock import stamp_of
from proxy.control.sync import log_sums
from proxy.control.sync.decay import DAY_MS, LANDMARK_MS, MAX_Q, UNIT
from proxy.control.sync.evidence import EvidenceTable
from proxy.control.sync.judge import Judge
from proxy.control.sync.key_set import KeySet
from proxy.control.sync.metrics import steps_now
from proxy.control.sync.records import Region
from proxy.control.sync.region_bounds import RegionBounds
from proxy.control.sync.score import CLEAN, Band, Judgement
from proxy.control.sync.trust import Parameters, Role, Trust
from proxy.control.sync.verdicts import TTL_S, VerdictTable
from tests.abuse.size import size
from tests.proxy.sync import plain_judge
from tests.proxy.sync.fleet import bundle_of, member, number

RUNS = size(40, 20_000)
NOW_MS = LANDMARK_MS + 300 * DAY_MS
REGIONS = ("east", "north", "west")
QS = st.one_of(st.integers(0, MAX_Q), st.integers(0, 3000), st.integers(10_000_000, 10_100_000))


@given(st.lists(QS, max_size=60), st.lists(QS, max_size=9), QS)
def test_m1_sums_and_differences_are_those_of_exact_integers(parts: list[int], less: list[int], whole: int) -> None:
    assert log_sums.sum_q(parts) == plain_judge.sum_q(parts)
    assert log_sums.difference_q(whole, less) == plain_judge.difference_q(whole, less)
    largest = sorted(parts, reverse=True)[: len(less)]
    total = plain_judge.sum_q(parts)
    assert log_sums.difference_q(total, largest) == plain_judge.difference_q(total, largest)


@given(QS, QS, st.integers(0, 1 << 50))
def test_m1_worths_are_those_of_exact_integers(q: int, now_steps: int, events: int) -> None:
    assert log_sums.worth(q, now_steps) == plain_judge.worth(q, now_steps)
    assert log_sums.q_of(events, now_steps) == min(plain_judge.q_of(events, now_steps), MAX_Q)


def trust_of(rng: random.Random, version: int = 1) -> Trust:
    members = [
        member(origin, f"node-{origin}", Role.PROXY, rng.choice(REGIONS), origin - 1) for origin in range(1, 13)
    ]
    low = rng.randrange(1, 500)
    f = rng.choice((0, 0, 1, 3, 8))
    parameters = Parameters(f, rng.choice((1, 5, 1000)), low, low + 100, low + 200, rng.choice((0, 1, 4)))
    return bundle_of(members, parameters, version, rng.sample(range(1, 13), 2))[0]


def fill(rng: random.Random, table: EvidenceTable, key: int) -> None:
    """Some of the origins are no members, some have had several lives, some say what cannot be."""
    steps = steps_now(NOW_MS)
    for _ in range(rng.choice((0, 1, 4, 12, 40))):
        metrics = rng.sample(range(16), rng.choice((1, 2, 5)))
        qs = [rng.choice((max(steps[m] + rng.randrange(-20_000, 9_000), 1), rng.randrange(1, MAX_Q))) for m in metrics]
        pairs = [field for pair in zip(metrics, qs, strict=True) for field in pair]
        table.merge(key, rng.randrange(1, 16), rng.choice((1, 2, 70_000)), 0, pairs)


def plain_regions(table: EvidenceTable, key: int, trust: Trust, tick_ms: int) -> dict[str, list[Region]]:
    slots = table.read(key)

    def index_in(region: str, origin: int) -> int | None:
        of = trust.by_origin(origin)
        return of.index if of is not None and of.region == region else None

    said = {}
    for region in REGIONS:
        records = plain_judge.reduce_key(
            key, 0, slots, lambda origin, name=region: index_in(name, origin), trust.parameters, tick_ms
        )
        if records:
            said[region] = records
    return said


@pytest.mark.parametrize("seed", range(10))
def test_m1_judgements_are_those_of_the_plain_judge(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(RUNS // 10):
        trust, table, key = trust_of(rng), EvidenceTable(), number(rng.randrange(10**9))
        judge = Judge(1, table, VerdictTable(), trust_of(rng))
        for version in (2, 3):
            fill(rng, table, key)
            trust = trust_of(rng, version)
            judge.use(trust)
            tick_ms, before = NOW_MS + rng.randrange(9) * DAY_MS, Band(rng.randrange(4))
            said = plain_regions(table, key, trust, tick_ms)
            assert judge.reduce(key, tick_ms) == said
            for region, records in said.items():
                RegionBounds(trust).check(region, records, tick_ms)  # what is true passes
            expected = plain_judge.judge(said, trust.parameters, tick_ms, before)
            assert judge.weigh(said, tick_ms, before) == expected
            assert judge.weigh_evidence(key, tick_ms, before) == expected


def test_verdicts_are_renewed_and_held_as_before() -> None:
    """A judge gives a verdict, leaves it, renews it in time, and changes no band within five seconds."""
    rng = random.Random(1)
    trust, _ = bundle_of([member(1, "one")], Parameters(f=0, cap=5, tag=100, challenge=150, block=200, origins=1))
    evidence, verdicts, key = EvidenceTable(), VerdictTable(), number(rng.randrange(10**9))
    judge, changed, again = Judge(1, evidence, verdicts, trust), KeySet(), KeySet()
    slot = 7  # complaints, long half-life
    evidence.merge(key, 1, 1, 0, [slot, plain_judge.q_of(5 * UNIT, steps_now(NOW_MS)[slot])])

    def told(now_ms: int) -> list[tuple[int, int]]:
        words = judge.judge([key], None, NOW_MS, now_ms, stamp_of(now_ms), changed, again)
        return [(word.band, word.ttl_s) for word in words]

    assert told(NOW_MS) == [(Band.BLOCK, TTL_S)]
    assert changed.take(9) == [key]
    assert told(NOW_MS + 1000) == []
    assert told(NOW_MS + TTL_S * 500) == [(Band.BLOCK, TTL_S)]
    assert not changed and not again
    evidence.raise_generation(key, 1)
    assert told(NOW_MS + TTL_S * 500 + 4999) == [] and again.take(9) == [key]
    assert told(NOW_MS + TTL_S * 500 + 5000) == [(Band.NONE, TTL_S)]
    standing = verdicts.get(key)
    assert standing is not None and standing.judgement == CLEAN == Judgement(0, Band.NONE, standing.judgement.why)
