"""The native evidence table does what plain dictionaries do, and reads what the generic decoder reads."""

from __future__ import annotations

import random

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.sync.decay import DAY_MS, LANDMARK_MS
from proxy.control.sync.evidence import EvidenceTable
from proxy.control.sync.key_set import KeySet
from proxy.control.sync.keys import SHARDS
from proxy.control.sync.log_sums import worth
from proxy.control.sync.metrics import SLOTS, VANISHING, least_kept, steps_now
from proxy.control.sync.records import Refused, read_evidence, write_evidence
from proxy.control.sync.sweeping import END
from tests.abuse.size import size
from tests.proxy.sync.plain_tables import PlainEvidence, buckets_of

RUNS = size(100, 100_000)
NOW_MS = LANDMARK_MS + 300 * DAY_MS


def number(digits: int) -> int:
    return 1 << 60 | int(f"1{digits}")


def record(rng: random.Random) -> tuple[int, int, list[int]]:
    steps = steps_now(NOW_MS)
    metrics = [rng.randrange(16) for _ in range(rng.choice((1, 1, 2, 4)))]
    pairs = [field for m in metrics for field in (m, max(steps[m] + rng.randrange(-9000, 3000), 0))]
    return number(rng.randrange(40)), rng.choice((0, 0, 0, 0, 0, 1, 2)), pairs


def same(table: EvidenceTable, plain: PlainEvidence) -> None:
    slots = {(key, origin, epoch, m): q for (key, origin, epoch), of in plain.slots.items() for m, q in of.items()}
    keys = {slot[0] for slot in plain.slots}
    assert len(table) == len(keys) and table.ahead == plain.ahead
    assert {(key, o, e, m): q for key in keys for o, e, m, q in table.read(key)} == slots
    assert sorted(table.generations()) == sorted(plain.generations.items())
    assert buckets_of(table.digest) == plain.digest()
    found = [table.keys(shard) for shard in range(SHARDS)]
    assert {key for some in found for key in some} == keys and all(some == sorted(some) for some in found)


@pytest.mark.parametrize("seed", range(10))
def test_m1_evidence_is_that_of_a_dictionary(seed: int) -> None:
    """A run: frames of several origins in several lives, each perhaps twice; forgiven keys, revoked origins, sweeps."""
    rng = random.Random(seed)
    for _ in range(RUNS // 10):
        table, plain = EvidenceTable(), PlainEvidence()
        for _ in range(rng.randrange(1, 25)):
            step(rng, table, plain)
        same(table, plain)
        same(reloaded(table), reloaded_plain(plain))


def step(rng: random.Random, table: EvidenceTable, plain: PlainEvidence) -> None:
    kind = rng.random()
    if kind < 0.80:
        records = [record(rng) for _ in range(rng.randrange(30))]
        origin, epoch, touched = rng.randrange(1, 6), rng.choice((1, 2, 70_000)), KeySet()
        for _ in range(rng.choice((1, 2))):
            news = table.merge_records(write_evidence(records), origin, epoch, touched)
            expected = [key for key, gen, pairs in sorted(records) if plain.merge(key, origin, epoch, gen, pairs)]
            assert news == len(expected)
            assert set(touched.take(1000)) == set(expected)
    elif kind < 0.88:
        key, gen = number(rng.randrange(40)), rng.randrange(3)
        assert table.raise_generation(key, gen) == plain.raise_generation(key, gen)
    elif kind < 0.94:
        origin = rng.randrange(1, 6)
        assert set(table.drop_origin(origin)) == plain.drop_origin(origin)
    else:
        now_ms = NOW_MS + rng.randrange(9) * DAY_MS
        for shard in range(SHARDS):
            gone, kept, reached = table.sweep(shard, now_ms, 0, END)
            assert set(gone) == plain.sweep(shard, now_ms) and reached == END
            assert sorted(kept) == table.keys(shard)


def reloaded(table: EvidenceTable) -> EvidenceTable:
    """As from a store: generations first, then slot by slot in some other order."""
    again = EvidenceTable()
    for key, gen in table.generations():
        again.raise_generation(key, gen)
    slots = [(key, *slot) for shard in range(SHARDS) for key in table.keys(shard) for slot in table.read(key)]
    random.Random(len(slots)).shuffle(slots)
    for key, origin, epoch, metric, q in slots:
        assert again.merge(key, origin, epoch, table.generation(key), [metric, q])
    assert again.digest.roots() == table.digest.roots()
    return again


def reloaded_plain(plain: PlainEvidence) -> PlainEvidence:
    again = PlainEvidence()
    again.slots, again.generations = plain.slots, plain.generations
    return again


def test_sources_beyond_sixteen_bits_keep_their_own_slots() -> None:
    table = EvidenceTable()
    for epoch in range(1, 66_000):
        table.merge(number(epoch % 50 + 10), 1, epoch, 0, [0, epoch])
    for epoch in (70_001, 70_002, 70_001):
        table.merge_records(write_evidence([(number(5), 0, [1, 9, 7, 3])]), 2, epoch, KeySet())
    assert table.read(number(5)) == [(2, 70_001, 1, 9), (2, 70_001, 7, 3), (2, 70_002, 1, 9), (2, 70_002, 7, 3)]
    assert table.merge(number(5), 2, 70_001, 0, [1, 10])
    assert sorted(table.drop_origin(1)) == [number(digits) for digits in range(10, 60)]
    assert table.merge(number(5), 2, 70_003, 0, [2, 1])
    assert [slot[1:] for slot in table.read(number(5))] == [
        (70_001, 1, 10), (70_001, 7, 3), (70_002, 1, 9), (70_002, 7, 3), (70_003, 2, 1)
    ]  # fmt: skip


def test_memory_follows_what_is_kept() -> None:
    table, touched = EvidenceTable(), KeySet()
    keys = [number(digits) for digits in random.Random(3).sample(range(10**9), 40_000)]
    for origin in (1, 2, 3, 4):
        for start in range(0, len(keys), 4000):
            some = [(key, 0, [1, 1000 + origin, 3, 2000]) for key in keys[start : start + 4000]]
            assert table.merge_records(write_evidence(some), origin, 1, touched) == 4000
    assert table.octets < 100 * len(keys)
    for origin in (1, 2, 3):
        table.drop_origin(origin)
    assert table.octets < 50 * len(keys)
    table.drop_origin(4)
    assert len(table) == 0 and table.octets < 50_000


@given(st.integers(0, 400 * DAY_MS))
def test_what_is_swept_is_worth_less_than_a_hundredth(age_ms: int) -> None:
    now_ms = LANDMARK_MS + age_ms
    for least, now_steps in zip(least_kept(now_ms), steps_now(now_ms), strict=True):
        assert worth(least, now_steps) >= VANISHING > worth(least - 1, now_steps)
    assert len(least_kept(now_ms)) == SLOTS


WORDS = st.one_of(st.integers(0, 2**64 - 1), st.integers(-5, 300), st.just(None), st.booleans(), st.just(1.5))
ROWS = st.lists(
    st.one_of(
        st.tuples(st.just(1 << 60), st.integers(0, 9), st.lists(st.integers(0, 20), max_size=6)).map(
            lambda row: [row[0], row[1], *row[2]]
        ),
        st.lists(WORDS, max_size=8),
    ),
    max_size=4,
)


@given(st.one_of(ROWS.map(msgpack.packb), st.binary(max_size=60)), st.integers(0, 100), st.integers(0, 255))
def test_m9_native_and_generic_readers_agree(data: bytes, at: int, octet: int) -> None:
    for mutated in (data, data[:at], data[:at] + bytes([octet]) + data[at + 1 :], data + b"\0"):
        table, plain, touched = EvidenceTable(), PlainEvidence(), KeySet()
        try:
            records = read_evidence(mutated)
        except Refused:
            with pytest.raises(Refused):
                table.merge_records(mutated, 1, 1, touched)
            assert len(table) == len(touched) == table.ahead == 0
        else:
            table.merge_records(mutated, 1, 1, touched)
            for key, gen, pairs in records:
                plain.merge(key, 1, 1, gen, pairs)
            same(table, plain)
