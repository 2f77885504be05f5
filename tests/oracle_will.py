"""What a callee wants of a call, in plain Python: own entries, kinds of callers, bursts, refused pairs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from engine import rules
from engine.decision import Category
from engine.packs import NumberClass
from tests.oracle_calls import US, Call, Wishes, block, has_digits, weight_of
from tests.oracle_numbers import plain_class

if TYPE_CHECKING:
    from tests.oracle_screener import OracleScreener


class CalleesWill:
    """Of one call. tag_from: points from which the caller's category counts."""

    def __init__(self, screener: OracleScreener, call: Call, now_us: int, tag_from: int) -> None:
        self.screener = screener
        self.call = call
        self.now_us = now_us
        self.tag_from = tag_from
        self.trunk = screener.trunks[call.trunk]

    @property
    def wishes(self) -> Wishes:
        return self.screener.wishes.get(self.call.callee, Wishes())

    def category(self) -> Category:
        known = self.screener.points.get(self.call.caller, 0) >= self.tag_from
        return self.screener.categories.get(self.call.caller, Category.NONE) if known else Category.NONE

    def own_entry(self) -> str | None:
        """The longest match; of one entry allow before deny before consent; a shorter denial yields to consent."""
        found = [(weight_of(text, self.call.caller), each) for text, each in self.wishes.own.items()]
        consents = False
        for weight, entry in sorted(found, key=lambda each: -each[0]):
            if not weight:
                break
            if entry.allow:
                return "subscriber-allow"
            if entry.deny:
                return "subscriber-consent" if consents else "subscriber-deny"
            covered = entry.consent_categories or 0xFFFF
            consents |= entry.consent and bool(covered >> self.category() & 1)
        return "subscriber-consent" if consents else None

    def number_class(self) -> NumberClass | None:
        if not has_digits(self.call.caller):
            return NumberClass.INVALID if self.call.caller == "invalid" else None
        return plain_class(self.trunk.dial_plan, self.call.caller)

    def refused_kind(self) -> str | None:
        wants, caller = self.wishes.preferences, self.number_class()
        segments = {
            NumberClass.CC95X: 1,
            NumberClass.CC95X_UNASSIGNED: 1,
            NumberClass.MARKETING: 1,
            NumberClass.SVC400: 2,
            NumberClass.SVC800: 2,
            NumberClass.FOREIGN: 4,
            NumberClass.FOREIGN_PREMIUM: 4,
            NumberClass.FOREIGN_UNALLOCATED: 4,
            NumberClass.MVNO: 8,
        }
        commercial = caller in (NumberClass.CC95X, NumberClass.MARKETING) or self.trunk.trunk_class == "callcentre"
        selling = self.category() in (Category.SALES, Category.LOAN, Category.ESTATE)
        withheld = self.call.caller in ("", "anonymous") or self.call.privacy
        unknown = caller in (NumberClass.INVALID, NumberClass.UNALLOCATED)
        local = datetime.fromtimestamp(self.now_us / US, ZoneInfo(self.screener.policy.subscribers.time_zone))
        checks = {
            "subscriber-anonymous": withheld and wants.refused_segments & 16,
            "subscriber-category": self.category() and wants.refuses(self.category()),
            "subscriber-unknown": unknown and wants.refused_segments & 32,
            "subscriber-segment": caller is not None and segments.get(caller, 0) & wants.refused_segments,
            "subscriber-do-not-call": wants.do_not_call and (selling or commercial),
            "subscriber-quiet-hours": wants.is_quiet(local.hour * 2 + local.minute // 30),
        }
        return next((name for name, refused in checks.items() if refused), None)

    def refused_by_number(self) -> str | None:
        settings, level = self.screener.policy.subscribers, self.wishes.preferences.high_frequency
        if level is not None:
            window = rules.Window(calls=settings.high_frequency[level], period_s=settings.high_frequency_s)
            name = "subscriber-high-frequency"
            if not self.screener.limiter.conforms((name, self.call.callee), self.now_us, window):
                return name
        caller = self.call.caller
        points = self.screener.pairs.get((self.call.callee, block(caller, 2) or caller), 0) if has_digits(caller) else 0
        return "subscriber-pair" if 0 < settings.pair_points <= points else None
