"""What is counted of a caller, how fast it is forgotten, and what it says."""

from __future__ import annotations

from bisect import bisect_left
from enum import IntEnum

from proxy.control.sync.decay import DAY_MS, HOUR_MS, STEPS, steps_at
from proxy.control.sync.log_sums import worth


class Metric(IntEnum):
    CALLS = 0
    SHORT_ANSWERED = 1  # hung up within 6 s
    UNANSWERED = 2
    COMPLAINTS = 3
    TRAP_HITS = 4
    INVALID_CALLEE = 5
    LONG_ANSWERED = 6
    CALL_BACKS = 7


SLOTS = 2 * len(Metric)  # each with a short and a long half-life: slot 2 * metric + (0 short, 1 long)
_SLOW = frozenset({Metric.COMPLAINTS, Metric.TRAP_HITS})

HALF_LIFE_MS = tuple(
    (14 * DAY_MS, 125 * DAY_MS)[long] if metric in _SLOW else (HOUR_MS, 24 * HOUR_MS)[long]
    for metric in Metric
    for long in (0, 1)
)

LONG = 1


def slot_of(metric: Metric, long: int = LONG) -> int:
    return 2 * metric + long


def steps_now(now_ms: int) -> tuple[int, ...]:
    """For each slot what an event of weight 1 adds now, as q."""
    return tuple(steps_at(now_ms, half_life) for half_life in HALF_LIFE_MS)


# Weights in hundredths, of the slots with long half-lives: the score of a caller is not forgotten overnight.
BAD_WEIGHTS = {
    slot_of(Metric.COMPLAINTS): 100,
    slot_of(Metric.TRAP_HITS): 100,
    slot_of(Metric.INVALID_CALLEE): 20,
    slot_of(Metric.SHORT_ANSWERED): 10,
    slot_of(Metric.UNANSWERED): 5,
}
GOOD_WEIGHTS = {slot_of(Metric.LONG_ANSWERED): 10, slot_of(Metric.CALL_BACKS): 100, slot_of(Metric.CALLS): 1}

SIGNIFICANT_RISE = STEPS // 8  # an eighth of a doubling
VANISHING = 655  # a hundredth of an event in units of 1/65,536: a slot worth less may be dropped by anyone


def least_kept(now_ms: int) -> tuple[int, ...]:
    """For each slot the smallest q that is not vanishing yet."""
    return tuple(map(_least_kept, steps_now(now_ms)))


def _least_kept(now_steps: int) -> int:
    """A hundredth of an event is less than eight halvings away."""
    start = max(now_steps - 8 * STEPS, 1)
    return bisect_left(range(now_steps + 2), VANISHING, lo=start, key=lambda q: worth(q, now_steps))
