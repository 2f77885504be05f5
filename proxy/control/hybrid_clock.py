"""A hybrid logical clock: 48 bits of Unix milliseconds, 16 bits that count within one (Kulkarni et al., OPODIS 2014).

Stamps grow strictly, whatever the clock on the wall does, over restarts too: below `mark` everything may have been
given out, and a new mark is stored before stamps reach it. No clock is read here.
"""

from __future__ import annotations

COUNTER_BITS = 16
MAX_AHEAD_MS = 5000  # a stamp of another node further ahead than this is refused
RESERVE_MS = 2000  # a new mark is so far ahead, so that it is stored once in a while and not for every stamp


def stamp_of(now_ms: int) -> int:
    return now_ms << COUNTER_BITS


def milliseconds_of(stamp: int) -> int:
    return stamp >> COUNTER_BITS


class HybridClock:
    """mark: what the store says; no stamp at or above it was given out."""

    def __init__(self, mark: int) -> None:
        self._last = mark
        self.mark = mark

    def tick(self, now_ms: int) -> int:
        """The next stamp. Where it is not below `mark`, `mark` has grown and must be stored before it is shown."""
        self._last = max(self._last + 1, stamp_of(now_ms))
        if self._last >= self.mark:
            self.mark = self._last + stamp_of(RESERVE_MS)
        return self._last

    def observe(self, stamp: int, now_ms: int) -> None:
        """Learns another node's stamp; ValueError if it is further ahead than clocks may be apart."""
        ahead_ms = milliseconds_of(stamp) - now_ms
        if ahead_ms > MAX_AHEAD_MS:
            raise ValueError(f"stamp {ahead_ms} ms ahead")
        self._last = max(self._last, stamp)
