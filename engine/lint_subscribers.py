"""What can be wrong with the settings of subscribers' wishes."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine import rules
from engine.lint import MAX_INTERVAL_US, MICROSECONDS, Finding, error

MAX_PAIR_POINTS = 1_000_000  # what the pair memory can hold


def check_subscribers(policy: rules.PolicySet) -> Iterator[Finding]:
    subscribers = policy.subscribers
    try:
        ZoneInfo(subscribers.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        why = f"no time zone is called {subscribers.time_zone!r}: expected a name as Asia/Shanghai"
        yield error("subscribers.time_zone", why)
    if not 0 <= subscribers.pair_points <= MAX_PAIR_POINTS:
        yield error("subscribers.pair_points", f"{subscribers.pair_points}: expected 0 to {MAX_PAIR_POINTS}")
    if min(subscribers.high_frequency) < 1:
        yield error("subscribers.high_frequency", "a subscriber who wants protection would get no call at all")
    elif list(subscribers.high_frequency) != sorted(subscribers.high_frequency):
        yield error("subscribers.high_frequency", "expected from the strictest to the mildest")
    if not 0 < subscribers.high_frequency_s < MAX_INTERVAL_US // MICROSECONDS:
        yield error("subscribers.high_frequency_s", f"{subscribers.high_frequency_s}: expected seconds, more than 0")


def high_frequency_times_us(subscribers: rules.Subscribers) -> list[tuple[int, int]]:
    """(increment, tolerance) of each level as a rate limiter takes them: all its calls may come at once."""
    increments = [max(round(subscribers.high_frequency_s * MICROSECONDS / n), 1) for n in subscribers.high_frequency]
    return [(each, each * (n - 1)) for each, n in zip(increments, subscribers.high_frequency, strict=True)]
