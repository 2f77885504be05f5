"""PairMemory: refusals of a block by a callee against floating point."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._pairs import PairMemory
from engine._reputation import ReputationCache
from engine._table import TableError
from tests.oracles import DAY_US, LANDMARK_US, StandingOracle

CALLEE = 1 << 60 | 18613800138000
BLOCK = 2 << 60 | 1861390013
NOW_US = LANDMARK_US + 325 * DAY_US

refusals = st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 20 * DAY_US), st.integers(0, 2000))


@given(st.lists(refusals, max_size=40))
def test_agrees_with_the_oracle(refusals: list[tuple[int, int, int, int]]) -> None:
    now_us = NOW_US
    oracles = {(callee, block): StandingOracle(7 * DAY_US) for callee in range(3) for block in range(3)}
    with tempfile.TemporaryDirectory() as directory:
        pairs = PairMemory(Path(directory, "pairs.tbl"), 256)
        for callee, block, step, points in refusals:
            now_us += step
            pairs.add(CALLEE + callee, BLOCK + block, now_us, points)
            oracles[callee, block].add(now_us, points, False, 0)
        for (callee, block), oracle in oracles.items():
            expected = oracle.points(now_us)
            assert pairs.read(CALLEE + callee, BLOCK + block, now_us) == pytest.approx(
                expected, abs=0.5 + expected * 0.0007 * (len(refusals) + 2)
            )


def test_a_pair_has_a_direction(tmp_path: Path) -> None:
    pairs = PairMemory(tmp_path / "pairs.tbl", 256)
    pairs.add(CALLEE, BLOCK, NOW_US, 100)
    assert pairs.read(CALLEE, BLOCK, NOW_US) == 100
    assert pairs.read(BLOCK, CALLEE, NOW_US) == 0


def test_zero_is_no_number(tmp_path: Path) -> None:
    pairs = PairMemory(tmp_path / "pairs.tbl", 256)
    for callee, block in ((0, BLOCK), (CALLEE, 0)):
        with pytest.raises(ValueError, match="no number"):
            pairs.add(callee, block, NOW_US, 1)


def test_a_reputation_is_no_pair_memory(tmp_path: Path) -> None:
    ReputationCache(tmp_path / "reputation.tbl", 256)
    with pytest.raises(TableError, match="kind"):
        PairMemory.attach(tmp_path / "reputation.tbl")
