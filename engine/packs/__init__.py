"""Packs: what is known of a country's numbers, as data with source and date.

A pack names the dial plan of its country, the classes of its numbers by form, and where a country's rules differ from
the common matrix of origin consistency in `origin.toml`. Countries without a pack of their own have what
`countries.json` says. Packs are read when this module is imported, by whoever
compiles a policy; the call path sees only what was compiled.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from importlib import resources
from itertools import product
from typing import Annotated

import msgspec

from engine.packs import countries
from engine.packs.countries import Country
from engine.rules import DialPlan, NationalNumber, OriginAction, OriginRow, ShortCode, Struct

BUILTIN: tuple[str, ...] = ("cn", "nanp", "uk", "fr", "generic")


class NumberClass(StrEnum):
    """What kind of number a caller's is. The first four are no pack's: they follow from the trunk's dial plan."""

    INVALID = "invalid"  # a form that no number of the country has
    UNALLOCATED = "unallocated"  # a valid form in no block that is in use
    FOREIGN = "foreign"  # of another country than the trunk's
    ANONYMOUS = "anonymous"
    MOBILE = "mobile"
    MVNO = "mvno"  # resale
    FIXED = "fixed"
    SATELLITE = "satellite"
    IOT = "iot"
    PAGER = "pager"
    PERSONAL = "personal"
    CORPORATE = "corporate"
    MARKETING = "marketing"
    PREMIUM = "premium"
    SVC95 = "svc95"
    CC95X = "cc95x"
    CC95X_UNASSIGNED = "cc95x-unassigned"
    SVC96 = "svc96"
    SVC101 = "svc101"
    SVC400 = "svc400"
    SVC800 = "svc800"
    OP100 = "op100"
    SMS106 = "sms106"
    INFO = "info"
    PUBLIC = "public"
    EMERGENCY = "emergency"
    FIXED_OR_MOBILE = "fixed-or-mobile"  # where the form does not tell
    VOIP = "voip"  # tied to no place and no network
    FOREIGN_PREMIUM = "foreign-premium"  # of another country, where calls to it cost more than calls
    FOREIGN_UNALLOCATED = "foreign-unallocated"  # of another country, in no block that is in use there


CLASSES: tuple[NumberClass, ...] = tuple(NumberClass)
"""In the order of the indices that an image carries."""


class ClassForm(Struct, frozen=True, kw_only=True):
    """Numbers of one class. prefixes: national digits, or a short code's; [2-8] and x stand for one digit.

    digits: the least and the most that such a number has, prefix included.
    """

    name: NumberClass
    prefixes: tuple[str, ...]
    digits: tuple[int, int]
    short: bool = False
    about: str = ""
    clause: str = ""
    unverified: bool = False

    def expanded(self) -> Iterator[str]:
        """Every prefix with its digits written out."""
        for prefix in self.prefixes:
            yield from expand(prefix)


class ContactWindow(Struct, frozen=True, kw_only=True):
    """At most `calls` in `days`."""

    calls: Annotated[int, msgspec.Meta(ge=1)]
    days: Annotated[int, msgspec.Meta(ge=1)]


class ContactLimit(Struct, frozen=True, kw_only=True):
    """How often one organisation may call one number. classes: of numbers by which its calls are told.

    silence_days: what the rule asks of it after a refusal, for people to read; refused pairs are what is kept of that.
    """

    about: str
    classes: tuple[NumberClass, ...]
    windows: tuple[ContactWindow, ...]
    clause: str
    silence_days: int = 0
    unverified: bool = False


class PackPlan(Struct, frozen=True, kw_only=True):
    """A dial plan as a pack has it; its name is the pack's."""

    country_code: str
    international_prefixes: tuple[str, ...]
    national_prefix: str
    min_national_digits: int
    max_national_digits: int
    national_numbers: tuple[NationalNumber, ...] = ()
    short_codes: tuple[ShortCode, ...] = ()


class Pack(
    Struct,
    frozen=True,
    kw_only=True,
    rename={"classes": "class", "plan": "dial_plan", "contact_limits": "contact_limit"},
):
    """What is known of one country's numbers. as_of: ISO date of the newest source."""

    title: str
    region: str
    version: Annotated[int, msgspec.Meta(ge=1)]
    as_of: str
    licence: str
    sources: tuple[str, ...]
    plan: PackPlan
    classes: tuple[ClassForm, ...] = ()
    origin: tuple[OriginRow, ...] = ()
    contact_limits: tuple[ContactLimit, ...] = ()

    def dial_plan(self, name: str) -> DialPlan:
        return DialPlan(name=name, **msgspec.structs.asdict(self.plan))

    def entry(self, form: ClassForm, prefix: str) -> str:
        """A prefix of a form as lists write it: +86133* or CN:955*."""
        return f"{self.region}:{prefix}*" if form.short else f"+{self.plan.country_code}{prefix}*"


class OriginTable(Struct, frozen=True):
    """The common rows of `origin.toml`."""

    origin: tuple[OriginRow, ...]


def expand(pattern: str) -> Iterator[str]:
    """The digit strings of a pattern such as 2[0-57-9]x; ValueError if it is none."""
    parts = re.findall(r"\[([0-9-]+)\]|([0-9x])", pattern)
    if not pattern or "".join(f"[{set_}]" if set_ else one for set_, one in parts) != pattern:
        raise ValueError(f"{pattern!r} is no pattern of digits, x and [ranges]")
    for digits in product(*(_digits(set_) if set_ else _digits("0-9" if one == "x" else one) for set_, one in parts)):
        yield "".join(digits)


def _digits(written: str) -> list[str]:
    """The digits of 0-57-9."""
    found: list[str] = []
    for first, last in re.findall(r"(\d)(?:-(\d))?", written):
        found += [str(digit) for digit in range(int(first), int(last or first) + 1)]
    return found


def _read(name: str) -> dict[str, object]:
    return tomllib.loads(resources.files(__name__).joinpath(f"{name}.toml").read_text("utf-8"))


PACKS: dict[str, Pack] = {name: msgspec.convert(_read(name), Pack) for name in BUILTIN}
GENERIC: countries.Countries = countries.read()
COUNTRIES: dict[str, Country] = {country.name: country for country in GENERIC.countries}
HOME: dict[str, str] = {name: pack.plan.country_code for name, pack in PACKS.items() if pack.region} | {
    name: country.code for name, country in COUNTRIES.items() if country.region != countries.NO_COUNTRY
}
"""Packs that a trunk can be at home in, with their calling codes."""
PACK_BY_CALLING_CODE: dict[str, str] = {code: name for name, code in HOME.items()}
BUILTIN_DIAL_PLANS: dict[str, DialPlan] = {name: pack.dial_plan(name) for name, pack in PACKS.items()} | {
    name: plan for name, country in COUNTRIES.items() if (plan := country.dial_plan())
}
COMMON_ORIGIN: dict[NumberClass, OriginRow] = {
    NumberClass(row.number_class): row for row in msgspec.convert(_read("origin"), OriginTable).origin
}

__all__ = [
    "BUILTIN",
    "BUILTIN_DIAL_PLANS",
    "CLASSES",
    "COMMON_ORIGIN",
    "COUNTRIES",
    "GENERIC",
    "HOME",
    "PACKS",
    "PACK_BY_CALLING_CODE",
    "ClassForm",
    "ContactLimit",
    "ContactWindow",
    "Country",
    "NumberClass",
    "OriginAction",
    "OriginRow",
    "Pack",
    "expand",
]
