"""The joins are commutative, associative and idempotent, and digests follow them."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from proxy.control.decisions import Act, Decision, Kind
from proxy.control.sync.decision_log import DecisionLog
from proxy.control.sync.digest import Digest, total
from proxy.control.sync.evidence import EvidenceTable
from proxy.control.sync.records import Region
from proxy.control.sync.regions import join_regions
from proxy.control.sync.score import Band, Judgement, Why
from proxy.control.sync.sketches import (
    Sketches,
    add_callee,
    distinct_callees,
    distinct_complainants,
    larger,
    no_callees,
    union,
)
from proxy.control.sync.verdicts import VerdictTable

KEYS = st.integers(1, 6).map(lambda digits: 1 << 60 | 10 + digits)
SLOTS = st.tuples(
    KEYS, st.integers(1, 4), st.integers(1, 2), st.just(0), st.lists(st.integers(0, 15), min_size=1, max_size=3),
    st.integers(1, 50),
)  # fmt: skip
HASHES = st.lists(st.integers(0, 1 << 64), max_size=40)


def evidence_of(slots: list[tuple[int, int, int, int, list[int], int]]) -> EvidenceTable:
    table = EvidenceTable()
    for key, origin, epoch, gen, metrics, q in slots:
        table.merge(key, origin, epoch, gen, [field for metric in metrics for field in (metric, q)])
    return table


@given(st.lists(SLOTS, max_size=40), st.randoms())
def test_evidence_in_any_order_any_number_of_times(slots: list, rng: random.Random) -> None:
    again = slots * 2
    rng.shuffle(again)
    one, other = evidence_of(slots), evidence_of(again)
    assert one.digest.roots() == other.digest.roots()
    for key in range((1 << 60) + 11, (1 << 60) + 17):
        assert sorted(one.read(key)) == sorted(other.read(key))
    exact: dict[tuple[int, int, int, int], int] = {}
    for key, origin, epoch, _, metrics, q in slots:
        for metric in metrics:
            exact[key, origin, epoch, metric] = max(q, exact.get((key, origin, epoch, metric), 0))
    held = {(key, o, e, m): q for key in {s[0] for s in slots} for o, e, m, q in other.read(key)}
    assert held == exact


@given(st.lists(SLOTS, max_size=40), st.integers(1, 4))
def test_without_a_revoked_origin_it_was_never_there(slots: list, revoked: int) -> None:
    poisoned = evidence_of(slots)
    poisoned.drop_origin(revoked)
    clean = evidence_of([slot for slot in slots if slot[1] != revoked])
    assert poisoned.digest.roots() == clean.digest.roots()
    assert len(poisoned) == len(clean)


@given(st.lists(SLOTS, max_size=20))
def test_a_generation_voids_what_was_before(slots: list) -> None:
    table = evidence_of(slots)
    for key in {slot[0] for slot in slots}:
        assert table.raise_generation(key, 1)
        assert not table.raise_generation(key, 1)
        assert not table.merge(key, 1, 1, 0, [1, 1_000_000])
        assert not table.merge(key, 1, 1, 2, [1, 1_000_000])
        assert table.merge(key, 1, 1, 1, [1, 7])
        assert table.read(key) == [(1, 1, 1, 7)]


@given(HASHES, HASHES, HASHES)
def test_complainants_join(a: list[int], b: list[int], c: list[int]) -> None:
    assert union(a, b) == union(b, a)
    assert union(union(a, b), c) == union(a, union(b, c))
    assert union(union(a, b), b) == union(a, b)


def test_sketches_estimate() -> None:
    rng = random.Random(5)
    people = [rng.getrandbits(64) for _ in range(1000)]
    assert distinct_complainants(union(people[:9], people[:9])) == 9
    assert 600 < distinct_complainants(union(people[:500], people[400:])) < 1600
    registers = no_callees()
    for hashed in people:
        registers = add_callee(registers, hashed)
    assert 700 < distinct_callees(registers) < 1300
    assert larger(registers, no_callees()) == registers == larger(no_callees(), registers)


def test_sketches_keep_two_periods() -> None:
    sketches = Sketches()
    for day in (5, 3, 4, 2):
        sketches.merge_complainants(7, 0, day, [day])
    assert sketches.complainants(7, 0) == {5: [5], 4: [4]}


REGIONS = st.builds(
    Region,
    st.just(1 << 60 | 18),
    st.just(0),
    st.just(7),
    st.integers(0, 1000),
    st.integers(0, 9),
    st.integers(0, 255),
    st.lists(st.tuples(st.integers(0, 7), st.integers(1, 9)), max_size=3, unique_by=lambda pair: pair[0]).map(
        lambda pairs: sorted(pairs, key=lambda pair: (-pair[1], -pair[0]))
    ),
)


@given(REGIONS, REGIONS, REGIONS)
def test_regions_join(a: Region, b: Region, c: Region) -> None:
    assert join_regions(a, b, 3) == join_regions(b, a, 3)
    assert join_regions(join_regions(a, b, 3), c, 3) == join_regions(a, join_regions(b, c, 3), 3)
    assert join_regions(a, a, 3) == a


VERDICTS = st.tuples(
    KEYS, st.integers(0, 1000), st.sampled_from(Band), st.integers(1, 3), st.integers(1, 9), st.integers(1, 3)
)


@given(st.lists(VERDICTS, max_size=30), st.randoms())
def test_verdicts_join_by_trust_time_and_reducer(verdicts: list, rng: random.Random) -> None:
    unique = list({(key, trust, hlc, reducer): v for v in verdicts for key, _, _, trust, hlc, reducer in [v]}.values())
    tables = []
    for _ in range(2):
        table = VerdictTable()
        for key, score, band, trust, hlc, reducer in unique:
            table.merge(key, Judgement(score, band, Why(1)), 1_800_000_000, trust, hlc, reducer)
        tables.append(table)
        rng.shuffle(unique)
    assert tables[0].digest.roots() == tables[1].digest.roots()
    for key in {verdict[0] for verdict in unique}:
        latest = max((v[3:], v) for v in unique if v[0] == key)[1]
        found = tables[1].get(key)
        assert found is not None
        assert (found.judgement.score, found.judgement.band) == latest[1:3]


DECISIONS = st.builds(
    Decision,
    st.sampled_from(["operator", "regulator"]),
    st.just(Kind.EXACT),
    KEYS,
    st.sampled_from([Act.BLOCK, Act.ALLOW]),
    st.integers(1, 3),
    st.integers(1, 50),
    st.integers(1, 3),
    tomb=st.booleans(),
)


@given(st.lists(DECISIONS, max_size=40, unique_by=lambda d: (d.identity, d.rank)), st.randoms())
def test_decisions_join_by_rank(decisions: list[Decision], rng: random.Random) -> None:
    logs = []
    for _ in range(2):
        log = DecisionLog()
        for at, decision in enumerate(decisions):
            log.merge([decision], b"%d" % at)
        logs.append(log)
        rng.shuffle(decisions)
    assert logs[0].hash == logs[1].hash
    for identity in {decision.identity for decision in decisions}:
        highest = max((d for d in decisions if d.identity == identity), key=lambda d: d.rank)
        assert logs[0].get(identity) == logs[1].get(identity) == highest


def test_a_protected_number_needs_two_authorities() -> None:
    log = DecisionLog(lambda decision: True)
    one = Decision("operator", Kind.EXACT, 1 << 60 | 18, Act.BLOCK, 2, 5, 1)
    other = Decision("operator", Kind.EXACT, 1 << 60 | 18, Act.BLOCK, 2, 6, 2)
    assert log.merge([one], b"one") == []
    assert log.merge([one], b"one") == []
    assert log.merge([other], b"other") == [other]
    assert list(log.frames_since(0)) == [b"one", b"other"]


def test_a_digest_finds_what_differs() -> None:
    one, other = Digest(), Digest()
    one.toggle((3, 200), b"entry")
    assert one.different_shards(other.roots()) == [3]
    assert one.different_buckets(3, other.shard(3)) == [200]
    one.toggle((3, 200), b"entry")
    assert total(one) == 0 and one.different_shards(other.roots()) == []
