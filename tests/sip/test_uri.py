"""Request-URIs: which parts are user, host and port, and which texts are no URI."""

from __future__ import annotations

import pytest

from tests.sip.heads import parse


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("sip:a@b", ("sip", "a", "b", -1, "")),
        ("SIPS:a@b:5061", ("sips", "a", "b", 5061, "")),
        ("sip:b", ("sip", "", "b", -1, "")),
        ("sip:b;lr", ("sip", "", "b", -1, "lr")),
        ("sip:a:secret@b;user=phone;x", ("sip", "a", "b", -1, "user=phone;x")),
        ("sip:a;par=u%40c@b", ("sip", "a;par=u%40c", "b", -1, "")),
        ("sip:a?b=c@b", ("sip", "a?b=c", "b", -1, "")),
        ("sip:sips%3Auser%40c@b", ("sip", "sips%3Auser%40c", "b", -1, "")),
        ("sip:a%00b@b", ("sip", "a%00b", "b", -1, "")),
        ("sip:a@[2001:db8::10]:5070", ("sip", "a", "[2001:db8::10]", 5070, "")),
        ("sip:[2001:db8::10:5070];x", ("sip", "", "[2001:db8::10:5070]", -1, "x")),
        ("sip:[::ffff:192.0.2.10]", ("sip", "", "[::ffff:192.0.2.10]", -1, "")),
        ("tel:+862088886666;phone-context=x", ("tel", "+862088886666;phone-context=x", "", -1, "phone-context=x")),
        ("urn:service:sos.fire", ("urn:service", "sos.fire", "", -1, "")),
        ("urn:isbn:1", ("", "", "", -1, "")),
        ("soap.beep://192.0.2.1:3002", ("", "", "", -1, "")),
    ],
)
def test_parts(uri: str, parts: tuple[str, str, str, int, str]) -> None:
    parsed = parse(start=f"INVITE {uri} SIP/2.0")
    assert parsed.status == 0
    assert (parsed.request_uri, parsed.uri_parts) == (uri, parts)


@pytest.mark.parametrize(
    "uri",
    [
        "sip:", "sip", ":a@b", "sip:@b", "sip:a@", "sip:a@b@c", "sip:a@b:", "sip:a@b:x", "sip:a@b:65536", "sip:a@b:-1",
        "sip:2001:db8::10", "sip:[2001:db8::10", "sip:[]", "sip:[x]", "sip:[[::1]]", "sip:[::1]x", "sip:a@b,c",
        "sip:a@b/c", "sip:a@b c", "sip:a@b?x=y", "sip:a@b;x?y=z", "<sip:a@b>", 'sip:"a"@b', "sip:a@b\x7f", "sip:a\0@b",
        "tel:",
    ],
)  # fmt: skip
def test_no_uri(uri: str) -> None:
    parsed = parse(start=f"INVITE {uri} SIP/2.0")
    assert (parsed.status, parsed.fault) == (400, "Bad Request-URI")
