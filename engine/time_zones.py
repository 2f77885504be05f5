"""Local time on the call path: a zone's offsets from UTC, written out as far ahead as an image may live."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

FIRST = datetime(2025, 1, 1, tzinfo=UTC)
LAST = datetime(2045, 1, 1, tzinfo=UTC)
STEP = timedelta(weeks=1)  # no zone changes its clocks and back within one
SECOND_US = 1_000_000


@functools.cache
def offsets(name: str) -> tuple[tuple[int, int], ...]:
    """(Unix time in microseconds from which it holds, microseconds ahead of UTC), in order; the last holds for ever.

    Raises ZoneInfoNotFoundError or ValueError for what is no zone of the IANA database.
    """
    zone = ZoneInfo(name)
    found = [(0, _offset_us(zone, FIRST))]
    moment = FIRST
    while moment < LAST:
        if _offset_us(zone, moment + STEP) != found[-1][1]:
            change = _change(zone, moment, moment + STEP)
            found.append((int(change.timestamp()) * SECOND_US, _offset_us(zone, change)))
        moment += STEP
    return tuple(found)


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The second at which the offset becomes that of `after`."""
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if _offset_us(zone, middle) == _offset_us(zone, before):
            before = middle
        else:
            after = middle
    return after


def _offset_us(zone: ZoneInfo, moment: datetime) -> int:
    offset = moment.astimezone(zone).utcoffset()
    return 0 if offset is None else offset // timedelta(microseconds=1)
