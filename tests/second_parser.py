"""Another reader of what callsieve sends: the sipmessage package, which nobody here wrote."""

from __future__ import annotations

import re

from sipmessage import Message


def headers(data: bytes) -> list[tuple[str, str]]:
    """Every header row as (full name in lower case, value), folds undone; ValueError if it cannot read the message."""
    unfolded = re.sub(rb"\r\n[ \t]+", b" ", data.split(b"\r\n\r\n", 1)[0])
    head = unfolded.decode("utf-8", "surrogateescape").encode("utf-8", "replace")
    message = Message.parse(head + b"\r\n\r\n")
    rows = message.headers
    return [(name.strip().lower(), value) for name in rows.keys() for value in rows.getlist(name)]  # noqa: SIM118


def values(data: bytes, name: str) -> list[str]:
    return [value for key, value in headers(data) if key == name.lower()]
