"""Numbers: what the text of a user part becomes under each dial plan (docs: numbering)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import rules
from engine._dial_plan import DialPlan
from engine._numbers import block_of, is_emergency, number_text, parse_entry
from engine.numbers import CALLING_CODE_BY_REGION, EMERGENCY_CODES, REGION_BY_CALLING_CODE
from engine.packs import BUILTIN_DIAL_PLANS

PLANS = {name: DialPlan(plan) for name, plan in BUILTIN_DIAL_PLANS.items()}

CHINA = [
    ("+8613800138000", "+8613800138000"),
    ("008613800138000", "+8613800138000"),
    ("tel:+86-138-0013-8000", "+8613800138000"),
    ("13800138000", "+8613800138000"),
    ("8613800138000", "+8613800138000"),
    ("(0)13800138000", "+8613800138000"),
    ("02088886666", "+862088886666"),
    ("010-8888 6666", "+861088886666"),
    ("01066668888", "+861066668888"),
    ("+861066668888", "+861066668888"),
    ("+86 (0)20 8888.6666", "+862088886666"),
    ("862088886666", "+862088886666"),
    ("057188886666", "+8657188886666"),
    ("95588", "CN:95588"),
    ("+8695588", "CN:95588"),
    ("008695588", "CN:95588"),
    ("95071666", "CN:95071666"),
    ("950716661", "invalid"),
    ("9558", "invalid"),
    ("4008123123", "CN:4008123123"),
    ("+864008123123", "CN:4008123123"),
    ("8008123123", "CN:8008123123"),
    ("10086", "CN:10086"),
    ("10101234", "CN:10101234"),
    ("106575123456", "CN:106575123456"),
    ("110", "CN:110"),
    ("12110", "CN:12110"),
    ("12321", "CN:12321"),
    ("96110", "CN:96110"),
    ("962288", "CN:962288"),
    ("02196110", "+862196110"),
    ("11185", "CN:11185"),
    ("88886666", "invalid"),  # a local number without its area code names nobody
    ("447911123456", "invalid"),  # foreign numbers need + or 00
    ("+447911123456", "+447911123456"),
    ("00447911123456", "+447911123456"),
    ("CN:95588", "CN:95588"),
]

OTHERS = [
    ("nanp", "2125551234", "+12125551234"),
    ("nanp", "12125551234", "+12125551234"),
    ("nanp", "+1 (212) 555-1234", "+12125551234"),
    ("nanp", "011442079460000", "+442079460000"),
    ("nanp", "911", "US:911"),
    ("nanp", "+1911", "US:911"),
    ("nanp", "988", "US:988"),
    ("nanp", "5551234", "invalid"),
    ("uk", "020 7946 0000", "+442079460000"),
    ("uk", "+44 (0)20 7946 0000", "+442079460000"),
    ("uk", "07911123456", "+447911123456"),
    ("uk", "447911123456", "+447911123456"),
    ("uk", "999", "GB:999"),
    ("uk", "116123", "GB:116123"),
    ("fr", "01 62 12 34 56", "+33162123456"),
    ("fr", "0033162123456", "+33162123456"),
    ("fr", "3639", "FR:3639"),
    ("fr", "17", "FR:17"),
    ("generic", "+8695588", "+8695588"),
    ("generic", "8613800138000", "+8613800138000"),
    ("generic", "008613800138000", "+8613800138000"),
    ("generic", "112", "ZZ:112"),
]

ODD = [
    ("", ""),
    ("anonymous", "anonymous"),
    ("Anonymous", "anonymous"),
    ("RESTRICTED", "anonymous"),
    ("unavailable", "anonymous"),
    ("private", "anonymous"),
    ("%61nonymous", "anonymous"),
    ("anonymously", "invalid"),
    ("anon", "invalid"),
    ("alice", "invalid"),
    ("invalid", "invalid"),
    ("+", "invalid"),
    ("--", "invalid"),
    ("++8613800138000", "invalid"),
    ("86+13800138000", "invalid"),
    ("*86", "invalid"),
    ("13800138000#", "invalid"),
    ("1380013800a", "invalid"),
    ("+1234567890123456", "invalid"),
    ("9" * 40, "invalid"),
    ("1" * 300, "invalid"),
    ("+0123456789", "invalid"),
    ("+812", "invalid"),
    ("00", "invalid"),
    ("%2B8613800138000", "+8613800138000"),
    ("%252B8613800138000", "invalid"),  # decoded once only
    ("%2", "invalid"),
    ("%zz", "invalid"),
    ("１３８００１３８０００", "+8613800138000"),  # noqa: RUF001
    ("%EF%BC%91３８００１３８０００", "+8613800138000"),  # noqa: RUF001
    ("١٣٨٠٠١٣٨٠٠٠", "+8613800138000"),
    ("۱۳۸۰۰۱۳۸۰۰۰", "+8613800138000"),
    ("१३८००१३८०००", "invalid"),  # Devanagari is not folded
    ("XX:95588", "invalid"),
    ("CN:9558a", "invalid"),
    ("CN:", "invalid"),
]

PARAMETERS = [
    ("13800138000;npdi;rn=+8613900000000", "+8613800138000"),
    ("+8613800138000;cic=0123", "+8613800138000"),
    ("13800138000%3Brn=1", "invalid"),
    ("13800138000;phone-context=+86", "+8613800138000"),
    ("95588;phone-context=+86", "CN:95588"),
    ("13800138000;phone-context=+86-20", "+8613800138000"),
    ("13800138000;phone-context=example.com", "+8613800138000"),
    ("2125551234;phone-context=+1", "+12125551234"),
    ("2079460000;npdi;Phone-Context=+44", "+442079460000"),
    ("8631234;phone-context=+1-914-555", "invalid"),
    ("+8613800138000;phone-context=+1", "+8613800138000"),
    ("13800138000;phone-context=", "+8613800138000"),
    (";phone-context=+86", ""),
]


def canonical(plan: str, text: str) -> str:
    return number_text(PLANS[plan].normalize(text))


@pytest.mark.parametrize(("text", "expected"), CHINA + ODD + PARAMETERS)
def test_chinese_trunk(text: str, expected: str) -> None:
    assert canonical("cn", text) == expected


@pytest.mark.parametrize(("plan", "text", "expected"), OTHERS)
def test_other_plans(plan: str, text: str, expected: str) -> None:
    assert canonical(plan, text) == expected


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("code", EMERGENCY_CODES)
def test_emergency_codes_are_known_everywhere(plan: str, code: str) -> None:
    assert is_emergency(PLANS[plan].normalize(code))
    assert is_emergency(PLANS[plan].normalize(canonical(plan, code)))


@pytest.mark.parametrize("text", ["CN:12110", "CN:9110", "+8613800138000", "CN:95588", "US:112345", ""])
def test_not_an_emergency(text: str) -> None:
    assert not is_emergency(PLANS["cn"].normalize(text))


DIALLED = st.text(alphabet="0123456789+-.() ;%*#=aAnony:CN一٣３", max_size=40)  # noqa: RUF001
TYPICAL = st.from_regex(r"\A(\+|00|011|0|)(86|1|44|33|)(0|)[0-9]{2,14}\Z")


@given(st.sampled_from(sorted(PLANS)), st.one_of(DIALLED, TYPICAL, st.text(max_size=30)))
def test_canonical_text_is_canonical(plan: str, text: str) -> None:
    once = PLANS[plan].normalize(text)
    assert PLANS[plan].normalize(number_text(once)) == once


@given(st.binary(max_size=200))
def test_any_bytes_are_some_number(raw: bytes) -> None:
    for plan in PLANS.values():
        assert len(number_text(plan.normalize(raw))) <= 24


@given(st.from_regex(r"\A[1-9][0-9]{6,14}\Z"))
def test_separators_do_not_matter(digits: str) -> None:
    assert canonical("generic", f"+{digits}") == f"+{digits}"
    assert canonical("generic", "+" + "-".join(digits)) == f"+{digits}"


def test_block() -> None:
    number = PLANS["cn"].normalize("+8613800138000")
    assert number_text(block_of(number, 2)) == "+86138001380*"
    assert block_of(number, 13) == 0


@pytest.mark.parametrize(
    ("entry", "text", "exact"),
    [
        ("+8613800138000", "+8613800138000", True),
        ("+86170*", "+86170", False),
        ("CN:95588", "CN:95588", True),
        ("CN:955*", "CN:955", False),
    ],
)
def test_entries(entry: str, text: str, exact: bool) -> None:
    number, is_exact = parse_entry(entry)
    assert (number_text(number), is_exact) == (text, exact)


@pytest.mark.parametrize(
    "entry", ["", "+", "*", "+*", "13800138000", "+86 138", "ZX:1", "CN:", "+8*6", "+0123", "+1" + "2" * 15]
)
def test_bad_entries(entry: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_entry(entry)


def test_calling_codes_are_prefix_free() -> None:
    codes = REGION_BY_CALLING_CODE
    assert not [(a, b) for a in codes for b in codes if a != b and b.startswith(a)]
    assert len(CALLING_CODE_BY_REGION) == len(codes)


@pytest.mark.parametrize(
    "change",
    [
        {"country_code": "8x"},
        {"country_code": "0"},
        {"international_prefixes": ("00", "01", "02", "03", "04")},
        {"national_prefix": "+"},
    ],
)
def test_impossible_plans(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        DialPlan(rules.DialPlan(**({"name": "x", "country_code": "86"} | change)))  # type: ignore[arg-type]
