"""Conditions of rules in plain Python: classes of both numbers, and hours on a clock at the callee's place."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from engine import rules
from engine.packs import NumberClass
from tests.oracle_numbers import plain_class

HOURS: tuple[rules.Hours, ...] = (
    rules.Hours(name="office", open=("mon-fri 09:00-12:00", "mon-fri 13:00-17:30", "sat 10:00-12:00")),
    rules.Hours(name="night", open=("daily 22:00-24:00", "daily 00:00-06:30"), time_zone="America/New_York"),
)
"""What the policies of a test may name, and below the same by hand."""


def _office(at: datetime) -> bool:
    minute = at.hour * 60 + at.minute
    if at.weekday() == 5:
        return 600 <= minute < 720
    return at.weekday() < 5 and (540 <= minute < 720 or 780 <= minute < 1050)


def _night(at: datetime) -> bool:
    return at.hour >= 22 or at.hour * 60 + at.minute < 390


def _calling_hours_of_china(at: datetime) -> bool:
    return 9 <= at.hour < 12 or 13 <= at.hour < 20


OPEN: dict[str, Callable[[datetime], bool]] = {
    "office": _office,
    "night": _night,
    "calling-hours": _calling_hours_of_china,
}
ZONES = {"+1415": "America/Los_Angeles", "+86": "Asia/Shanghai"}
US = 1_000_000


def zone_of(callee: str, hours: str) -> str:
    """Numbers of tests are Chinese or Californian; whatever else a Chinese trunk calls has Chinese time."""
    if hours == "night":
        return "America/New_York"
    return next((zone for prefix, zone in ZONES.items() if callee.startswith(prefix)), "Asia/Shanghai")


def is_open(hours: str, callee: str, now_us: int) -> bool:
    return OPEN[hours](datetime.fromtimestamp(now_us // US, ZoneInfo(zone_of(callee, hours))))


def classes_of(number: str, privacy: bool) -> set[str]:
    found: set[str] = {NumberClass.ANONYMOUS} if privacy or number in ("", "anonymous") else set()
    if number == "invalid":
        found.add(NumberClass.INVALID)
    elif any(each.isdigit() for each in number):
        found.add(plain_class("cn", number))
    return found


def holds(rule: rules.Conditions, caller: str, callee: str, privacy: bool, now_us: int) -> bool:
    if rule.classes and not classes_of(caller, privacy) & set(rule.classes):
        return False
    callees = classes_of(callee, False) - {NumberClass.ANONYMOUS}
    if rule.callee_classes and not callees & set(rule.callee_classes):
        return False
    if rule.hours is not None and not is_open(rule.hours, callee, now_us):
        return False
    return rule.outside_hours is None or not is_open(rule.outside_hours, callee, now_us)
