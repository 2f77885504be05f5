"""The rows of a policy image: what an operator's tables are as the structs of `_image.pxd`, with the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from engine import _image, rules
from engine.hours import CALLING_HOURS, days_since_1970, week_words
from engine.lint import RuleOfAny, end_of_day_us, window_times_us, windows_of
from engine.pack_rules import PackRule
from engine.packs import CLASSES, NumberClass

NO_LABEL = 0xFF
NO_DIVERT = 0xFF
CALLEES_ZONE = 0xFF
NO_HOURS = 0
HOURS_OF_TRUNK = 0xFF
CLASS_LEVEL = 10
ZONE_LEVEL = 11

LIST_LEVEL = {
    rules.ListAction.NEVER_BLOCK: 0,
    rules.ListAction.PROTECTED: 1,
    rules.ListAction.ORDER: 2,
    rules.ListAction.ALLOW: 3,
    rules.ListAction.DENY: 4,
    rules.ListAction.DIVERT: 4,
    rules.ListAction.DROP: 4,
    rules.ListAction.DNO: 5,
    rules.ListAction.TAG: 8,
    rules.ListAction.OWN: 9,
}
LIST_OUTCOME = {
    rules.ListAction.NEVER_BLOCK: 3,
    rules.ListAction.PROTECTED: 3,
    rules.ListAction.ORDER: 0,
    rules.ListAction.ALLOW: 3,
    rules.ListAction.DENY: 0,
    rules.ListAction.DIVERT: 5,
    rules.ListAction.DROP: 6,
    rules.ListAction.DNO: 0,
    rules.ListAction.TAG: 1,
    rules.ListAction.OWN: 3,
}
ACTING_LEVEL = 6
SCORE_LEVEL = 7
OUTCOME = {
    rules.Outcome.REJECT: 0,
    rules.Outcome.TAG: 1,
    rules.Outcome.SCORE: 2,
    rules.Outcome.DIVERT: 5,
    rules.Outcome.DROP: 6,
}
ANONYMOUS_OUTCOME = {
    rules.AnonymousAction.REJECT: 0,
    rules.AnonymousAction.TAG: 1,
    rules.AnonymousAction.ACCEPT: 3,
    rules.AnonymousAction.DIVERT: 5,
}
MODE = {mode: index for index, mode in enumerate(rules.Mode)}
LIMIT_KEY = {key: index for index, key in enumerate(rules.LimitKey)}
BASES = ("none", "analytics", "dno", "invalid", "subscriber", "policy", "overload", "security")
BUILTIN_ROW = _image.RULE_ROW.pack(0, 0, 0, 0, 0, 0, BASES.index("none"), NO_LABEL, NO_DIVERT, *[0] * 7)


class Places:
    """Where in an image the named things of a policy stand."""

    def __init__(self, policy: rules.PolicySet, zones: Sequence[str], hours: Sequence[rules.Hours]) -> None:
        self.labels = {label.name: index for index, label in enumerate(policy.labels)}
        self.diverts = {divert.name: index for index, divert in enumerate(policy.diverts)}
        self.zones = {zone: index for index, zone in enumerate(zones)}
        self.hours = {each.name: index for index, each in enumerate(hours, start=1)}

    def label(self, name: str | None) -> int:
        return NO_LABEL if name is None else self.labels[name]

    def divert(self, name: str | None) -> int:
        return NO_DIVERT if name is None else self.diverts[name]

    def hours_of(self, name: str | None) -> int:
        if name is None:
            return NO_HOURS
        return HOURS_OF_TRUNK if name == CALLING_HOURS else self.hours[name]


def level_of(rule: RuleOfAny) -> int:
    if isinstance(rule, rules.NumberList):
        return LIST_LEVEL[rule.action]
    return SCORE_LEVEL if rule.outcome is rules.Outcome.SCORE else ACTING_LEVEL


def rule_row(rule: RuleOfAny, places: Places) -> bytes:
    if isinstance(rule, rules.NumberList):
        return _list_row(rule, places)
    classes, callee_classes = _class_bits(rule.classes), _class_bits(rule.callee_classes)
    hours, outside = places.hours_of(rule.hours), places.hours_of(rule.outside_hours)
    return _image.RULE_ROW.pack(
        0,
        classes,
        callee_classes,
        rule.points,
        level_of(rule),
        OUTCOME[rule.outcome],
        BASES.index(rule.basis),
        places.label(rule.label),
        places.divert(rule.divert),
        rule.observe,
        bool(classes or callee_classes or hours or outside),
        hours,
        outside,
        0,
        0,
        0,
    )


def _list_row(rule: rules.NumberList, places: Places) -> bytes:
    until = end_of_day_us(rule.until) if rule.until else 0
    basis = "dno" if rule.action is rules.ListAction.DNO else "policy"
    return _image.RULE_ROW.pack(
        until,
        0,
        0,
        0,
        LIST_LEVEL[rule.action],
        LIST_OUTCOME[rule.action],
        BASES.index(basis),
        places.label(rule.label),
        places.divert(rule.divert),
        rule.observe,
        bool(until),
        *[0] * 5,
    )


def _class_bits(classes: Sequence[str]) -> int:
    return sum(1 << CLASSES.index(NumberClass(each)) for each in set(classes))


def pack_rule_level(rule: PackRule) -> int:
    if rule.zone is not None:
        return ZONE_LEVEL
    return LIST_LEVEL[rules.ListAction.NEVER_BLOCK] if rule.callee else CLASS_LEVEL


def pack_rule_row(rule: PackRule, places: Places) -> bytes:
    accept = LIST_OUTCOME[rules.ListAction.NEVER_BLOCK]
    says = rule.number_class if rule.zone is None else places.zones[rule.zone]
    return _image.RULE_ROW.pack(
        0,
        0,
        0,
        0,
        pack_rule_level(rule),
        accept,
        BASES.index("none"),
        NO_LABEL,
        NO_DIVERT,
        *[0] * 4,
        says,
        rule.least,
        rule.most,
    )


def limit_rows(index: int, limit: rules.Limit) -> list[bytes]:
    """One row a window, all of rule `index`."""
    return [
        _image.LIMIT_ROW.pack(*window_times_us(window), _window_hash(limit, window), index, LIMIT_KEY[limit.key])
        for window in windows_of(limit)
    ]


def _window_hash(limit: rules.Limit, window: rules.Window) -> int:
    """A window keeps its counts through a reload that leaves the limit's name, and of several windows the period."""
    return name_hash(f"{limit.name}/{window.period_s:g}" if limit.windows else limit.name)


def hours_rows(hours: Sequence[rules.Hours], places: Places) -> tuple[bytes, bytes]:
    """(hours, holidays); hours have the indices of `Places`, 0 = none."""
    rows, holidays = bytearray(_image.HOURS_ROW.size), bytearray()
    for each in hours:
        zone = CALLEES_ZONE if each.time_zone is None else places.zones[each.time_zone]
        start = len(holidays) // _image.HOLIDAY_ROW.size
        rows += _image.HOURS_ROW.pack(*week_words(each.open), start, len(each.holidays), zone)
        holidays += b"".join(_image.HOLIDAY_ROW.pack(days_since_1970(day)) for day in each.holidays)
    return bytes(rows), bytes(holidays)


def trunk_row(
    trunk: rules.TrunkPolicy,
    policy: rules.Policy,
    places: Places,
    *,
    limits: tuple[int, int],
    conditional: tuple[int, int],
    has_pack: bool,
    zone: int,
    hours: int,
    fingerprinted: bool,
) -> bytes:
    """limits, conditional: where the trunk's rows start in their sections, and how many they are."""
    thresholds = trunk.thresholds or policy.thresholds
    return _image.TRUNK_ROW.pack(
        name_hash(trunk.name),
        *(getattr(trunk.status, basis, 0) for basis in BASES),
        trunk.status.anonymous,
        thresholds.tag,
        thresholds.reject if thresholds.divert is None else thresholds.divert,
        thresholds.reject,
        limits[1],
        conditional[1],
        limits[0],
        conditional[0],
        policy.invalid_points,
        policy.mismatch_points,
        round(policy.weights.reputation * 1000),
        round(policy.weights.block_reputation * 1000),
        ANONYMOUS_OUTCOME[policy.anonymous],
        OUTCOME[policy.invalid],
        places.label(policy.label),
        policy.observe,
        has_pack,
        MODE[policy.subscribers],
        trunk.trunk_class == "callcentre",
        places.divert(policy.divert),
        zone,
        hours,
        fingerprinted,
    )


def name_hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
