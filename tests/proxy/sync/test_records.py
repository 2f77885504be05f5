"""Records on the wire: what is written is read, msgpack itself as the witness; what is not sound is refused cheaply."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.decisions import Act, Decision, Kind
from proxy.control.sync.records import (
    MAX_RECORDS,
    Callees,
    Complainants,
    Generation,
    Refused,
    Region,
    Verdict,
    deflate,
    inflate,
    read_decisions,
    read_evidence,
    read_generations,
    read_keyed,
    write_decisions,
    write_evidence,
    write_generations,
    write_keyed,
)

KEYS = st.integers(1, (1 << 60) - 1).map(lambda payload: 1 << 60 | payload)
WORDS = st.integers(0, 0xFFFF_FFFF)
PAIRS = st.dictionaries(st.integers(0, 15), WORDS, min_size=1).map(lambda d: [x for pair in d.items() for x in pair])
NOW_S = 1_795_000_000


@given(st.lists(st.tuples(KEYS, WORDS, PAIRS), max_size=50))
def test_evidence_is_read_as_written(records: list[tuple[int, int, list[int]]]) -> None:
    data = write_evidence(records)
    assert read_evidence(data) == sorted(records)
    assert [row[1:] for row in msgpack.unpackb(data)] == [[gen, *pairs] for _, gen, pairs in sorted(records)]


@given(st.lists(KEYS, max_size=30), WORDS, st.binary(min_size=48, max_size=48))
def test_other_records_are_read_as_written(keys: list[int], word: int, registers: bytes) -> None:
    keys.sort()
    for records, kind in (
        ([Verdict(key, word, 700, 3, 5, word) for key in keys], Verdict),
        ([Callees(key, word, word, registers) for key in keys], Callees),
        ([Complainants(key, word, word, [1, key]) for key in keys], Complainants),
        ([Region(key, word, 7, word, word, word, [(31, word)]) for key in keys], Region),
    ):
        assert read_keyed(write_keyed(records), kind) == records  # type: ignore[type-var]
    generations = [Generation(key, word) for key in keys]
    assert read_generations(write_generations(generations)) == generations


def test_decisions_are_read_as_written() -> None:
    decision = Decision(
        "operator", Kind.PREFIX, 2 << 60 | 186, Act.BLOCK, 2, 5 << 16, 7, 1, NOW_S + 5, False, "why", "who"
    )
    assert read_decisions(write_decisions([decision]), 7, NOW_S) == [decision]


def test_fields_of_a_newer_node_are_passed_over() -> None:
    verdict = [1 << 60 | 18, 0, 700, 3, 1, 60, "news", [1, 2]]
    assert read_keyed(msgpack.packb([verdict]), Verdict) == [Verdict(1 << 60 | 18, 0, 700, 3, 1, 60)]


@given(st.binary(max_size=5000))
def test_deflating_comes_back(data: bytes) -> None:
    packed, deflated = deflate(data)
    assert (inflate(packed) if deflated else packed) == data


def bomb_of_arrays() -> bytes:
    return b"\xdd\x00\x0f\x00\x00" + b"\x90" * 0xF0000


ZLIB_BOMB = zlib.compress(bytes(60 << 20), 9)[:65_000]

HOSTILE: dict[str, Callable[[], Any]] = {
    "zlib bomb": lambda: inflate(ZLIB_BOMB),
    "zlib ratio": lambda: inflate(zlib.compress(bytes(1 << 16), 9)),
    "zlib garbage": lambda: inflate(b"\x78\x9c" + bytes(100)),
    "zlib tail": lambda: inflate(zlib.compress(b"abcdefgh" * 3, 1) + b"more"),
    "many arrays": lambda: read_evidence(bomb_of_arrays()),
    "array that lies": lambda: read_evidence(b"\xdd\xff\xff\xff\xff\x90"),
    "record that lies": lambda: read_evidence(b"\x91\xdd\xff\xff\xff\xff\x01"),
    "depth 1000": lambda: read_keyed(b"\x91\x97" + b"\x01" * 6 + b"\x91" * 1000, Verdict),
    "nan": lambda: read_evidence(msgpack.packb([[1 << 60, 0, 1, float("nan")]])),
    "float": lambda: read_evidence(msgpack.packb([[1 << 60, 0, 1, 2.0]])),
    "negative": lambda: read_evidence(msgpack.packb([[1 << 60, 0, 1, -2]])),
    "key of no kind": lambda: read_evidence(msgpack.packb([[5, 0, 1, 2]])),
    "keys beyond 64 bits": lambda: read_evidence(msgpack.packb([[2**63, 0, 1, 2], [2**63, 0, 1, 2]])),
    "metric": lambda: read_evidence(msgpack.packb([[1 << 60, 0, 16, 2]])),
    "odd pairs": lambda: read_evidence(msgpack.packb([[1 << 60, 0, 1, 2, 3]])),
    "too many records": lambda: read_evidence(msgpack.packb([[1 << 60, 0, 1, 2]] * (MAX_RECORDS + 1))),
    "text": lambda: read_keyed(msgpack.packb("x" * 60_000), Verdict),
    "score": lambda: read_keyed(msgpack.packb([[1 << 60, 0, 1001, 3, 1, 60]]), Verdict),
    "hashes": lambda: read_keyed(msgpack.packb([[1 << 60, 0, 1, [1] * 17]]), Complainants),
    "far future": lambda: read_decisions(
        write_decisions([Decision("a", Kind.EXACT, 1 << 60 | 18, Act.BLOCK, 2, 1, until_s=NOW_S * 2)]), 1, NOW_S
    ),
    "long reason": lambda: read_decisions(
        write_decisions([Decision("a", Kind.EXACT, 1 << 60 | 18, Act.BLOCK, 2, 1, reason="é" * 64)]), 1, NOW_S
    ),
    "namespace": lambda: read_decisions(
        write_decisions([Decision("a/b", Kind.EXACT, 1 << 60 | 18, Act.BLOCK, 2, 1)]), 1, NOW_S
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_m9_hostile_records_are_refused(name: str) -> None:
    before = time.thread_time()
    with pytest.raises(Refused):
        HOSTILE[name]()
    assert time.thread_time() - before < 0.5  # making the bomb included


@given(st.binary(max_size=300))
def test_m9_noise_is_refused_or_read(data: bytes) -> None:
    for read in (read_evidence, read_generations, lambda d: read_keyed(d, Verdict), lambda d: read_decisions(d, 1, 0)):
        try:
            read(data)
        except Refused:
            continue
