"""SIP messages as plain text, for the built-in answering endpoint and the demonstration's phone.

Not for the call path, and not for hostile peers: between these two stands the proxy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_COMPACT = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "c": "content-type",
    "l": "content-length",
}
_FOLD = re.compile(r"\r\n[ \t]+")

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PlainMessage:
    """headers: names in lower case and in full, in the order of the message."""

    start: str
    headers: Headers
    body: bytes = b""

    @property
    def is_request(self) -> bool:
        return not self.start.startswith("SIP/2.0 ")

    @property
    def method(self) -> str:
        return self.start.partition(" ")[0]

    @property
    def status(self) -> int:
        return int(self.start.split(" ")[1])

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.headers if known == name]

    def get(self, name: str) -> str:
        """The first value; "" if there is none."""
        return next(iter(self.all(name)), "")

    def serialize(self) -> bytes:
        lines = [self.start, *(f"{name.title()}: {value}" for name, value in self.headers if name != "content-length")]
        head = "\r\n".join([*lines, f"Content-Length: {len(self.body)}", "", ""])
        return head.encode() + self.body


def parse_message(data: bytes) -> PlainMessage | None:
    """None for a keep-alive or anything else that is no message."""
    head, blank, body = data.partition(b"\r\n\r\n")
    lines = _FOLD.sub(" ", head.decode("utf-8", "replace")).split("\r\n")
    if not blank or "SIP/2.0" not in lines[0]:
        return None
    pairs = (line.partition(":") for line in lines[1:])
    return PlainMessage(lines[0], tuple((_full_name(name), value.strip()) for name, _, value in pairs), body)


def response(
    request: PlainMessage, status: int, phrase: str, tag: str, more: Headers = (), body: bytes = b""
) -> PlainMessage:
    """An answer as RFC 3261 section 8.2.6 has it; tag goes into To where the request has none."""
    to = request.get("to")
    if status > 100 and ";tag=" not in to.lower():
        to = f"{to};tag={tag}"
    copied = _copied(request, ("via", "record-route", "from", "call-id", "cseq"))
    return PlainMessage(f"SIP/2.0 {status} {phrase}", (*copied, ("to", to), *more), body)


def _copied(request: PlainMessage, names: Iterable[str]) -> Headers:
    return tuple((name, value) for name in names for value in request.all(name))


def _full_name(name: str) -> str:
    name = name.strip().lower()
    return _COMPACT.get(name, name)


def branch_of(via: str) -> str:
    found = re.search(r";\s*branch=([^;,\s]+)", via, re.IGNORECASE)
    return found.group(1) if found else ""


def uri_of(address: str) -> str:
    """The URI of a name-addr or addr-spec."""
    found = re.search(r"<([^>]+)>", address)
    return found.group(1) if found else address.partition(";")[0].strip()
