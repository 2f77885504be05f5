"""Times single decisions from native code."""

from array import array

from engine import Screener

def decision_ns(screener: Screener, attempts: bytes, now_us: int) -> array[int]:
    """Nanoseconds of each decision on an array of C attempts, the clock's own time included."""

def clock_ns(count: int) -> array[int]:
    """Nanoseconds between two readings of the clock, count times."""
