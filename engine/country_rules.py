"""Rules that name the class of a number, from the generic pack: one country at home, and all others from abroad.

Abroad, countries share their rules, since all that is told apart is whether a number is one. Of several prefixes only
the longest counts (`decisive`), so what a prefix says is whole: its classes by length, then what every other length is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import groupby

from engine.pack_rules import ABROAD, MOST_DIGITS, PackRule, abroad_name, service_rule
from engine.packs import CLASSES, COUNTRIES, GENERIC, Country, NumberClass
from engine.packs.countries import Run

Hit = tuple[int, int]  # rule, weight
ClassLengths = tuple[NumberClass, int, int]  # class, least and most digits, country code included


def home_rules(name: str) -> Iterator[PackRule]:
    """The classes of a country's numbers on its own trunks, and its emergency services."""
    country = COUNTRIES[name]
    yield from _rules(name, [country], False, lambda found: found, NumberClass.UNALLOCATED, f"{name}:{{}}".format)
    # Of short codes only the emergency ones are known: the others that a dial plan has are services of the country.
    emergency, service = CLASSES.index(NumberClass.EMERGENCY), CLASSES.index(NumberClass.SVC101)
    least = len(country.code)
    if country.emergency:
        entries = tuple(_emergency(country))
        yield PackRule(f"{name}:emergency", name, emergency, least, MOST_DIGITS, entries)
        yield service_rule(name, entries)
    yield PackRule(f"{name}:svc101", name, service, least, MOST_DIGITS, (f"{country.region}:*",))


def _emergency(country: Country) -> Iterator[str]:
    for number in country.emergency:
        prefix = number.rstrip("x")
        yield f"{country.region}:{prefix}{'*' if prefix != number else ''}"


def abroad_rules(home: Collection[str]) -> Iterator[PackRule]:
    """Numbers of all countries of the generic pack, on trunks of others. home: packs that are some trunk's own."""
    rest, invalid = NumberClass.FOREIGN_UNALLOCATED, NumberClass.INVALID
    for name in ("", *(name for name in COUNTRIES if name in home)):
        members = [COUNTRIES[name]] if name else [each for each in COUNTRIES.values() if each.name not in home]
        yield from _rules(name, members, True, lambda found: ABROAD.get(found, NumberClass.FOREIGN), rest, abroad_name)
    nobodys = tuple(f"+{head}*" for head in GENERIC.unassigned if head != "0")
    yield PackRule(abroad_name(invalid), "", CLASSES.index(invalid), 1, MOST_DIGITS, nobodys, abroad=True)


def _rules(
    pack: str,
    countries: Iterable[Country],
    abroad: bool,
    seen_as: Callable[[NumberClass], NumberClass],
    rest: NumberClass,
    name: Callable[[NumberClass], str],
) -> Iterator[PackRule]:
    """A rule for each class and lengths; those for the rest come last, since the first that fits is right."""
    classes: dict[ClassLengths, list[str]] = {}
    others: dict[ClassLengths, list[str]] = {}
    for country in countries:
        ahead = len(country.code)
        whole = (rest, ahead + country.least, ahead + country.most)
        for runs, prefixes in country.forms():
            entries = [f"+{country.code}{prefix}*" for prefix in prefixes]
            others.setdefault(whole, []).extend(entries)
            for number_class, least, most in _merged(runs, seen_as):
                classes.setdefault((number_class, ahead + least, ahead + most), []).extend(entries)
    for (number_class, least, most), found in (*classes.items(), *others.items()):
        index = CLASSES.index(number_class)
        yield PackRule(name(number_class), pack, index, least, most, tuple(found), abroad=abroad, sole=True)


def _merged(runs: Iterable[Run], seen_as: Callable[[NumberClass], NumberClass]) -> Iterator[ClassLengths]:
    """Runs as they are seen, neighbours that look the same made one."""
    lengths = ((seen_as(NumberClass(run.number_class)), n) for run in runs for n in range(run.least, run.most + 1))
    # Equal classes of neighbouring lengths have the same difference of length and position.
    for (number_class, _), group in groupby(enumerate(lengths), lambda each: (each[1][0], each[1][1] - each[0])):
        digits = [length for _, (_, length) in group]
        yield number_class, digits[0], digits[-1]


def decisive(content: Iterable[Hit], rule_of: Callable[[int], PackRule | None]) -> list[Hit]:
    """The hits of a record without those of a `sole` rule that a longer match of its pack outdoes."""
    hits = [(hit, rule_of(hit[0])) for hit in content]
    longest: dict[tuple[str, bool], int] = {}
    for (_, weight), rule in hits:
        if rule is not None and rule.sole:
            key = (rule.pack, rule.abroad)
            longest[key] = max(weight, longest.get(key, 0))
    return [hit for hit, rule in hits if rule is None or not rule.sole or hit[1] == longest[rule.pack, rule.abroad]]
