"""P11: one number has one form, whatever it is written in; what is no number is invalid."""

from __future__ import annotations

import random

import pytest

from engine._dial_plan import DialPlan
from engine._numbers import number_text
from engine.packs import BUILTIN_DIAL_PLANS
from tests.abuse.size import size

CN, NANP, GENERIC = (DialPlan(BUILTIN_DIAL_PLANS[name]) for name in ("cn", "nanp", "generic"))
SAME = "+862088886666"
FULL_WIDTH, ARABIC_INDIC, EXTENDED_ARABIC = 0xFF10, 0x660, 0x6F0  # the digit zero


def written_in(zero: int) -> str:
    return "+" + "".join(chr(zero + int(digit)) for digit in SAME[1:])


@pytest.mark.parametrize(
    "text",
    [
        "+862088886666", "00862088886666", "862088886666", "02088886666", "+86-20-8888-6666", "+86 (20) 8888.6666",
        "%2B862088886666", "%2b86%32088886666", "tel:+862088886666", "tel:02088886666;phone-context=+86",
        "02088886666;phone-context=%2B86", "02088886666;Phone-Context=+86", "02088886666;npdi;phone-context=+86",
        "+862088886666;phone-context=+1", "+862088886666;rn=+8610;npdi;cic=+860110",
        "02088886666;phone-context=ims.example", *map(written_in, (FULL_WIDTH, ARABIC_INDIC, EXTENDED_ARABIC)),
    ],
)  # fmt: skip
def test_p11_every_way_to_write_a_number_gives_one_form(text: str) -> None:
    assert number_text(CN.normalize(text)) == SAME


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        ("anonymous", "anonymous"),
        ("Anonymous", "anonymous"),
        ("+" + "1" * 40, "invalid"),
        ("1" * 40, "invalid"),
        ("+", "invalid"),
        ("++862088886666", "invalid"),
        ("+86+2088886666", "invalid"),
        ("+86208888666x", "invalid"),
        ("+86%0d%0a2088886666", "invalid"),
        ("+86%002088886666", "invalid"),
        ("+86%2", "invalid"),
        ("%252B862088886666", "invalid"),
        ("2088886666;phone-context=+1-914-555", "invalid"),
        ("2088886666;phone-context=%2B1-914-555", "invalid"),
        ("6502530000;phone-context=%2B1", "+16502530000"),
        ("\xdf8620", "invalid"),
    ],
)
def test_p11_what_is_no_number_is_invalid(text: str, canonical: str) -> None:
    assert number_text(CN.normalize(text)) == canonical


def test_p11_the_canonical_form_is_its_own_canonical_form() -> None:
    pieces = ["+", "00", "0", "1", "86", "95", "+86", "%2B", "%30", "%", ";phone-context=", ";rn=", "-", " ",
              "anonymous", "CN:", "US:", "tel:", "x", "\0", "\r\n", "\xe9", *map(str, range(10)),
              *(chr(zero + 5) for zero in (FULL_WIDTH, ARABIC_INDIC, EXTENDED_ARABIC))]  # fmt: skip
    rng = random.Random(11)
    for plan in (CN, NANP, GENERIC):
        for _ in range(size(20_000, 1_000_000) // 3):
            text = "".join(rng.choices(pieces, k=rng.randrange(18)))
            once = number_text(plan.normalize(text))
            assert number_text(plan.normalize(once)) == once, (text, once)


def test_p11_random_bytes_are_canonical_or_invalid_and_stay_so() -> None:
    rng = random.Random(12)
    for _ in range(size(20_000, 1_000_000)):
        raw = rng.randbytes(rng.randrange(24))
        once = number_text(CN.normalize(raw))
        assert number_text(CN.normalize(once)) == once, raw
