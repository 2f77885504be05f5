"""Hours of the week and the time zones of numbers: what rules mean by `hours`, compiled."""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Iterable
from importlib import resources

import msgspec

from engine.rules import Hours, Struct

CALLING_HOURS = "calling-hours"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_HALF_HOURS = 48
WEEK_WORDS = 6  # as in _image.pxd
EPOCH = datetime.date(1970, 1, 1)
MASK = (1 << 64) - 1

_SPAN = re.compile(
    r"(?P<days>daily|(?:[a-z]{3}(?:-[a-z]{3})?)(?:,[a-z]{3}(?:-[a-z]{3})?)*)"
    r" (?P<from_h>\d\d):(?P<from_m>00|30)-(?P<to_h>\d\d):(?P<to_m>00|30)",
    re.ASCII,
)

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Zone(Struct, frozen=True):
    """Numbers of one time zone. prefixes: first digits, country code included."""

    time_zone: str
    prefixes: tuple[str, ...]


class PackHours(Struct, frozen=True):
    """A country's calling hours. clause: the rule that says so; unverified: its text has not been seen."""

    pack: str
    open: tuple[str, ...]
    clause: str
    unverified: bool = False


class _ZoneFile(Struct, frozen=True):
    zone: tuple[Zone, ...]


class _HoursFile(Struct, frozen=True):
    hours: tuple[PackHours, ...]


def _read(name: str) -> object:
    return tomllib.loads(resources.files("engine.packs").joinpath(name).read_text("utf-8"))


ZONES: tuple[Zone, ...] = msgspec.convert(_read("zones.toml"), _ZoneFile).zone
PACK_HOURS: dict[str, PackHours] = {each.pack: each for each in msgspec.convert(_read("hours.toml"), _HoursFile).hours}


def week_words(spans: Iterable[str]) -> tuple[int, ...]:
    """One bit a half hour from Monday 00:00 on, in 64-bit words. ValueError names the span that is none."""
    bits = 0
    for span in spans:
        bits |= _span_bits(span)
    return tuple(bits >> 64 * word & MASK for word in range(WEEK_WORDS))


def _span_bits(span: str) -> int:
    parts = _SPAN.fullmatch(span)
    if parts is None:
        raise ValueError(f"{span!r}: expected days and half hours as 'mon-fri 09:00-17:30'")
    first = 2 * int(parts["from_h"]) + (parts["from_m"] == "30")
    after = 2 * int(parts["to_h"]) + (parts["to_m"] == "30")
    if not 0 <= first < after <= DAY_HALF_HOURS:
        raise ValueError(f"{span!r}: ends before it begins; a night is two spans, one up to 24:00 and one from 00:00")
    day = ((1 << after - first) - 1) << first
    return sum(day << DAY_HALF_HOURS * number for number in _days(span, parts["days"]))


def _days(span: str, written: str) -> set[int]:
    if written == "daily":
        return set(range(len(DAYS)))
    found: set[int] = set()
    for part in written.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise ValueError(f"{span!r}: days are {', '.join(DAYS)} and daily")
        length = (DAYS.index(last or first) - DAYS.index(first)) % len(DAYS)
        found |= {(DAYS.index(first) + step) % len(DAYS) for step in range(length + 1)}
    return found


def days_since_1970(date: str) -> int:
    """Of an ISO date. ValueError if it is none."""
    if not _DATE.fullmatch(date):
        raise ValueError(f"{date!r} is no date such as 2026-12-25")
    try:
        return (datetime.date.fromisoformat(date) - EPOCH).days
    except ValueError:
        raise ValueError(f"{date!r}: no month has such a day") from None


def zone_of(calling_code: str) -> str | None:
    """The zone that numbers of a country have where no longer prefix says otherwise."""
    found = [(prefix, zone.time_zone) for zone in ZONES for prefix in zone.prefixes if calling_code.startswith(prefix)]
    return max(found)[1] if found and calling_code else None


def pack_hours(pack: str) -> Hours | None:
    """The calling hours of a pack's country, by the callee's time."""
    known = PACK_HOURS.get(pack)
    return None if known is None else Hours(name=f"{pack}:{CALLING_HOURS}", open=known.open)
