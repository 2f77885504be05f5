"""The generic pack: numbers of every country that has no pack of its own, read from `countries.json`.

`engine.packs.compile_countries` makes the file from the metadata of libphonenumber; it names version and date. Of each
prefix it says which class numbers of which lengths have. Of the prefixes that a number has only the longest counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

import msgspec

from engine.rules import DialPlan, NationalNumber, ShortCode, Struct

FILE = "countries.json"
NO_COUNTRY = "001"  # region of a calling code that belongs to a network (UN M.49: the world)
ROOT = "-"  # the prefix without digits


class CountryPlan(Struct, frozen=True, kw_only=True):
    """How numbers are dialled in the country. Its short codes are its emergency numbers."""

    international_prefixes: tuple[str, ...]
    national_prefix: str


@dataclass(frozen=True, slots=True)
class Run:
    """Numbers of least to most national digits are of one class."""

    number_class: str
    least: int
    most: int

    def __str__(self) -> str:
        digits = f"{self.least}" if self.least == self.most else f"{self.least}-{self.most}"
        return f"{self.number_class} {digits}"


class Country(Struct, frozen=True, kw_only=True):
    """The numbers of one calling code. region: ISO 3166, or 001 for a network that is no country's.

    least, most: national digits that a number can have. emergency: its emergency numbers, x for any digit.
    numbers: prefixes with blanks between, by what is said of them: "fixed 7-9, mobile 10"; "" = nothing that begins so
    is in use.
    """

    code: str
    region: str
    least: int
    most: int
    emergency: tuple[str, ...]
    plan: CountryPlan | None
    numbers: dict[str, str]

    @property
    def name(self) -> str:
        """What a trunk calls the pack."""
        return self.code if self.region == NO_COUNTRY else self.region.lower()

    def forms(self) -> Iterator[tuple[list[Run], list[str]]]:
        """(runs, prefixes); the prefix "" is every number."""
        for said, prefixes in self.numbers.items():
            yield runs(said), ["" if prefix == ROOT else prefix for prefix in prefixes.split()]

    def dial_plan(self) -> DialPlan | None:
        """None where numbers of the country cannot be told from their dialled form by a national prefix."""
        if self.plan is None:
            return None
        # Where there is no national prefix, numbers are dialled as they are.
        lengths = () if self.plan.national_prefix else range(self.least, self.most + 1)
        return DialPlan(
            name=self.name,
            country_code=self.code,
            international_prefixes=self.plan.international_prefixes,
            national_prefix=self.plan.national_prefix,
            national_numbers=tuple(NationalNumber(digits=digits) for digits in lengths),
            short_codes=tuple(
                ShortCode(prefix=each.rstrip("x"), min_digits=len(each), max_digits=len(each))
                for each in self.emergency
            ),
            min_national_digits=self.least,
            max_national_digits=self.most,
        )


class Countries(Struct, frozen=True, kw_only=True):
    """The file. as_of: ISO date of the metadata."""

    title: str
    version: int
    as_of: str
    licence: str
    sources: tuple[str, ...]
    unassigned: tuple[str, ...]  # first digits of E.164 numbers that are no calling code's
    countries: tuple[Country, ...]


def runs(said: str) -> list[Run]:
    """Reads "fixed 7-9, mobile 10"."""
    found = re.findall(r"([a-z0-9-]+) (\d+)(?:-(\d+))?", said)
    return [Run(number_class, int(least), int(most or least)) for number_class, least, most in found]


def read() -> Countries:
    return msgspec.json.decode(resources.files(__package__).joinpath(FILE).read_bytes(), type=Countries)
