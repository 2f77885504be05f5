"""Origin consistency, compiled: what each class of a caller's number means on a trunk.

A trunk's pack is the one it names, else that of its dial plan's country. The rows that speak of a class are asked in
this order: the operator's for the trunk, the operator's for all trunks, the pack's, the common ones; the first that
names the trunk's class wins.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from engine import country_rules, pack_rules, rules
from engine.hours import ZONES
from engine.pack_rules import MOST_DIGITS, PackRule
from engine.packs import CLASSES, COMMON_ORIGIN, HOME, PACK_BY_CALLING_CODE, PACKS, NumberClass

# The same numbers as `Outcome` in _image.pxd.
OUTCOME = {
    rules.OriginAction.REJECT: 0,
    rules.OriginAction.TAG: 1,
    rules.OriginAction.ACCEPT: 3,
    rules.OriginAction.OWN: 4,
    rules.OriginAction.DIVERT: 5,
}
BASIS = {"dno": 2, "invalid": 3}  # the same numbers as `Basis` in _decision.pxd


@dataclass(frozen=True, slots=True)
class OriginCell:
    """What one class means on one trunk, as an image carries it. label: name, None = none."""

    outcome: int
    basis: int
    label: str | None


NOTHING = OriginCell(OUTCOME[rules.OriginAction.ACCEPT], BASIS["invalid"], None)


def pack_of(trunk: rules.TrunkPolicy, plan: rules.DialPlan) -> str | None:
    """The pack that a trunk's callers are classed by; None if it has none."""
    return trunk.pack or PACK_BY_CALLING_CODE.get(plan.country_code)


def rules_of(home: Collection[str]) -> tuple[PackRule, ...]:
    """The rules of all packs for a policy whose trunks have these, in the order of their indices in an image."""
    return tuple(_rules_of(home)) if home else ()


def zone_rules() -> Iterator[PackRule]:
    """Rules that place callees in time zones, on every trunk."""
    for zone in ZONES:
        entries = tuple(f"+{prefix}*" for prefix in zone.prefixes)
        yield PackRule(f"zone:{zone.time_zone}", "", 0, 0, MOST_DIGITS, entries, callee=True, zone=zone.time_zone)


def _rules_of(home: Collection[str]) -> Iterator[PackRule]:
    for name in sorted(home):
        yield from pack_rules.home_rules(name) if name in PACKS else country_rules.home_rules(name)
    for name in sorted(set(PACKS) & set(HOME)):
        if set(home) != {name}:
            yield from pack_rules.abroad_rules(name)
    yield from country_rules.abroad_rules(home)


def origin_cells(
    trunk: rules.TrunkPolicy, pack: str | None, mode: rules.Mode, operator_rows: Sequence[rules.OriginRow]
) -> list[OriginCell]:
    """What each class means on a trunk, in the order of CLASSES."""
    if pack is None or mode is rules.Mode.OFF:
        return [NOTHING] * len(CLASSES)
    return [_cell(number_class, trunk, _rows(number_class, trunk, pack, operator_rows)) for number_class in CLASSES]


def _rows(
    number_class: NumberClass, trunk: rules.TrunkPolicy, pack: str, operator_rows: Sequence[rules.OriginRow]
) -> list[rules.OriginRow]:
    own = [row for row in operator_rows if row.number_class == number_class]
    of_trunk = [row for row in own if trunk.name in row.trunks]
    of_all = [row for row in own if not row.trunks]
    of_pack = [row for row in PACKS[pack].origin if row.number_class == number_class] if pack in PACKS else []
    common = COMMON_ORIGIN.get(number_class)
    return [*of_trunk, *of_all, *of_pack, *([common] if common else [])]


def _cell(number_class: NumberClass, trunk: rules.TrunkPolicy, rows: Sequence[rules.OriginRow]) -> OriginCell:
    for row in rows:
        action = getattr(row, trunk.trunk_class)
        if action is not None:
            basis = next((each.basis for each in rows if each.basis), "invalid")
            label = next((each.label for each in rows if each.label), None)
            return OriginCell(OUTCOME[action], BASIS[basis], label)
    return NOTHING

