"""The generic pack against phonenumbers, whose metadata it was made from: another reading of the same patterns."""

from __future__ import annotations

import random
import re
from pathlib import Path

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import rules
from engine._dial_plan import DialPlan
from engine._numbers import number_text
from engine._prefix_trie import PrefixTrie
from engine._screener import Screener
from engine.decision import Action, Attempt
from engine.packs import BUILTIN_DIAL_PLANS, COUNTRIES, GENERIC, HOME, PACKS, NumberClass
from engine.packs.compile_countries import CallingCode, merged, words
from engine.packs.digit_automaton import DigitAutomaton
from engine.policy import Draft, compile_policy
from engine.tables import Tables
from tests.oracle_numbers import plain_class

NOW_US = 1_795_305_600_000_000
CALLEE = "+862088886666"
HOMES = ("cn", "nanp", "de", "in", "it", "ru")
SAME_METADATA = GENERIC.sources[0].split()[1].rstrip(",") == phonenumbers.__version__
same_metadata = pytest.mark.skipif(not SAME_METADATA, reason="another version of the metadata is installed")


def policy(home: str, plan: str = "generic", trunk_class: str = "carrier") -> rules.PolicySet:
    trunk = rules.TrunkPolicy(name="trunk", policy="default", dial_plan=plan, trunk_class=trunk_class, pack=home)
    return rules.PolicySet(trunks=(trunk,), policies=(rules.Policy(name="default", origin=rules.Mode.ENFORCE),))


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return Tables.open(tmp_path_factory.mktemp("tables"), reputation=1024, rate_limiter=1024, half_life_days=14)


@pytest.fixture(scope="module")
def screeners(tables: Tables) -> dict[str, Screener]:
    return {home: screener(tables, home) for home in HOMES}


def screener(tables: Tables, home: str, plan: str = "generic", trunk_class: str = "carrier") -> Screener:
    image = compile_policy(policy(home, plan, trunk_class), base_dir=Path(), generation=1)
    return Screener(image, tables, bytes(16))


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """A number of some country: behind a prefix that the pack has, of nearly any length."""
    country = draw(st.sampled_from(GENERIC.countries))
    _, prefixes = draw(st.sampled_from(list(country.forms())))
    digits = draw(st.sampled_from(prefixes)) + draw(st.text("0123456789", min_size=14, max_size=14))
    most = min(country.most + 1, 15 - len(country.code))
    return f"+{country.code}{digits[: draw(st.integers(max(country.least - 1, 7 - len(country.code)), most))]}"


@same_metadata
@settings(max_examples=3000, deadline=None)
@given(numbers(), st.sampled_from(HOMES))
def test_classes_are_those_of_phonenumbers(screeners: dict[str, Screener], number: str, home: str) -> None:
    verdict = screeners[home].screen(Attempt(number, CALLEE, "trunk"), NOW_US)
    found = verdict.number_class
    expected = plain_class(home, number)
    if found == "invalid" and expected is NumberClass.UNALLOCATED:
        return  # of a length that no number has which begins so: whether one does, phonenumbers cannot be asked
    assert found == expected


@same_metadata
def test_the_file_is_what_the_tool_makes() -> None:
    """For a few calling codes of every kind: one country, several, a network; all take seconds."""
    for code in (7, 39, 49, 61, 262, 358, 883):
        made = CallingCode(code).document()
        country = next(each for each in GENERIC.countries if each.code == str(code))
        assert (made["numbers"], tuple(made["emergency"])) == (country.numbers, country.emergency)  # type: ignore[arg-type]


def test_every_calling_code_is_known() -> None:
    codes = {country.code for country in GENERIC.countries} | {pack.plan.country_code for pack in PACKS.values()}
    assert {str(code) for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE} <= codes
    assert {HOME[name] for name in ("de", "in", "ru", "cn", "nanp")} == {"49", "91", "7", "86", "1"}
    assert (GENERIC.as_of, GENERIC.licence.split()[0]) == ("2026-11-06", "Apache-2.0")


REAL = [
    # (caller as +E.164, its class on a trunk of its own country, its class elsewhere)
    ("+4930227670", "fixed", "foreign"),  # Deutscher Bundestag
    ("+4915112345678", "mobile", "foreign"),
    ("+498003301000", "svc800", "foreign"),  # Deutsche Telekom
    ("+491806996633", "svc400", "foreign"),  # Deutsche Bahn, before 2023
    ("+499001234567", "premium", "foreign-premium"),
    ("+4970012345678", "personal", "foreign"),
    ("+911123978046", "fixed", "foreign"),  # Telecom Regulatory Authority of India
    ("+919876543210", "mobile", "foreign"),
    ("+390669821", "fixed", "foreign"),  # the Vatican, on an Italian number
    ("+393331234567", "mobile", "foreign"),
    ("+35314964444", "fixed", "foreign"),
    ("+819012345678", "mobile", "foreign"),
    ("+815012345678", "voip", "foreign"),
    ("+85221234567", "fixed", "foreign"),
    ("+85212345678", "unallocated", "foreign-unallocated"),
]


@pytest.mark.parametrize(("caller", "at_home", "abroad"), REAL)
def test_real_numbers(tables: Tables, screeners: dict[str, Screener], caller: str, at_home: str, abroad: str) -> None:
    elsewhere = screeners["cn"].screen(Attempt(caller, CALLEE, "trunk"), NOW_US)
    assert elsewhere.number_class == abroad
    country = next(each for each in GENERIC.countries if caller[1:].startswith(each.code))
    engine = screener(tables, country.name)
    assert engine.screen(Attempt(caller, CALLEE, "trunk"), NOW_US).number_class == at_home


@pytest.mark.parametrize("caller", ["+2101234567", "+9991234567", "+852123456789012", "+6831234567890", "+49123"])
def test_impossible_numbers_of_other_countries_are_invalid(screeners: dict[str, Screener], caller: str) -> None:
    verdict = screeners["cn"].screen(Attempt(caller, CALLEE, "trunk"), NOW_US)
    assert verdict.action == Action.REJECT


def test_a_service_number_of_china_is_foreign_elsewhere_and_never_invalid(screeners: dict[str, Screener]) -> None:
    """numbering.md section 6: no library's "invalid" rejects a service number of China."""
    for caller in ("+8695588", "+8695071666", "+864008123123", "+8610086"):
        verdict = screeners["nanp"].screen(Attempt(caller, "+12025551234", "trunk"), NOW_US)
        assert verdict.number_class == "foreign", caller
        assert verdict.action != Action.REJECT


@pytest.mark.parametrize(
    ("home", "codes"),
    [("de", "110 112"), ("in", "100 101 102 108 112"), ("br", "190 192 193"), ("fr", "15 17 18 112"), ("kr", "119")],
)
def test_emergency_services_of_every_country(tables: Tables, home: str, codes: str) -> None:
    """Called, they are always reached; as callers from abroad they are spoofs."""
    engine = screener(tables, home, plan=home, trunk_class="intl")
    for code in codes.split():
        assert engine.screen(Attempt("invalid!", code, "trunk"), NOW_US).action == Action.ACCEPT, code
        assert engine.screen(Attempt(code, "+12025551234", "trunk"), NOW_US).action == Action.REJECT, code


def test_dial_plans_of_countries_read_their_own_numbers() -> None:
    """The example numbers of the metadata, as they are dialled at home, come out as +E.164."""
    for name, country in COUNTRIES.items():
        example = phonenumbers.example_number(country.region) if name in BUILTIN_DIAL_PLANS else None
        if example is None:
            continue
        national = phonenumbers.national_significant_number(example)
        plan = DialPlan(BUILTIN_DIAL_PLANS[name])
        prefix = BUILTIN_DIAL_PLANS[name].national_prefix
        international = BUILTIN_DIAL_PLANS[name].international_prefixes[0]
        for dialled in (f"{prefix}{national}", f"{international}{country.code}{national}"):
            assert number_text(plan.normalize(dialled)) == f"+{country.code}{national}", (name, dialled)


def test_a_prefix_takes_16_bytes() -> None:
    draft = Draft(policy("cn"), Path(), None)
    draft.check(None)
    keys, values = draft.prefixes[0]
    assert len(keys) > 50_000
    root = 8 * 10**4
    assert len(PrefixTrie.build_keys(keys, values)) <= root + 16 * len(keys)


# --- the tool --------------------------------------------------------------------------------------------------------


def test_patterns_of_numbering_plans() -> None:
    assert sorted(words("1(?:1[02]|23)4?")) == ["110", "1104", "112", "1124", "123", "1234"]
    assert sorted(words("[01]{2}")) == ["00", "01", "10", "11"]
    assert merged(words(r"1(?:3\d\d|730|8)")) == ["13xx", "1730", "18"]
    for nonsense in ("1(", "[", "a", "(?:1", "1)"):
        with pytest.raises(ValueError, match="not understood"):
            DigitAutomaton().add(nonsense, True)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_an_automaton_matches_what_the_expression_does(data: st.DataObject) -> None:
    description = phonenumbers.PhoneMetadata.metadata_for_region("AR").general_desc
    pattern = description.national_number_pattern
    automaton = DigitAutomaton()
    automaton.add(pattern, "tag")
    text = data.draw(st.text("0123456789", max_size=12))
    state = automaton.start()
    for digit in text:
        state = automaton.step(state, int(digit))
    assert bool(automaton.tags(state)) == bool(re.fullmatch(pattern, text))


def test_numbers_at_random_are_never_garbage(screeners: dict[str, Screener]) -> None:
    source = random.Random(4)
    for _ in range(20_000):
        number = f"+{source.randrange(1, 10**15)}"
        verdict = screeners["de"].screen(Attempt(number, CALLEE, "trunk"), NOW_US)
        assert verdict.number_class is None or verdict.number_class in set(NumberClass)
