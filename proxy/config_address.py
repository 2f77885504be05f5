"""Addresses as they are written in a configuration: host:port, IPv6 in brackets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

SIP_PORT = 5060
_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*\.?\Z")


@dataclass(frozen=True, slots=True)
class HostPort:
    """host without brackets; ip is None where host is a name."""

    host: str
    port: int
    ip: IPv4Address | IPv6Address | None


def parse_host_port(text: str, default_port: int | None = SIP_PORT) -> HostPort:
    """`192.0.2.1:5060`, `[2001:db8::1]:5060`, `sip.example.net`; ValueError says what is wrong.

    Without a default the port must be written.
    """
    host, port_text, bracketed = _split(text)
    if port_text is None and default_port is None:
        raise ValueError(f"{text!r} has no port")
    port = default_port if port_text is None else _port(port_text)
    assert port is not None
    return HostPort(host, port, _ip(text, host, bracketed))


def _split(text: str) -> tuple[str, str | None, bool]:
    if text.startswith("["):
        host, closing, rest = text[1:].partition("]")
        if not closing or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is no [address]:port")
        return host, rest[1:] if rest else None, True
    if text.count(":") > 1:
        raise ValueError(f"{text!r}: write an IPv6 address in brackets")
    host, colon, port = text.partition(":")
    return host, port if colon else None, False


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65_535):
        raise ValueError(f"port {text!r} is not between 1 and 65535")
    return int(text)


def _ip(text: str, host: str, bracketed: bool) -> IPv4Address | IPv6Address | None:
    try:
        ip = ip_address(host)
    except ValueError:
        # Four groups of digits are meant as an address; a name never ends in an all-numeric label.
        if bracketed or host.rstrip(".").rpartition(".")[2].isdigit() or not _HOST_NAME.match(host):
            raise ValueError(f"{text!r} is neither an address nor a host name") from None
        return None
    return ip
