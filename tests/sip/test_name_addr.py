"""From and To: one identity, read one way."""

from __future__ import annotations

import pytest

from tests.sip.heads import parse, parse_with


@pytest.mark.parametrize(
    ("value", "display", "uri", "tag"),
    [
        ("<sip:a@b>;tag=x", "", "sip:a@b", "x"),
        ("sip:a@b;tag=x", "", "sip:a@b", "x"),
        ("sip:a@b ; TAG = x ; y", "", "sip:a@b", "x"),
        ("tel:+862088886666;tag=x", "", "tel:+862088886666", "x"),
        ("<tel:+862088886666;phone-context=+86>;tag=x", "", "tel:+862088886666;phone-context=+86", "x"),
        ("<sip:a@b;tag=inside>;tag=x", "", "sip:a@b;tag=inside", "x"),
        ("caller<sip:a@b>;tag=x", "caller", "sip:a@b", "x"),
        ("Dr. A & B (Sales) <sip:a@b>;tag=x", "Dr. A & B (Sales)", "sip:a@b", "x"),
        ("\u5f20\u4e09 <sip:a@b>;tag=x", "\u5f20\u4e09", "sip:a@b", "x"),
        ('"a,b;c<sip:c@d>\\"" <sip:a@b>;tag=x', '"a,b;c<sip:c@d>\\""', "sip:a@b", "x"),
        ('"BEL:\\\x07 NUL:\\\0 DEL:\\\x7f" <sip:a@b>;tag=x', '"BEL:\\\x07 NUL:\\\0 DEL:\\\x7f"', "sip:a@b", "x"),
        ('<sip:a@b>;x="a;tag=no,";tag=x', "", "sip:a@b", "x"),
        ("<sip:a@b>;x=[2001:db8::1];y;tag=x", "", "sip:a@b", "x"),
        ("<isbn:2983792873>;tag=x", "", "isbn:2983792873", "x"),
        ("<nonsense>;tag=x", "", "nonsense", "x"),
        ("<sip:a@b?Subject=x>;tag=x", "", "sip:a@b?Subject=x", "x"),
        ("<sip:a@b>", "", "sip:a@b", ""),
    ],
)
def test_parts(value: str, display: str, uri: str, tag: str) -> None:
    parsed = parse(From=f"From: {value}")
    assert parsed.status == 0, parsed.fault
    assert (parsed.from_display, parsed.from_uri, parsed.from_tag) == (display, uri, tag)


@pytest.mark.parametrize(
    "value",
    [
        "", "<>", ";tag=x", "<sip:a@b", "sip:a@b>", "< sip:a@b>", "<sip:a@b >", "<sip:a @b>", "<<sip:a@b>>",
        '"a <sip:a@b>',
        '"a" b <sip:a@b>', 'a "b" <sip:a@b>', '"a" sip:a@b', '"a\\" <sip:a@b>', "Bell, A <sip:a@b>", "a\0 <sip:a@b>",
        '"a\0" <sip:a@b>', '"a\x7f" <sip:a@b>', '"a\\\r\n b" <sip:a@b>', "<sip:a@b\0>", "<sip:a@b\x7f>", "sip:a\x01@b",
        "sip:a@b?x=y", "<sip:a@b>,<sip:c@d>", "sip:a@b,sip:c@d", "<sip:a@b>x", "<sip:a@b> x", "<sip:a@b><sip:c@d>",
        "sip:a@b;x=<sip:c@d>", "sip:a@b <sip:c@d>", "sip:a@b;x <sip:c@d>", "<sip:a@b>;", "<sip:a@b>;;tag=x",
        "<sip:a@b>;=x", "<sip:a@b>;x=", '<sip:a@b>;x="y', '<sip:a@b>;x=a"b', "<sip:a@b>;x=a b", "<sip:a@b>;x=\0",
        "<sip:a@b>;tag=x,y", "a\\ <sip:a@b>",
    ],
)  # fmt: skip
def test_two_readings_or_none(value: str) -> None:
    for name in ("From", "To"):
        parsed = parse_with(name, f"{name}: {value}")
        assert (parsed.status, parsed.fault) == (400, "Bad From or To"), value


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        (";tag=", "Bad From or To"),
        (";tag", "Empty Tag"),
        (";tag=x;tag=y", "Repeated Tag"),
        (";tag=x;y;TAG=x", "Repeated Tag"),
    ],
)
def test_tag_is_one_or_none(parameters: str, fault: str) -> None:
    parsed = parse(To=f"To: <sip:a@b>{parameters}")
    assert (parsed.status, parsed.fault) == (400, fault)
