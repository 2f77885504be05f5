"""Forward decay in integers: sums of decaying events that only grow, equal on every machine.

An event of weight w at time t adds w * 2^((t - landmark) / half-life) to a sum; reading divides by the same power of
the present (Cormode, Shkapenyuk, Srivastava, Xu: Forward decay, ICDE 2009). What is sent of a sum is its logarithm,
q = floor(1024 * log2(sum)). Two steps of q are 0.07 % apart; a sum of nothing has q = 0.

Powers and logarithms come from one table of integers, so that no C library has a say, and sums of many slots are sums
of integers, so that their order has none. A sum under construction is a `Growing`: 64 bits and an exponent, since in
steps of q a thousand-and-first event would be lost.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from math import isqrt

LANDMARK_MS = 1_767_225_600_000  # 2026-01-01T00:00Z
STEPS = 1024
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MAX_Q = (1 << 32) - 1
UNIT = 1 << 16  # what `worth` counts in: 1/65,536 event

_FRACTION_BITS = 63
_SUM_DOUBLINGS = 80  # a slot so far below the largest counts for nothing in a sum


def _make_powers(precision: int = 192) -> tuple[int, ...]:
    root = 2 << precision
    for _ in range(STEPS.bit_length() - 1):
        root = isqrt(root << precision)
    powers, exact = [], 1 << precision
    for _ in range(STEPS):
        powers.append(exact >> (precision - _FRACTION_BITS))
        exact = exact * root >> precision
    return tuple(powers)


_POWERS = _make_powers()  # 2^(63 + f / 1024), rounded down


def floor_log2(mantissa: int, exponent: int = 0) -> int:
    """floor(1024 * log2(mantissa * 2^exponent)); mantissa > 0."""
    shift = mantissa.bit_length() - 1 - _FRACTION_BITS
    aligned = mantissa >> shift if shift >= 0 else mantissa << -shift
    return (shift + _FRACTION_BITS + exponent) * STEPS + bisect_right(_POWERS, aligned) - 1


def steps_at(now_ms: int, half_life_ms: int) -> int:
    """1024 * log2 of what an event of weight 1 adds at this time; before the landmark it is the landmark."""
    return max(now_ms - LANDMARK_MS, 0) * STEPS // half_life_ms


def worth(q: int, now_steps: int) -> int:
    """Events that a sum is worth now, in units of 1/65,536."""
    if not q:
        return 0
    doublings, fraction = divmod(q - now_steps, STEPS)
    shift = _FRACTION_BITS - 16 - doublings
    return _POWERS[fraction] >> shift if shift >= 0 else _POWERS[fraction] << -shift


def q_of(events: int, now_steps: int) -> int:
    """q of so many units of 1/65,536 event, all of them now."""
    return max(now_steps + floor_log2(events, -16), 1) if events > 0 else 0


def sum_q(parts: Iterable[int]) -> int:
    """q of the sum of several; the same for every order of them."""
    present = [q for q in parts if q]
    if len(present) < 2:
        return present[0] if present else 0
    base = (max(present) >> 10) - _SUM_DOUBLINGS
    total = sum(_POWERS[q & STEPS - 1] << (q >> 10) - base for q in present if q >> 10 >= base)
    return min(floor_log2(total, base - _FRACTION_BITS), MAX_Q)


def difference_q(whole: int, parts: Iterable[int]) -> int:
    """q of what is left of a sum without some of its parts; 0 when that is nothing."""
    base = (whole >> 10) - _SUM_DOUBLINGS
    total = _POWERS[whole & STEPS - 1] << (whole >> 10) - base if whole else 0
    total -= sum(_POWERS[q & STEPS - 1] << max((q >> 10) - base, 0) for q in parts if q and q >> 10 >= base)
    return max(floor_log2(total, base - _FRACTION_BITS), 0) if total > 0 else 0


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
        mantissa = _POWERS[now_steps & STEPS - 1] * events
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
