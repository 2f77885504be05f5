"""host:port as it is written in a configuration."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from proxy.config_address import HostPort, parse_host_port


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.0.2.1", "192.0.2.1", 5060),
        ("192.0.2.1:5080", "192.0.2.1", 5080),
        ("[2001:db8::1]", "2001:db8::1", 5060),
        ("[2001:db8::1]:1", "2001:db8::1", 1),
        ("[::]:65535", "::", 65535),
    ],
)
def test_numeric(text: str, host: str, port: int) -> None:
    assert parse_host_port(text) == HostPort(host, port, ip_address(host))


@pytest.mark.parametrize("name", ["sip.example.net", "a", "_sip.example.net.", "x--y.example"])
def test_names(name: str) -> None:
    assert parse_host_port(f"{name}:5070") == HostPort(name, 5070, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":5060",
        "192.0.2.1:",
        "192.0.2.1:0",
        "192.0.2.1:65536",
        "192.0.2.1:+5",
        "192.0.2.1:\u0665",
        "192.0.2.256",
        "1.2.3",
        "2001:db8::1",
        "[2001:db8::1",
        "[2001:db8::1]5060",
        "[sip.example.net]:5060",
        "sip example",
        "sip..net",
        "-a.net",
        "a.net\n",
        "a;b",
        "x" * 64,
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither|port|brackets|no \[address\]"):
        parse_host_port(text)


def test_a_port_may_be_demanded() -> None:
    with pytest.raises(ValueError, match="has no port"):
        parse_host_port("192.0.2.1", default_port=None)
