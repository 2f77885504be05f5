"""Rules that name the class of a number, from the packs written by hand: at home, and as other countries see them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.packs import CLASSES, PACKS, ClassForm, NumberClass, Pack

MOST_DIGITS = 15  # E.164
NEVER_REJECTED = (NumberClass.EMERGENCY, NumberClass.PUBLIC)
FOREIGN_RULE = "foreign-number"  # the name of the built-in rule, which says the same

# What a class of a country's numbers is to other countries; anything else is foreign.
ABROAD = {
    NumberClass.INVALID: NumberClass.INVALID,
    NumberClass.UNALLOCATED: NumberClass.FOREIGN_UNALLOCATED,
    NumberClass.PREMIUM: NumberClass.FOREIGN_PREMIUM,
    NumberClass.SMS106: NumberClass.SMS106,
    NumberClass.EMERGENCY: NumberClass.EMERGENCY,
}


@dataclass(frozen=True, slots=True)
class PackRule:
    """A rule that comes from a pack. least, most: digits, country code included, that a number of the class has.

    pack: whose numbers they are, "" = of several countries. abroad: it speaks on trunks of other countries than that.
    callee: it is a service that calls are never blocked to. sole: of such rules of one pack, only the longest match
    counts. zone: the time zone of callees, instead of a class.
    """

    name: str
    pack: str
    number_class: int
    least: int
    most: int
    entries: tuple[str, ...]
    abroad: bool = False
    callee: bool = False
    sole: bool = False
    zone: str | None = None

    def speaks_on(self, pack: str | None) -> bool:
        """Whether it holds on trunks whose pack this is."""
        return self.zone is not None or (pack is not None and (pack == self.pack) != self.abroad)


def home_rules(name: str) -> Iterator[PackRule]:
    """The classes of a country's numbers on its own trunks, and its services."""
    pack = PACKS[name]
    code = pack.plan.country_code
    # Whatever no form speaks of: nothing but the catch-all matches it, or only forms of another length.
    rest = NumberClass.UNALLOCATED
    all_ = (f"+{code}*", f"{pack.region}:*")
    yield PackRule(f"{name}:{rest}", name, CLASSES.index(rest), len(code), MOST_DIGITS, all_)
    for form, prefixes in _forms(pack):
        entries = tuple(pack.entry(form, prefix) for prefix in prefixes)
        least, most = (len(code) + digits for digits in form.digits)
        yield PackRule(f"{name}:{form.name}", name, CLASSES.index(form.name), least, most, entries)
    yield service_rule(name, tuple(_service_entries(pack)))


def abroad_rules(name: str) -> Iterator[PackRule]:
    """What the country's numbers are on trunks of other countries, where its short codes are written behind its code.

    A number that no form knows may be newer than the pack: it is invalid only if none of the country is as long.
    """
    pack = PACKS[name]
    code = pack.plan.country_code
    rest = NumberClass.FOREIGN_UNALLOCATED
    least, most = len(code) + pack.plan.min_national_digits, len(code) + pack.plan.max_national_digits
    yield PackRule(f"abroad:{rest}", name, CLASSES.index(rest), least, most, (f"+{code}*",), abroad=True)
    for form, prefixes in _forms(pack):
        entries = tuple(f"+{code}{prefix}*" for prefix in prefixes)
        least, most = (len(code) + digits for digits in form.digits)
        number_class = ABROAD.get(form.name, NumberClass.FOREIGN)
        rule_name = abroad_name(number_class)
        yield PackRule(rule_name, name, CLASSES.index(number_class), least, most, entries, abroad=True)


def abroad_name(number_class: NumberClass) -> str:
    return FOREIGN_RULE if number_class is NumberClass.FOREIGN else f"abroad:{number_class}"


def service_rule(name: str, entries: tuple[str, ...]) -> PackRule:
    """Services that calls are never blocked to."""
    public = CLASSES.index(NumberClass.PUBLIC)
    return PackRule(f"{name}:service", name, public, 0, MOST_DIGITS, entries, callee=True)


def _forms(pack: Pack) -> Iterator[tuple[ClassForm, list[str]]]:
    """Forms with their prefixes, without those that a later form takes over."""
    written = [(form, list(form.expanded())) for form in pack.classes]
    for position, (form, prefixes) in enumerate(written, start=1):
        later = {prefix for other, found in written[position:] if _meet(form, other) for prefix in found}
        yield form, [prefix for prefix in prefixes if prefix not in later]


def _meet(one: ClassForm, other: ClassForm) -> bool:
    """Whether a number can have both forms; the later one then wins where their prefixes are equal."""
    return one.short == other.short and one.digits[0] <= other.digits[1] and other.digits[0] <= one.digits[1]


def _service_entries(pack: Pack) -> Iterator[str]:
    for form in pack.classes:
        if form.name in NEVER_REJECTED and form.short:
            yield from (pack.entry(form, prefix) for prefix in form.expanded())
