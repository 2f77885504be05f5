"""Origin consistency, compiled: which rules name the class of a caller's number, and what each class means on a trunk.

A trunk's pack is the one it names, else that of its dial plan's country. The rows that speak of a class are asked in
this order: the operator's for the trunk, the operator's for all trunks, the pack's, the common ones; the first that
names the trunk's class wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from engine import rules
from engine.hours import ZONES
from engine.packs import CLASSES, COMMON_ORIGIN, PACK_BY_CALLING_CODE, PACKS, ClassForm, NumberClass

MOST_DIGITS = 15  # E.164

# The same numbers as `Outcome` in _image.pxd.
OUTCOME = {
    rules.OriginAction.REJECT: 0,
    rules.OriginAction.TAG: 1,
    rules.OriginAction.ACCEPT: 3,
    rules.OriginAction.OWN: 4,
    rules.OriginAction.DIVERT: 5,
}
BASIS = {"dno": 2, "invalid": 3}  # the same numbers as `Basis` in _decision.pxd
NEVER_REJECTED = (NumberClass.EMERGENCY, NumberClass.PUBLIC)


@dataclass(frozen=True, slots=True)
class PackRule:
    """A rule that comes from a pack. least, most: digits, country code included, that a number of the class has.

    callee: it is a service that calls are never blocked to. zone: the time zone of callees, instead of a class.
    """

    name: str
    pack: str
    number_class: int
    least: int
    most: int
    entries: tuple[str, ...]
    callee: bool = False
    zone: str | None = None


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


def pack_rules(names: Iterable[str]) -> tuple[PackRule, ...]:
    """The rules of packs, in the order of their indices in an image."""
    return tuple(rule for name in names for rule in _rules_of(name))


def zone_rules() -> Iterator[PackRule]:
    """Rules that place callees in time zones, on every trunk."""
    for zone in ZONES:
        entries = tuple(f"+{prefix}*" for prefix in zone.prefixes)
        yield PackRule(f"zone:{zone.time_zone}", "", 0, 0, MOST_DIGITS, entries, callee=True, zone=zone.time_zone)


def _rules_of(name: str) -> Iterator[PackRule]:
    pack = PACKS[name]
    code = pack.plan.country_code
    # Whatever no form speaks of: nothing but the catch-all matches it, or only forms of another length.
    rest = NumberClass.UNALLOCATED
    all_ = (f"+{code}*", f"{pack.region}:*")
    yield PackRule(f"{name}:{rest}", name, CLASSES.index(rest), len(code), MOST_DIGITS, all_)
    for position, form in enumerate(pack.classes):
        later = {prefix for other in pack.classes[position + 1 :] if _meet(form, other) for prefix in other.expanded()}
        entries = tuple(pack.entry(form, prefix) for prefix in form.expanded() if prefix not in later)
        least, most = (len(code) + digits for digits in form.digits)
        yield PackRule(f"{name}:{form.name}", name, CLASSES.index(form.name), least, most, entries)
    services = tuple(_service_entries(name))
    if services:
        public = CLASSES.index(NumberClass.PUBLIC)
        yield PackRule(f"{name}:service", name, public, 0, MOST_DIGITS, services, callee=True)


def _meet(one: ClassForm, other: ClassForm) -> bool:
    """Whether a number can have both forms; the later one then wins where their prefixes are equal."""
    return one.short == other.short and one.digits[0] <= other.digits[1] and other.digits[0] <= one.digits[1]


def _service_entries(name: str) -> Iterator[str]:
    pack = PACKS[name]
    for form in pack.classes:
        if form.name in NEVER_REJECTED and form.short:
            yield from (pack.entry(form, prefix) for prefix in form.expanded())


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
    of_pack = [row for row in PACKS[pack].origin if row.number_class == number_class]
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

