"""The head of a message: names in every spelling, folds, what must not occur twice, and what is no SIP at all."""

from __future__ import annotations

import pytest

from proxy.sip.message import SipMessage
from tests.sip.heads import LINES, message, parse, parse_with


def outcome(parsed: SipMessage) -> tuple[int, str]:
    return parsed.status, parsed.fault


def test_well_formed() -> None:
    parsed = parse("Content-Length: 3", body=b"v=0")
    assert outcome(parsed) == (0, "")
    assert (parsed.method, parsed.cseq, parsed.max_forwards, parsed.body) == ("INVITE", 1, 70, b"v=0")
    assert (parsed.from_tag, parsed.to_tag, parsed.call_id) == ("from1", "", "call-1@carrier")


# Start line (RFC 3261 sections 7.1, 7.2)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("INVITE sip:a@b SIP/7.0", (505, "Version Not Supported")),
        ("INVITE sip:a@b SIP/2.01", (505, "Version Not Supported")),
        ("INVITE sip:a@b HTTP/1.1", (400, "Bad Start Line")),
        ("INVITE sip:a@b", (-1, "")),
        ("INVITE sip:a@b SIP/2.0 ", (400, "Bad Start Line")),
        ("INVITE  sip:a@b SIP/2.0", (400, "Bad Request-URI")),
        ("INVITE sip:a@b  SIP/2.0", (400, "Bad Request-URI")),
        ("INVITE <sip:a@b> SIP/2.0", (400, "Bad Request-URI")),
        ("INVITE sip:a@b?Route=x SIP/2.0", (400, "Bad Request-URI")),
        (" INVITE sip:a@b SIP/2.0", (-1, "")),
        ("IN\0VITE sip:a@b SIP/2.0", (-1, "")),
        ("INVITE\tsip:a@b SIP/2.0", (-1, "")),
        ("GET / HTTP/1.1", (400, "Bad Start Line")),
        ("", (-1, "")),
    ],
)
def test_start_line(start: str, expected: tuple[int, str]) -> None:
    parsed = parse(start=start)
    assert outcome(parsed) == expected if expected[0] > 0 else parsed.status == -1


def test_version_is_compared_without_case() -> None:
    assert parse(start="INVITE sip:a@b sip/2.0").status == 0


def test_line_ends_before_the_start_line_do_not_count() -> None:
    assert SipMessage(b"\r\n\r\n" + message()).status == 0


@pytest.mark.parametrize("method", ["invite", "INVITES", "!weird-*.%method`'~", "RE%47IST%45R"])
def test_unknown_method_is_a_method(method: str) -> None:
    parsed = parse(start=f"{method} sip:a@b SIP/2.0", CSeq=f"CSeq: 1 {method}")
    assert (parsed.status, parsed.method) == (0, method)


@pytest.mark.parametrize(
    ("status_line", "status"),
    [
        ("SIP/2.0 200 OK", 200),
        ("SIP/2.0 100 ", 100),
        ("SIP/2.0 699 \u00fc", 699),
        ("SIP/2.0 200", None),
        ("SIP/2.0 99 Low", None),
        ("SIP/2.0 700 High", None),
        ("SIP/2.0 4294967301 Five", None),
        ("SIP/2.0 -20 Minus", None),
        ("SIP/2.0  200 OK", None),
    ],
)
def test_status_line(status_line: str, status: int | None) -> None:
    parsed = parse(start=status_line)
    if status is None:
        assert parsed.status == -1
    else:
        assert (parsed.status, parsed.is_request, parsed.response_status) == (0, False, status)


# Names (RFC 3261 section 7.3)


@pytest.mark.parametrize("spelling", ["f", "F", "FROM", "from", "fRoM", "From ", "From\t ", "f \t"])
def test_every_spelling_of_a_name(spelling: str) -> None:
    parsed = parse(From=f"{spelling}:<sip:x@y>;tag=z")
    assert (parsed.status, parsed.from_uri, parsed.from_tag) == (0, "sip:x@y", "z")


@pytest.mark.parametrize(
    ("full", "compact"), [("Via", "v"), ("From", "f"), ("To", "t"), ("Call-ID", "i"), ("Content-Length", "l")]
)
def test_compact_form_is_the_same_header(full: str, compact: str) -> None:
    line = LINES.get(full) or "Content-Length: 0"
    assert parse_with(full, compact + line[line.index(":") :]).status == 0
    repeated = parse_with(full, f"{line}\r\n{compact}{line[line.index(':') :]}")
    assert repeated.status == (0 if full == "Via" else 400)


def test_percent_in_a_name_is_no_escape() -> None:
    parsed = parse("C%6Fntact: <sip:a@b>", "%46rom: <sip:other@b>;tag=2")
    assert (parsed.status, parsed.from_tag) == (0, "from1")


@pytest.mark.parametrize("byte", [byte for byte in range(256) if byte not in b":\t "])
def test_byte_between_name_and_colon(byte: int) -> None:
    """Part of the name if it is a token's, else a fault; a blank is neither."""
    data = message().replace(b"Max-Forwards:", b"Max-Forwards" + bytes((byte,)) + b":")
    parsed = SipMessage(data)
    if bytes((byte,)) in b"-.!%*_+`'~" or (chr(byte).isascii() and chr(byte).isalnum()):
        assert (parsed.status, parsed.max_forwards) == (0, -1)
    else:
        assert parsed.status == 400


@pytest.mark.parametrize("line", [": no name", "No colon", "\0: x", "(a): x", "a b: x", "\u00fc: x"])
def test_line_that_is_no_header(line: str) -> None:
    assert outcome(parse(line)) == (400, "Bad Header Name")


def test_unused_headers_are_never_looked_into() -> None:
    parsed = parse('X: ;;,,\0\x01"<', "Date: nonsense", "Contact: <<<", "Expires: -1", "Empty:")
    assert parsed.status == 0
    assert parsed.headers[-5:] == [
        ("X", b';;,,\0\x01"<'),
        ("Date", b"nonsense"),
        ("Contact", b"<<<"),
        ("Expires", b"-1"),
        ("Empty", b""),
    ]


# Lines (RFC 3261 sections 7.3.1, 25.1)


def test_folded_values() -> None:
    parsed = parse(
        "X-Odd: a\r\n\tb\r\n  c",
        From="From:\r\n <sip:x@y>\r\n ;\r\n tag\r\n =\r\n z",
        CSeq="CSeq:\r\n\t0009\r\n INVITE",
        Max_Forwards="Max-Forwards:\r\n 0068\r\n ",
    )
    assert (parsed.status, parsed.from_tag, parsed.cseq, parsed.max_forwards) == (0, "z", 9, 68)
    assert parsed.headers[-1] == ("X-Odd", b"a\r\n\tb\r\n  c")


def test_value_of_nothing_but_folds() -> None:
    assert parse("X-Odd: \r\n \r\n\t").headers[-1] == ("X-Odd", b"")


@pytest.mark.parametrize("bad", [b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"\n\r"])
def test_line_end_that_two_parsers_read_differently(bad: bytes) -> None:
    head = message()
    for place in range(head.count(b"\r\n") - 1):
        parts = head.split(b"\r\n")
        data = b"\r\n".join(parts[: place + 1]) + bad + b"\r\n".join(parts[place + 1 :])
        assert SipMessage(data).status != 0, data


def test_head_without_an_end() -> None:
    assert outcome(SipMessage(message()[:-2])) == (400, "Bad Line End")


@pytest.mark.parametrize(("count", "status"), [(256, 0), (257, 513), (5000, 513)])
def test_number_of_headers(count: int, status: int) -> None:
    assert parse(*["X: y"] * (count - len(LINES))).status == status


def test_head_of_64_kib() -> None:
    parsed = parse("X: " + "a" * 65_000)
    assert parsed.status == 0
    assert len(parsed.headers[-1][1]) == 65_000


# Mandatory and single headers (RFC 3261 sections 8.1.1, 7.3.1)


@pytest.mark.parametrize("name", ["Via", "From", "To", "Call-ID", "CSeq"])
def test_missing_header(name: str) -> None:
    assert outcome(parse_with(name, None)) == (400, f"Missing {name}")


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq", "Max-Forwards"])
def test_header_of_a_single_value_that_comes_twice(name: str) -> None:
    status, fault = outcome(parse(LINES[name] or ""))
    assert status == 400
    assert fault.startswith("Repeated")


def test_max_forwards_may_be_absent() -> None:
    parsed = parse(Max_Forwards=None)
    assert (parsed.status, parsed.max_forwards) == (0, -1)


@pytest.mark.parametrize(
    ("value", "status", "read"),
    [("0", 0, 0), ("255", 0, 255), ("00070", 0, 70), ("256", 0, -1), ("-1", 400, -1), ("", 400, -1), ("7a", 400, -1),
     ("1 1", 400, -1), ("0x10", 400, -1), ("9" * 30, 400, -1)],
)  # fmt: skip
def test_max_forwards(value: str, status: int, read: int) -> None:
    parsed = parse(Max_Forwards=f"Max-Forwards: {value}")
    assert (parsed.status, parsed.max_forwards) == (status, read)


@pytest.mark.parametrize(
    ("value", "number"),
    [("0 INVITE", 0), ("4294967295 INVITE", 4294967295), ("0009 \t INVITE", 9), ("4294967296 INVITE", None),
     ("36893488147419103232 INVITE", None), ("-1 INVITE", None), ("+1 INVITE", None), ("INVITE", None), ("1", None),
     ("1INVITE", None), ("1 INVITE x", None), ("", None), ("0x1 INVITE", None)],
)  # fmt: skip
def test_cseq(value: str, number: int | None) -> None:
    parsed = parse(CSeq=f"CSeq: {value}")
    assert parsed.status == (0 if number is not None else 400)
    if number is not None:
        assert parsed.cseq == number


def test_cseq_of_another_method() -> None:
    assert parse(CSeq="CSeq: 1 BYE").status == 400
    assert parse(CSeq="CSeq: 1 invite").status == 400
    assert parse(start="NEW sip:a@b SIP/2.0", CSeq="CSeq: 1 INVITE").status == 501


@pytest.mark.parametrize("value", ["", "a b", "a\r\n b", "a\tb", "a\0b", "a\x7f"])
def test_call_id_that_is_none(value: str) -> None:
    assert outcome(parse(Call_ID=f"Call-ID: {value}")) == (400, "Bad Call-ID")


# Content-Length (RFC 3261 section 18.3)


@pytest.mark.parametrize(
    ("value", "body"),
    [("0", b""), ("3", b"abc"), ("4", b"abcd"), ("0003", b"abc"), ("5", None), ("-1", None), ("+3", None), ("", None),
     ("3 3", None), ("0x3", None), ("99999999999999999999", None), ("4294967299", None)],
)  # fmt: skip
def test_content_length(value: str, body: bytes | None) -> None:
    parsed = parse(f"Content-Length: {value}", body=b"abcd")
    assert parsed.status == (400 if body is None else 0)
    if body is not None:
        assert parsed.body == body


def test_content_length_that_comes_twice() -> None:
    for second in ("4", "3"):
        assert outcome(parse("Content-Length: 4", f"l: {second}", body=b"abcd")) == (400, "Repeated Content-Length")


def test_absent_content_length_means_all_of_the_datagram() -> None:
    assert parse(body=b"abcd\0").body == b"abcd\0"


def test_the_first_fault_is_named() -> None:
    parsed = parse("Content-Length: x", start="INVITE sip:a@b SIP/3.0", Via="Via: nonsense")
    assert outcome(parsed) == (505, "Version Not Supported")
