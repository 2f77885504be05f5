"""TLS contexts: what files are taken, what is refused and leaves the old ones, and whom a certificate names."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.certificate import chain_validity
from proxy.config import Tls, TlsVersion
from proxy.tls import TlsError, TlsMaterial, expires_soon, make_contexts
from proxy.tls_names import certificate_names, names_match
from tests.certificates import Authority, Issued


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def issued(authority: Authority) -> Issued:
    return authority.issue("sip.example.net")


@pytest.fixture
def settings(tmp_path: Path, issued: Issued) -> Tls:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    shutil.copy(issued.certificate, certificate)
    shutil.copy(issued.key, key)
    return Tls(name="public", certificate=str(certificate), key=str(key))


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, Any]:
    """What the client sees of the server's certificate; SSLError if one of them refuses the other."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_side=False, server_hostname="sip.example.net"),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(6):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    certificate = ends[0].getpeercert()
    assert certificate is not None
    return certificate


def test_both_sides_of_a_pair_meet(settings: Tls, authority: Authority) -> None:
    material = TlsMaterial(msgspec.structs.replace(settings, server_ca=str(authority.certificate)))
    seen = handshake(material.contexts.server, material.contexts.client)
    assert certificate_names(seen) == {"sip.example.net"}


def test_versions_below_the_minimum_are_not_spoken(settings: Tls) -> None:
    assert make_contexts(settings).server.minimum_version is ssl.TLSVersion.TLSv1_2
    strict = make_contexts(msgspec.structs.replace(settings, min_version=TlsVersion.V1_3))
    assert (strict.server.minimum_version, strict.client.minimum_version) == (ssl.TLSVersion.TLSv1_3,) * 2


def test_peers_are_asked_for_certificates_as_configured(settings: Tls, authority: Authority) -> None:
    asked = msgspec.structs.replace(settings, client_ca=str(authority.certificate))
    required = msgspec.structs.replace(asked, require_client_certificate=True)
    modes = [make_contexts(each).server.verify_mode for each in (settings, asked, required)]
    assert modes == [ssl.CERT_NONE, ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED]


# Files that cannot be used


def broken(settings: Tls, **changed: str) -> TlsError:
    with pytest.raises(TlsError) as caught:
        make_contexts(msgspec.structs.replace(settings, **changed))
    return caught.value


def test_what_cannot_be_used_is_named(settings: Tls, authority: Authority, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    cut = tmp_path / "cut.pem"
    cut.write_text(Path(settings.certificate).read_text().replace("A", "B", 20))
    other, expired = authority.issue("other"), authority.issue("expired", days=-1)
    chain = tmp_path / "chain.pem"
    chain.write_text(Path(settings.certificate).read_text() + expired.certificate.read_text())
    cases = [
        (broken(settings, certificate="/nowhere.pem"), "certificate", "cannot be read"),
        (broken(settings, certificate=str(empty)), "certificate", "no certificate in PEM"),
        (broken(settings, key=str(empty)), "key", "cannot be used"),
        (broken(settings, key="/nowhere.key"), "key", "cannot be read"),
        (broken(settings, key=str(other.key)), "key", "not the key of the certificate"),
        (broken(settings, certificate=str(expired.certificate), key=str(expired.key)), "certificate", "expired on"),
        (broken(settings, certificate=str(chain)), "certificate", "certificate 2 of the chain expired"),
        (broken(settings, client_ca=str(empty)), "client_ca", "cannot be used"),
        (broken(settings, server_ca="/nowhere.pem"), "server_ca", "cannot be used"),
    ]
    for found, key, text in cases:
        assert found.key == key and text in found.why, found
    assert broken(settings, certificate=str(cut)).key in ("certificate", "key")


def test_an_encrypted_key_does_not_ask_for_its_password(settings: Tls, tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "pkey", "-in", settings.key, "-aes128", "-passout", "pass:secret", "-out", str(locked)], check=True
    )
    assert "encrypted" in broken(settings, key=str(locked)).why


def test_dates_are_read_from_the_file(settings: Tls) -> None:
    (validity,) = chain_validity(Path(settings.certificate))
    assert timedelta(days=30) == validity.end - validity.begin
    assert expires_soon(settings, datetime.now(UTC)) is None
    assert expires_soon(settings, datetime.now(UTC) + timedelta(days=20)) == validity.end


# Renewal


def test_changed_files_are_taken_once(settings: Tls, authority: Authority) -> None:
    material = TlsMaterial(settings)
    first = material.contexts
    assert not material.renew() and material.contexts is first
    new = authority.issue("new.example.net")
    shutil.copy(new.key, settings.key)
    shutil.copy(new.certificate, settings.certificate)
    assert material.renew() and material.contexts is not first
    assert not material.renew()


def test_t4_a_bad_renewal_leaves_what_is_in_use(settings: Tls, authority: Authority) -> None:
    material = TlsMaterial(settings)
    first = material.contexts
    expired = authority.issue("late.example.net", days=-1)
    for certificate, key in [
        (b"garbage", Path(settings.key).read_bytes()),
        (Path(settings.certificate).read_bytes(), authority.issue("another").key.read_bytes()),
        (expired.certificate.read_bytes(), expired.key.read_bytes()),
    ]:
        Path(settings.certificate).write_bytes(certificate)
        Path(settings.key).write_bytes(key)
        with pytest.raises(TlsError):
            material.renew()
        assert material.contexts is first
        assert not material.renew(), "it is not tried again until the files change"
    Path(settings.certificate).unlink()
    with pytest.raises(TlsError):
        material.renew()
    assert material.contexts is first


def test_files_that_are_bad_from_the_start_are_taken_once_they_are_mended(settings: Tls, authority: Authority) -> None:
    good = Path(settings.certificate).read_bytes()
    Path(settings.certificate).write_bytes(b"garbage")
    material = TlsMaterial(settings)
    assert material.contexts is None
    assert material.refusal is not None and material.refusal.key == "certificate"
    assert not material.renew(), "it is not tried again until the files change"
    Path(settings.certificate).write_bytes(good)
    assert material.renew()
    assert (material.contexts is not None, material.refusal) == (True, None)


# RFC 5922


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([("DNS", "SIP.Example.net")], {"sip.example.net"}),
        ([("DNS", "a.net"), ("URI", "sip:b.net")], {"b.net"}),
        ([("DNS", "a.net"), ("URI", "sips:b.net")], {"a.net"}),
        ([("DNS", "a.net"), ("URI", "sip:user@b.net")], {"a.net"}),
        ([("DNS", "a.net"), ("URI", "SIP:B.net:5061;transport=tls")], {"b.net"}),
        ([("DNS", "a.net"), ("URI", "https://b.net")], {"a.net"}),
        ([("IP Address", "192.0.2.1"), ("IP Address", "2001:DB8:0:0:0:0:0:1")], {"192.0.2.1", "2001:db8::1"}),
        ([], set()),
    ],
)
def test_identities_of_a_certificate(names: list[tuple[str, str]], expected: set[str]) -> None:
    certificate = {"subject": ((("commonName", "common.net"),),), "subjectAltName": tuple(names)}
    assert certificate_names(certificate) == expected


@pytest.mark.parametrize(
    ("name", "matches"),
    [("sip.example.net", True), ("SIP.EXAMPLE.NET.", True), ("example.net", False), ("a.sip.example.net", False)],
)
def test_names_match_whole(name: str, matches: bool) -> None:
    assert names_match(frozenset({"sip.example.net"}), [name]) is matches


def test_a_wildcard_matches_itself_alone() -> None:
    names = certificate_names({"subjectAltName": (("DNS", "*.example.net"),)})
    assert not names_match(names, ["sip.example.net"])
