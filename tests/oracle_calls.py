"""What the plain version of the engine speaks of: calls, results, wishes, matches of entries, exact limits."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine import rules
from engine._subscriber_lists import ListEntry
from engine._subscribers import Preferences
from engine.decision import Action, Basis, Reason

US = 1_000_000


@dataclass(frozen=True)
class Call:
    caller: str
    callee: str
    trunk: str
    source: str = ""
    emergency: bool = False
    privacy: bool = False
    mismatch: bool = False
    fingerprint: str = ""


@dataclass
class Result:
    action: Action = Action.ACCEPT
    basis: Basis = Basis.NONE
    status: int = 0
    rule: str | None = None
    score: int = 0
    label: str | None = None
    reasons: list[Reason] = field(default_factory=list)
    observed: Action = Action.ACCEPT
    observed_rule: str | None = None
    divert: str | None = None


@dataclass
class Wishes:
    """What one subscriber wants. own: entries for callers, "+8613800138000" or "+86138*"."""

    preferences: Preferences = field(default_factory=Preferences)
    own: dict[str, ListEntry] = field(default_factory=dict)


@dataclass(frozen=True)
class Match:
    """A rule that speaks of a number, and how precisely: digits matched, twice, and one more for the whole number."""

    rule: rules.NumberList | rules.PrefixRule
    weight: int


class OracleLimiter:
    """GCRA, virtual scheduling (ITU-T I.371 annex A), one theoretical arrival time a key."""

    def __init__(self) -> None:
        self.arrival: dict[tuple[str, ...], float] = {}

    def conforms(self, key: tuple[str, ...], now_us: int, limit: rules.Window) -> bool:
        increment = round(limit.period_s * US / limit.calls)
        tolerance = increment * ((limit.burst or limit.calls) - 1)
        arrival = max(self.arrival.get(key, 0), now_us)
        if arrival - now_us > tolerance:
            return False
        self.arrival[key] = arrival + increment
        return True


def digits(number: str) -> str:
    return "".join(c for c in number if c.isdigit())


def has_digits(number: str) -> bool:
    return bool(digits(number))


def block(number: str, dropped: int) -> str:
    """Short codes form no blocks."""
    return number[:-dropped] if number.startswith("+") and len(number) - 1 > dropped else ""


def weight_of(entry: str, number: str) -> int:
    """How precisely an entry matches a number; 0 = not at all."""
    prefix = entry.removesuffix("*")
    if entry.endswith("*"):
        return 2 * len(prefix) if has_digits(number) and number.startswith(prefix) else 0
    return 2 * len(prefix) + 1 if number == entry else 0
