"""What a configuration says wrongly of TLS and WebSocket, and of the files of its certificates."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config_errors import ConfigError
from proxy.config_load import load_configuration
from tests.certificates import Authority
from tests.proxy.test_config_load import ANOTHER_TRUNK, GOOD

LISTENER = '[[listener]]\nname = "second"\naddress = "192.0.2.10:5061"\ntransport = "{}"\n{}\n'
TLS = '[[tls]]\nname = "own"\ncertificate = "{}.pem"\nkey = "{}.key"\n{}\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates: own, other, expired, short (it expires in three days)."""
    directory = tmp_path_factory.mktemp("certificates")
    authority = Authority(directory)
    for name, days in (("own", 30), ("other", 30), ("expired", -1), ("short", 3)):
        authority.issue(name, days=days)
    return directory


def findings(folder: Path, text: str) -> list[tuple[str, str, str]]:
    """(severity, key, why) of all findings."""
    file = folder / "callsieve.toml"
    file.write_text(text)
    try:
        found = load_configuration(file).warnings
    except ConfigError as refused:
        found = refused.findings
    return [(finding.severity, finding.key, finding.why) for finding in found]


SECURE = GOOD + LISTENER.format("tls", 'tls = "own"')
PAIR = TLS.format("own", "own", "")
ASKING = TLS.format("own", "own", 'client_ca = "authority.pem"')


def named(text: str, line: str) -> str:
    return text.replace('dial_plan = "cn"', f'{line}\ndial_plan = "cn"', 1)


def test_a_listener_with_its_certificate_checks_clean(folder: Path) -> None:
    assert findings(folder, SECURE + ASKING) == []
    assert findings(folder, named(SECURE + ASKING, 'tls_names = ["sip.carrier.net"]')) == []


ERRORS = {
    "no table": (GOOD + LISTENER.format("tls", ""), "listener[second].tls", "is required with tls"),
    "unknown table": (SECURE, "listener[second].tls", "no [[tls]] is named 'own'"),
    "tls on tcp": (
        GOOD + PAIR + LISTENER.format("tcp", 'tls = "own"'),
        "listener[second].tls",
        "goes with tls and wss",
    ),
    "origins on tcp": (GOOD + LISTENER.format("tcp", 'origins = ["x"]'), "listener[second].origins", "ws and wss"),
    "missing file": (SECURE + TLS.format("nowhere", "own", ""), "tls[own].certificate", "cannot be read"),
    "missing key": (SECURE + TLS.format("own", "nowhere", ""), "tls[own].key", "cannot be read"),
    "mismatch": (SECURE + TLS.format("own", "other", ""), "tls[own].key", "is not the key of the certificate"),
    "expired": (SECURE + TLS.format("expired", "expired", ""), "tls[own].certificate", "expired on"),
    "authority": (SECURE + TLS.format("own", "own", 'client_ca = "no.pem"'), "tls[own].client_ca", "cannot be used"),
    "required of nobody": (
        SECURE + TLS.format("own", "own", "require_client_certificate = true"),
        "tls[own].client_ca",
        "is required with",
    ),
    "version": (SECURE + TLS.format("own", "own", 'min_version = "1.1"'), "tls[own].min_version", "'1.2'"),
    "names without authority": (
        named(SECURE + PAIR, 'tls_names = ["a.net"]'),
        "trunk[carrier].tls_names",
        "set client_ca",
    ),
    "wildcard": (
        named(SECURE + ASKING, 'tls_names = ["*.a.net"]'),
        "trunk[carrier].tls_names[0]",
        "wildcards do not count",
    ),
    "websocket target": (
        GOOD.replace('.20"', '.20", transport = "ws"') + LISTENER.format("ws", ""),
        "gateway[softswitch].targets[0].transport",
        "cannot be called",
    ),
    "limit": (GOOD + "[streams]\nmax_message_bytes = 70000\n", "streams.max_message_bytes", "<= 65535"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_mistakes_are_named(case: str, folder: Path) -> None:
    text, key, why = ERRORS[case]
    found = findings(folder, text)
    assert any(severity == "error" and at == key and why in said for severity, at, said in found), found


def test_the_name_of_two_trunks_is_nobodys(folder: Path) -> None:
    second = ANOTHER_TRUNK.format("[]").replace("sources", 'tls_names = ["A.net"]\nsources')
    found = findings(folder, named(SECURE + ASKING, 'tls_names = ["a.net"]') + second)
    assert [(at, said) for _, at, said in found] == [
        ("trunk[second].tls_names[0]", "A.net is a name of trunk[carrier] already")
    ]


def test_a_certificate_that_expires_soon_is_a_warning(folder: Path) -> None:
    ((severity, key, why),) = findings(folder, SECURE + TLS.format("short", "short", ""))
    assert (severity, key) == ("warning", "tls[own].certificate") and why.startswith("expires on")


def test_a_table_that_nobody_uses_is_a_warning(folder: Path) -> None:
    ((severity, key, _),) = findings(folder, GOOD + PAIR)
    assert (severity, key) == ("warning", "tls[own]")


def test_the_same_address_by_udp_and_tcp_is_no_clash(folder: Path) -> None:
    both = LISTENER.format("tcp", "").replace("5061", "5060")
    assert findings(folder, GOOD + both) == []
    clash = LISTENER.format("ws", "").replace("second", "third").replace("5061", "5060")
    found = findings(folder, GOOD + both + clash)
    assert [key for _, key, _ in found] == ["listener[third].address"]
