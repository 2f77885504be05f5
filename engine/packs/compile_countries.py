"""Makes `countries.json`, the generic pack, from the metadata of libphonenumber (the `phonenumbers` package).

    python -m engine.packs.compile_countries --as-of 2026-11-06

Run when a new version of the metadata is to be taken over; nothing of callsieve reads the metadata itself. The class of
a number follows libphonenumber: of the regions that share a calling code the first that knows the number, then the
first of its types that matches. --as-of is the date of the version.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Hashable, Iterable, Iterator
from itertools import groupby, product
from pathlib import Path

import phonenumbers
from phonenumbers.phonemetadata import PhoneMetadata
from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE

from engine.packs.countries import FILE, NO_COUNTRY, ROOT, Run
from engine.packs.digit_automaton import DigitAutomaton, State
from engine.packs.shortest_prefixes import Saying, ShortestPrefixes

HAND_WRITTEN = frozenset([1, 33, 44, 86])
MOST_DIGITS = 15  # E.164
MOST_PREFIXES = 4  # international prefixes of a dial plan
USUAL_PREFIX = "00"  # recommended by ITU-T E.164

# In libphonenumber's order; a number that is both fixed and mobile is told apart by nobody.
CLASS_BY_TYPE = {
    "premium_rate": "premium",
    "toll_free": "svc800",
    "shared_cost": "svc400",
    "voip": "voip",
    "personal_number": "personal",
    "pager": "pager",
    "uan": "corporate",
    "voicemail": "info",
    "fixed_line": "fixed",
    "mobile": "mobile",
}
FIXED_OR_MOBILE = "fixed-or-mobile"
SUBSCRIBERS = ("fixed", "mobile", FIXED_OR_MOBILE)
GENERAL = "general_desc"
LEADING = "leading_digits"
NOTHING = ""


class CallingCode:
    """The numbers of one calling code, as the metadata of its regions has them."""

    def __init__(self, code: int) -> None:
        self.code = str(code)
        self.region, *_ = regions = COUNTRY_CODE_TO_REGION_CODE[code]
        found = [_metadata(region, code) for region in regions]
        self.metadata = [each for each in found if each is not None]
        self.automaton = DigitAutomaton()
        for index, each in enumerate(self.metadata):
            self._add(index, each)
        general = [each.general_desc for each in self.metadata]
        lengths = {digits for each in general if each is not None for digits in each.possible_length if digits > 0}
        self.least = min(lengths)
        self.most = min(max(lengths), MOST_DIGITS - len(self.code))

    def _add(self, index: int, metadata: PhoneMetadata) -> None:
        for kind in (GENERAL, *CLASS_BY_TYPE):
            description = getattr(metadata, kind)
            if description is not None and description.national_number_pattern:
                self.automaton.add(description.national_number_pattern, (index, kind))
        if metadata.leading_digits:
            self.automaton.add(rf"(?:{metadata.leading_digits})\d{{0,{MOST_DIGITS}}}", (index, LEADING))

    def class_of(self, state: State, digits: int) -> str:
        """The class of a number that ends in a state; NOTHING if no number does."""
        if not self.least <= digits <= self.most:
            return NOTHING
        tags = self.automaton.tags(state)
        for index, metadata in enumerate(self.metadata):
            found = _class_in(tags, index)
            if (index, LEADING) in tags or (found and not metadata.leading_digits):
                return found
        return NOTHING

    def numbers(self) -> dict[str, str]:
        """Prefixes with blanks between, by what is said of them."""
        prefixes: dict[str, list[str]] = {}
        for prefix, saying in ShortestPrefixes(self.automaton, self.class_of, self.most):
            prefixes.setdefault(_said(len(prefix), saying), []).append(prefix or ROOT)
        return {said: " ".join(prefixes[said]) for said in sorted(prefixes)}

    def emergency(self) -> list[str]:
        metadata = PhoneMetadata.short_metadata_for_region(self.region)
        if metadata is None or metadata.emergency is None or not metadata.emergency.national_number_pattern:
            return []
        return merged(words(metadata.emergency.national_number_pattern))

    def plan(self) -> dict[str, object] | None:
        """The dial plan; None for networks, and where a subscriber's number can begin with the national prefix."""
        metadata = self.metadata[0]
        national = metadata.national_prefix or ""
        if self.region == NO_COUNTRY or (national and self._begins(national)):
            return None
        return {"international_prefixes": _international_prefixes(metadata), "national_prefix": national}

    def _begins(self, prefix: str) -> bool:
        state = self.automaton.start()
        for digit in prefix:
            state = self.automaton.step(state, int(digit))
        ahead = {state}
        for digits in range(len(prefix), self.most + 1):
            if any(self.class_of(each, digits) in SUBSCRIBERS for each in ahead):
                return True
            ahead = {self.automaton.step(each, digit) for each in ahead for digit in range(10)}
        return False

    def document(self) -> dict[str, object]:
        return {
            "code": self.code,
            "region": self.region,
            "least": self.least,
            "most": self.most,
            "emergency": self.emergency(),
            "plan": self.plan(),
            "numbers": self.numbers(),
        }


def _metadata(region: str, code: int) -> PhoneMetadata | None:
    if region == NO_COUNTRY:
        return PhoneMetadata.metadata_for_nongeo_region(code)
    return PhoneMetadata.metadata_for_region(region)


def _class_in(tags: set[Hashable], index: int) -> str:
    """The class of a number in one region's metadata."""
    kinds = [kind for kind in CLASS_BY_TYPE if (index, kind) in tags]
    if (index, GENERAL) not in tags or not kinds:
        return NOTHING
    return FIXED_OR_MOBILE if kinds == ["fixed_line", "mobile"] else CLASS_BY_TYPE[kinds[0]]


def _said(depth: int, saying: Saying) -> str:
    """The runs of a saying, whose first value is of numbers of `depth` digits."""
    found = []
    for number_class, group in groupby(enumerate(saying, start=depth), key=lambda each: each[1]):
        digits = [each[0] for each in group]
        if number_class:
            found.append(str(Run(number_class, digits[0], digits[-1])))
    return ", ".join(found)


def words(pattern: str) -> Iterator[str]:
    """Every number that a pattern of few digits matches."""
    automaton = DigitAutomaton()
    automaton.add(pattern, True)
    todo = [(automaton.start(), "")]
    while todo:
        state, read = todo.pop()
        if automaton.tags(state):
            yield read
        steps = ((automaton.step(state, digit), f"{read}{digit}") for digit in range(10))
        todo += [(after, text) for after, text in steps if after]


def merged(numbers: Iterable[str]) -> list[str]:
    """Sorted; ten numbers that only differ in the last digit are one that ends in x."""
    found = set(numbers)
    for digits in range(max(map(len, found), default=0), 0, -1):
        heads = {number[: digits - 1] + number[digits:] for number in found if set(number[digits:]) <= {"x"}}
        for head in heads:
            ten = {f"{head[: digits - 1]}{digit}{head[digits - 1 :]}" for digit in range(10)}
            if ten <= found:
                found = (found - ten) | {f"{head[: digits - 1]}x{head[digits - 1 :]}"}
    return sorted(found)


def _international_prefixes(metadata: PhoneMetadata) -> list[str]:
    """All of them if a plan has room, else the usual one."""
    found = sorted(words(metadata.international_prefix or USUAL_PREFIX))
    if len(found) <= MOST_PREFIXES:
        return found
    preferred = metadata.preferred_international_prefix or USUAL_PREFIX
    return [preferred if preferred.isdigit() else USUAL_PREFIX]


def unassigned() -> list[str]:
    """The shortest digits with which no calling code begins."""
    codes = {str(code) for code in COUNTRY_CODE_TO_REGION_CODE}
    heads = {code[:length] for code in codes for length in range(len(code))}
    free = ("".join(digits) for length in (1, 2, 3) for digits in product("0123456789", repeat=length))
    return [head for head in free if head[:-1] in heads - codes and head not in heads | codes]


def document(as_of: str) -> dict[str, object]:
    codes = [CallingCode(code) for code in sorted(COUNTRY_CODE_TO_REGION_CODE) if code not in HAND_WRITTEN]
    return {
        "title": "Countries without a pack of their own",
        "version": 1,
        "as_of": as_of,
        "licence": "Apache-2.0 (metadata of libphonenumber)",
        "sources": [f"phonenumbers {phonenumbers.__version__}, metadata of libphonenumber"],
        "unassigned": unassigned(),
        "countries": [code.document() for code in codes],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Make countries.json from the metadata of libphonenumber.")
    parser.add_argument("--as-of", required=True, metavar="DATE", help="date of the metadata, e.g. 2026-11-06")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name(FILE), metavar="FILE")
    options = parser.parse_args()
    text = json.dumps(document(options.as_of), indent=0)
    options.output.write_text(f"{text}\n", "utf-8")


if __name__ == "__main__":
    main()
