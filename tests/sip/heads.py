"""An INVITE to break, line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proxy.sip.message import SipMessage

LINES: dict[str, str | None] = {
    "Via": "Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK-1",
    "Max-Forwards": "Max-Forwards: 70",
    "From": "From: <sip:+8613800138000@192.0.2.10>;tag=from1",
    "To": "To: <sip:+862088886666@203.0.113.5>",
    "Call-ID": "Call-ID: call-1@carrier",
    "CSeq": "CSeq: 1 INVITE",
}
START = "INVITE sip:+862088886666@203.0.113.5 SIP/2.0"


def message(*more: str, start: str = START, body: bytes = b"", **instead: str | None) -> bytes:
    """A whole INVITE with `more` lines; `instead` replaces a line of LINES (Call_ID for Call-ID), None omits it."""
    lines = LINES | {name.replace("_", "-"): line for name, line in instead.items()}
    return _joined(start, lines, more) + body


def parse(*more: str, start: str = START, body: bytes = b"", **instead: str | None) -> SipMessage:
    return SipMessage(message(*more, start=start, body=body, **instead))


def parse_with(name: str, line: str | None) -> SipMessage:
    """The INVITE with another line, or none, for one of its headers."""
    return SipMessage(_joined(START, LINES | {name: line}, ()))


def _joined(start: str, lines: Mapping[str, str | None], more: Sequence[str]) -> bytes:
    return "\r\n".join([start, *(line for line in lines.values() if line is not None), *more, "", ""]).encode()
