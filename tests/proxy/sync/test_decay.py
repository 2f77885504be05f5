"""Forward decay in integers against exact arithmetic."""

from __future__ import annotations

import random
from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.sync.decay import (
    DAY_MS,
    HOUR_MS,
    LANDMARK_MS,
    STEPS,
    UNIT,
    Growing,
    floor_log2,
    steps_at,
)
from proxy.control.sync.log_sums import difference_q, q_of, sum_q, worth

QS = st.integers(1, 40_000_000)


@given(st.integers(1, 1 << 90))
def test_the_logarithm_is_that_of_the_c_library(value: int) -> None:
    assert abs(floor_log2(value) - 1024 * log2(value)) <= 1.01


@given(QS)
def test_a_sum_of_one_is_itself(q: int) -> None:
    assert sum_q([q]) == q == sum_q([q, 0])
    assert worth(q, q) == UNIT


@given(st.lists(QS, max_size=40), st.randoms())
def test_the_order_of_a_sum_does_not_matter(qs: list[int], rng: random.Random) -> None:
    shuffled = qs.copy()
    rng.shuffle(shuffled)
    assert sum_q(qs) == sum_q(shuffled)


@given(st.lists(QS, min_size=1, max_size=40), st.integers(0, 39), st.integers(0, 5000))
def test_a_sum_grows_with_each_part(qs: list[int], which: int, more: int) -> None:
    larger = qs.copy()
    larger[which % len(qs)] += more
    assert sum_q(larger) >= sum_q(qs) >= max(qs)


@given(st.lists(st.integers(0, 200_000), min_size=1, max_size=10), st.integers(200_000, 210_000))
def test_what_is_left_of_a_sum(qs: list[int], largest: int) -> None:
    rest = difference_q(sum_q([*qs, largest]), [largest])
    exact = sum(2 ** ((q - 200_000) / STEPS) for q in qs if q)
    whole = exact + 2 ** ((largest - 200_000) / STEPS)
    lost = 0.0007 * whole + 0.0007 * exact  # a step of the whole and one of the rest
    assert worth(rest, 200_000) / UNIT == pytest.approx(exact, rel=0, abs=lost + 1e-4)


@given(st.lists(st.tuples(st.integers(0, 400 * DAY_MS), st.integers(1, 20)), min_size=1, max_size=200))
def test_a_growing_sum_is_exact_to_a_step(events: list[tuple[int, int]]) -> None:
    """Whatever the order and however far apart."""
    half_life = 24 * HOUR_MS
    growing = Growing()
    for at, count in events:
        growing.add(count * UNIT, steps_at(LANDMARK_MS + at, half_life))
    now = LANDMARK_MS + max(at for at, _ in events)
    exact = sum(count * 2.0 ** ((at - (now - LANDMARK_MS)) / half_life) for at, count in events)
    assert worth(growing.q, steps_at(now, half_life)) / UNIT == pytest.approx(exact, rel=0.003)


def test_the_thousandth_event_still_counts() -> None:
    growing = Growing()
    for _ in range(100_000):
        growing.add(UNIT, 12_345)
    assert worth(growing.q, 12_345) / UNIT == pytest.approx(100_000, rel=0.001)


@given(st.integers(1, 1000), st.integers(0, 9_000_000))
def test_events_make_a_q_that_is_worth_them(events: int, now_steps: int) -> None:
    assert worth(q_of(events * UNIT, now_steps), now_steps) / UNIT == pytest.approx(events, rel=0.002)


def test_a_half_life_halves() -> None:
    now = LANDMARK_MS + 300 * DAY_MS
    q = q_of(8 * UNIT, steps_at(now, HOUR_MS))
    assert worth(q, steps_at(now + 3 * HOUR_MS, HOUR_MS)) == UNIT
