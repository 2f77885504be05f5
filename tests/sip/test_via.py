"""The top Via: blanks everywhere, IPv6, parameters; and what is refused."""

from __future__ import annotations

import pytest

from tests.sip.heads import parse


@pytest.mark.parametrize(
    ("value", "transport", "sent_by", "branch"),
    [
        ("SIP/2.0/UDP 192.0.2.2", "UDP", ("192.0.2.2", -1), ""),
        ("sip/2.0/tcp a.example.com:0005060;branch=z9hG4bKx", "tcp", ("a.example.com", 5060), "z9hG4bKx"),
        ("SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390", "UDP", ("192.0.2.2", -1), "390"),
        ("SIP/2.0/UDP a : 5062 ; branch \r\n = x ; other", "UDP", ("a", 5062), "x"),
        ("SIP/2.0/UDP [2001:db8::9:1]:5070;BRANCH=x", "UDP", ("[2001:db8::9:1]", 5070), "x"),
        ("SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=x", "UDP", ("[2001:db8::9:1]", -1), "x"),
        ("SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=x", "UDP", ("[2001:db8::9:1]", -1), "x"),
        ('SIP/2.0/UNKNOWN a;x="a;branch=y,z";branch=x', "UNKNOWN", ("a", -1), "x"),
        ("SIP/2.0/UDP a;branch=x , SIP/2.0/TCP b;branch=y", "UDP", ("a", -1), "x"),
    ],
)
def test_parts(value: str, transport: str, sent_by: tuple[str, int], branch: str) -> None:
    parsed = parse(Via=f"Via: {value}")
    assert (parsed.status, parsed.transport, parsed.sent_by, parsed.branch) == (0, transport, sent_by, branch)


@pytest.mark.parametrize(
    ("parameter", "wanted"),
    [(";rport", True), (";RPORT", True), (";rport=5060", False), ("", False), (";xrport", False)],
)
def test_rport(parameter: str, wanted: bool) -> None:
    assert parse(Via=f"Via: SIP/2.0/UDP a;branch=x{parameter}").wants_rport is wanted


@pytest.mark.parametrize(
    "value",
    [
        "", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0 a", "SIP/7.0/UDP a", "SIP/2.0/ a", "SIP/2.0/UDPa", "HTTP/2.0/UDP a",
        "SIP/2.0/UDP a:", "SIP/2.0/UDP a:x", "SIP/2.0/UDP a:65536", "SIP/2.0/UDP a:-1", "SIP/2.0/UDP :5060",
        "SIP/2.0/UDP a;;branch=x", "SIP/2.0/UDP a;branch=", "SIP/2.0/UDP a;branch", "SIP/2.0/UDP a;branch=x;branch=y",
        "SIP/2.0/UDP a;rport;rport", "SIP/2.0/UDP a;received=192.0.2.1;received=192.0.2.2", 'SIP/2.0/UDP a;x="y',
        "SIP/2.0/UDP a b;branch=x", "SIP/2.0/UDP [::1", "SIP/2.0/UDP []", "SIP/2.0/UDP [a;branch=x]",
        "SIP/2.0/UDP a;b\0",
    ],
)  # fmt: skip
def test_no_via(value: str) -> None:
    parsed = parse(Via=f"Via: {value}")
    assert (parsed.status, parsed.fault) == (400, "Bad Via")


def test_lower_vias_are_not_this_elements_business() -> None:
    assert parse("Via: SIP/2.0/SCTP b", "v: garbage;;,").status == 0
