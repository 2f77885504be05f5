"""A second reading of a SIP message, by the package sipmessage, for tests to hold ours against.

Every byte is one letter here, so that no decoding stands between the two. Folds are undone before, blanks before a
colon taken away, and the start line replaced: the package reads none of them. A URI is taken as it is written.
"""

from __future__ import annotations

import re
from unittest.mock import patch

from sipmessage import Address, Message, Via

FOLD = re.compile(r"\r\n[ \t]+")
NAME = re.compile(r"^([^:\s]+)[ \t]+:")
BLANKS = re.compile(r"\s+")


HIGH = {byte: 0x400 + byte for byte in range(128, 256)}  # letters that are no blanks


def as_letters(data: bytes) -> str:
    return data.decode("latin-1").translate(HIGH)


class UriAsWritten:
    @staticmethod
    def parse(text: str) -> str:
        return text


class OtherReading:
    """What the other parser makes of a message. Every method raises ValueError for what it cannot read."""

    def __init__(self, data: bytes) -> None:
        head, empty_line, self.rest = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
        lines = FOLD.sub(" ", as_letters(head)).split("\r\n")[1:]
        rows = [NAME.sub(r"\1:", line) for line in lines]
        head = "\r\n".join(["INVITE sip:a@b.example SIP/2.0", *rows])
        self.message = Message.parse(head.encode() + empty_line)

    def rows(self, name: str) -> list[str]:
        return [BLANKS.sub(" ", value) for value in self.message.headers.getlist(name)]

    def from_uri(self) -> str:
        return str(self._party("From").uri)

    def from_tag(self) -> str:
        return parameter(self._party("From"), "tag")

    def to_uri(self) -> str:
        return str(self._party("To").uri)

    def to_tag(self) -> str:
        return parameter(self._party("To"), "tag")

    def asserted(self) -> list[str]:
        """The URIs of every P-Asserted-Identity."""
        with patch("sipmessage.address.URI", UriAsWritten):
            return [str(value.uri) for row in self.rows("P-Asserted-Identity") for value in Address.parse_many(row)]

    def top_via(self) -> tuple[str, str, int, str]:
        """Transport, host, port (-1 = none) and branch."""
        via = Via.parse_many(self.rows("Via")[0])[0]
        return via.transport, via.host, -1 if via.port is None else via.port, parameter(via, "branch")

    def content_lengths(self) -> list[int]:
        return [int(value) for value in self.rows("Content-Length")]

    def body(self) -> bytes:
        lengths = self.content_lengths()
        return self.rest[: lengths[0]] if lengths else self.rest

    def _party(self, name: str) -> Address:
        with patch("sipmessage.address.URI", UriAsWritten):
            return Address.parse(self.rows(name)[0])


def parameter(value: Address | Via, name: str) -> str:
    """Names of parameters have no case (RFC 3261 section 7.3.1), which the package does not know."""
    found = [text for key, text in value.parameters.items() if key.lower() == name]
    return found[0] or "" if found else ""
