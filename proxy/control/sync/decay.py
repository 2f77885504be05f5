"""Forward decay in integers: sums of decaying events that only grow, equal on every machine.

An event of weight w at time t adds w * 2^((t - landmark) / half-life) to a sum; reading divides by the same power of
the present (Cormode, Shkapenyuk, Srivastava, Xu: Forward decay, ICDE 2009). What is sent of a sum is its logarithm,
q = floor(1024 * log2(sum)). Two steps of q are 0.07 % apart; a sum of nothing has q = 0.

Powers and logarithms come from one table of integers, so that no C library has a say, and sums of many slots are sums
of integers, so that their order has none (`log_sums`). A sum under construction is a `Growing`: 64 bits and an
exponent, since in steps of q a thousand-and-first event would be lost.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import isqrt

LANDMARK_MS = 1_767_225_600_000  # 2026-01-01T00:00Z
STEPS = 1024
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MAX_Q = (1 << 32) - 1
UNIT = 1 << 16  # what worths are counted in: 1/65,536 event
MOST_WORTH = 1 << 40  # of any sum: 16 million events

_FRACTION_BITS = 63


def _make_powers(precision: int = 192) -> tuple[int, ...]:
    root = 2 << precision
    for _ in range(STEPS.bit_length() - 1):
        root = isqrt(root << precision)
    powers, exact = [], 1 << precision
    for _ in range(STEPS):
        powers.append(exact >> (precision - _FRACTION_BITS))
        exact = exact * root >> precision
    return tuple(powers)


POWERS = _make_powers()  # 2^(63 + f / 1024), rounded down


def floor_log2(mantissa: int, exponent: int = 0) -> int:
    """floor(1024 * log2(mantissa * 2^exponent)); mantissa > 0."""
    shift = mantissa.bit_length() - 1 - _FRACTION_BITS
    aligned = mantissa >> shift if shift >= 0 else mantissa << -shift
    return (shift + _FRACTION_BITS + exponent) * STEPS + bisect_right(POWERS, aligned) - 1


def steps_at(now_ms: int, half_life_ms: int) -> int:
    """1024 * log2 of what an event of weight 1 adds at this time; before the landmark it is the landmark."""
    return max(now_ms - LANDMARK_MS, 0) * STEPS // half_life_ms


@dataclass(slots=True)
class Growing:
    """A sum that events are added to: mantissa * 2^exponent."""

    mantissa: int = 0
    exponent: int = 0

    @property
    def q(self) -> int:
        return min(max(floor_log2(self.mantissa, self.exponent), 1), MAX_Q) if self.mantissa else 0

    def add(self, events: int, now_steps: int) -> None:
        """events: in units of 1/65,536."""
        mantissa = POWERS[now_steps & STEPS - 1] * events
        exponent = (now_steps >> 10) - _FRACTION_BITS - 16
        ahead = self.exponent - exponent
        if ahead <= 0 or not self.mantissa:
            self.mantissa = mantissa + (self.mantissa >> -ahead if self.mantissa else 0)
            self.exponent = exponent
        else:
            self.mantissa += mantissa >> ahead
        spare = self.mantissa.bit_length() - 80
        if spare > 0:
            self.mantissa >>= spare
            self.exponent += spare
