"""The native tables do what plain dictionaries do, and read what the generic decoders read."""

from __future__ import annotations

import random
from hashlib import blake2b

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.sync.digest import entry_hash
from proxy.control.sync.key_set import KeySet
from proxy.control.sync.keys import BUCKETS, SHARDS
from proxy.control.sync.records import Refused, Verdict, read_keyed, write_keyed
from proxy.control.sync.sweeping import END
from proxy.control.sync.verdicts import LANDMARK_S, TTL_S, VerdictTable
from tests.abuse.size import size
from tests.proxy.sync.plain_tables import PlainVerdicts, buckets_of

RUNS = size(100, 100_000)
NOW_S = LANDMARK_S + 30_000_000
KEYS = st.integers(1, 40).map(lambda digits: 1 << 60 | 10 + digits)
VERDICTS = st.builds(
    Verdict,
    KEYS,
    st.integers(0, 0xFFFF_FFFF),
    st.integers(0, 1000),
    st.integers(0, 3),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFF_FFFF),
)
STAMPS = st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 3))


def number(digits: int) -> int:
    return 1 << 60 | int(f"1{digits}")


@given(st.binary(min_size=1, max_size=400))
def test_the_hash_is_blake2b(entry: bytes) -> None:
    assert entry_hash(entry) == int.from_bytes(blake2b(entry, digest_size=8).digest())


@given(st.lists(st.tuples(st.sampled_from("+-t"), st.integers(1, 30)), max_size=200))
def test_a_key_set_is_a_set_in_order(steps: list[tuple[str, int]]) -> None:
    keys, plain = KeySet(), set()
    for step, key in steps:
        if step == "+":
            assert keys.add(key) == (key not in plain)
            plain.add(key)
        elif step == "-":
            keys.discard(key)
            plain.discard(key)
        else:
            taken = keys.take(key)
            assert len(set(taken)) == len(taken) == min(key, len(plain)) and set(taken) <= plain
            plain -= set(taken)
        assert len(keys) == len(plain)
    assert all(key in keys for key in plain)
    assert set(keys.take(100)) == plain and keys.take(1) == []


def test_a_key_set_is_first_in_first_out_and_small() -> None:
    keys = KeySet()
    numbers = [number(digits) for digits in random.Random(2).sample(range(10**9), 100_000)]
    keys.update(numbers)
    keys.update(numbers[::-1])
    assert keys.octets < 25 * len(numbers)
    assert keys.take(1000) == numbers[:1000]
    for key in numbers[1000:]:
        keys.discard(key)
    for _ in range(100):
        keys.update(numbers[:1000])
        assert keys.take(1000) == numbers[:1000]
    assert keys.octets < 1_000_000
    with pytest.raises(ValueError):
        keys.add(0)


def frames_of(rng: random.Random) -> list[tuple[list[Verdict], tuple[int, int, int]]]:
    """Few keys in many frames, so that they meet."""
    return [
        (
            [
                Verdict(
                    number(rng.randrange(60)), 0, rng.randrange(1001), rng.randrange(4), rng.choice((1, 8, 256)),
                    rng.choice((60, TTL_S, 10**6)),
                )
                for _ in range(rng.randrange(20))
            ],
            (rng.randrange(2), rng.randrange(6), rng.randrange(3)),
        )
        for _ in range(rng.randrange(1, 12))
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(10))
def test_m1_verdicts_are_those_of_a_dictionary(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(RUNS // 10):
        plain, table, changed = PlainVerdicts(), VerdictTable(), KeySet()
        frames = frames_of(rng)
        for records, (trust, hlc, reducer) in [*frames, *frames]:
            data = write_keyed(records)
            table.take(data, NOW_S, trust, hlc, reducer, changed)
            for record in read_keyed(data, Verdict):
                plain.merge(
                    record.key, record.score, record.band, record.why, record.ttl_s, NOW_S, (trust, hlc, reducer)
                )
        same_as(table, plain)
        assert changed.take(1000) == plain.changed
        for key in rng.sample(sorted(plain.state), len(plain.state) // 2):
            del plain.state[key]
            table.forget(key)
        same_as(table, plain)


def same_as(table: VerdictTable, plain: PlainVerdicts) -> None:
    assert len(table) == len(plain.state)
    assert buckets_of(table.digest) == plain.digest()
    found = {key: verdict for shard in range(SHARDS) for key, verdict in table.items(shard)}
    assert found.keys() == plain.state.keys()
    for key, (_, hlc, _, score, band, why, expiry) in plain.state.items():
        judgement = found[key].judgement
        assert (judgement.score, judgement.band, judgement.why) == (score, band, why)
        assert found[key].expires_s == expiry + LANDMARK_S
        assert table.stamp_ms(key) == hlc >> 16


@given(st.lists(VERDICTS, max_size=40), st.sets(st.integers(0, BUCKETS - 1)))
def test_verdicts_are_written_as_they_are_read(records: list[Verdict], buckets: set[int]) -> None:
    table, copy = VerdictTable(), VerdictTable()
    table.take(write_keyed(records), NOW_S, 1, 1, 1, KeySet())
    for shard in range(SHARDS):
        keys = table.keys(shard)
        assert keys == sorted(keys)
        data = table.write_records([*keys, number(10**9)], [7] * (len(keys) + 1), TTL_S)
        assert [(record.key, record.gen) for record in read_keyed(data, Verdict)] == [(key, 7) for key in keys]
        copy.take(data, NOW_S, 1, 1, 1, KeySet())
        assert set(table.keys(shard, buckets)) <= set(keys)
        assert table.keys(shard, range(BUCKETS)) == keys
    assert copy.digest.roots() == table.digest.roots()


def outcome(data: bytes) -> str:
    """What the generic decoder thinks of it."""
    try:
        read_keyed(data, Verdict)
    except Refused as refused:
        return refused.why
    return ""


WORDS = st.one_of(st.integers(0, 2**64 - 1), st.integers(-5, 300), st.just(None), st.booleans(), st.binary(max_size=3))
ROWS = st.lists(
    st.one_of(
        VERDICTS.map(lambda v: [v.key, v.gen, v.score, v.band, v.why, v.ttl_s]),
        VERDICTS.map(lambda v: [v.key, v.gen, v.score, v.band, v.why, v.ttl_s, "news", [1, {"a": 2}], None]),
        st.lists(WORDS, max_size=8),
    ),
    max_size=4,
)


@given(st.one_of(ROWS.map(msgpack.packb), st.binary(max_size=60)), st.integers(0, 200), st.integers(0, 255))
def test_m9_native_and_generic_readers_agree(data: bytes, at: int, octet: int) -> None:
    for mutated in (data, data[:at], data[:at] + bytes([octet]) + data[at + 1 :], data + b"\0"):
        table, why = VerdictTable(), ""
        try:
            count = table.take(mutated, NOW_S, 1, 1, 1, KeySet())
        except Refused as refused:
            why, count = refused.why, 0
            assert len(table) == 0
        assert bool(why) == bool(outcome(mutated)), (why, outcome(mutated))
        if not why:
            assert count == len(read_keyed(mutated, Verdict))


def test_verdicts_fade_and_are_forgotten() -> None:
    table, changed = VerdictTable(), KeySet()
    keys = [number(digits) for digits in range(4)]
    table.take(
        write_keyed([Verdict(key, 0, 900, band, 1, 60) for band, key in enumerate(keys)]), NOW_S, 1, 1, 1, KeySet()
    )
    shards = range(SHARDS)
    for now_s, expected, left in (
        (NOW_S + 59, [], 4),
        (NOW_S + 60, keys[2:], 4),
        (NOW_S + 60 + 18 * 3600, keys[1:], 1),
    ):
        for shard in shards:
            met, reached = table.expire(shard, now_s, changed, 0, END)
            assert len(met) >= len(table.keys(shard)) and reached == END
        assert sorted(changed.take(9)) == expected
        assert len(table) == left


def test_verdicts_of_new_keys_and_of_those_in_the_same_band() -> None:
    table, changed = VerdictTable(), KeySet()
    old, new = number(1), number(2)
    table.take(write_keyed([Verdict(old, 0, 100, 1, 1, 60)]), NOW_S, 1, 1 << 16, 1, KeySet())
    both = write_keyed([Verdict(old, 0, 900, 3, 1, 60), Verdict(new, 0, 900, 3, 1, 60)])
    assert table.take_new(both, NOW_S, 1, 2 << 16, 1, changed) == [old]
    assert changed.take(9) == [new]
    assert [table.stamp_ms(key) for key in (old, new)] == [1, 2]
    milder = write_keyed([Verdict(old, 0, 110, 1, 1, 60), Verdict(new, 0, 900, 3, 1, 60)])
    assert table.take_new(milder, NOW_S, 1, 3 << 16, 1, changed) == []  # of one mind: no word to be weighed
    assert changed.take(9) == [old]
    assert [table.stamp_ms(key) for key in (old, new)] == [3, 3]
    with pytest.raises(Refused):
        table.take_new(both[:-1], NOW_S, 1, 4 << 16, 1, changed)
