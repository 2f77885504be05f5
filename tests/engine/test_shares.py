"""Shares of a fleet's limits: what is lent for one subject, what is left for the others, and what a window becomes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._shares import WHOLE, ShareTable, scaled

NOW_S = 1_795_000_000
NOW_US = NOW_S * 1_000_000
SECOND_US = 1_000_000


@pytest.fixture
def shares(tmp_path: Path) -> ShareTable:
    return ShareTable(tmp_path / "shares.tbl", 1024)


def test_a_limit_without_records_is_whole(shares: ShareTable) -> None:
    assert shares.read(1, 2, NOW_US) == (WHOLE, False)


def test_what_is_lent_ends(shares: ShareTable) -> None:
    assert shares.leave(2, 10)
    assert shares.lend(1, 500, NOW_S + 10)
    assert shares.read(1, 2, NOW_US) == (500, True)
    assert shares.read(3, 2, NOW_US) == (10, False)
    assert shares.read(1, 2, NOW_US + 10 * SECOND_US) == (10, False)
    assert shares.lend(1, 600, NOW_S + 20)
    shares.take_back(1)
    assert shares.read(1, 2, NOW_US) == (10, False)


def test_others_see_it_and_all_of_it_can_be_cleared(shares: ShareTable, tmp_path: Path) -> None:
    reader = ShareTable.attach(tmp_path / "shares.tbl")
    for subject in range(1, 500):
        assert shares.lend(subject, 1, NOW_S + 10)
    shares.leave(1, 7)
    assert reader.read(77, 1, NOW_US) == (1, True)
    shares.clear()
    assert len(reader.table) == 0


def test_a_share_is_a_part_of_the_rate_and_of_the_burst() -> None:
    """100 calls a second, 100 at once; a tenth of it is 10 a second, 10 at once."""
    tenth = pytest.approx(100_000, rel=1e-4), pytest.approx(900_000, rel=1e-4)
    assert scaled(10_000, 990_000, WHOLE // 10, True) == tenth
    assert scaled(10_000, 990_000, WHOLE, True) == (10_000, 990_000)


def test_less_than_a_call_a_window() -> None:
    """10 calls a minute among 100 nodes: what is lent is exact; who has been lent nothing has one call a minute."""
    increment, tolerance = scaled(6 * SECOND_US, 54 * SECOND_US, WHOLE // 100, True)
    assert increment == pytest.approx(600 * SECOND_US, rel=1e-3)
    assert tolerance == 0
    assert scaled(6 * SECOND_US, 54 * SECOND_US, WHOLE // 100, False) == (60 * SECOND_US, 0)


@given(st.integers(1, 1 << 40), st.integers(1, 1000), st.integers(1, WHOLE), st.booleans())
def test_a_share_never_gives_more_than_the_whole(increment_us: int, burst: int, parts: int, lent: bool) -> None:
    tolerance_us = increment_us * (burst - 1)
    increment, tolerance = scaled(increment_us, tolerance_us, parts, lent)
    assert increment >= increment_us * (1 - 1e-9)
    assert 0 <= tolerance <= tolerance_us
