"""The files by which a node belongs to a fleet: its key, the trust bundle, certificates; at one place the root key."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from proxy.config_fleet import Fleet
from proxy.control.sync.records import Refused
from proxy.control.sync.trust import Bundle, open_bundle


class FleetFileError(ValueError):
    """A file of the fleet that cannot be used; the text names it and says what to do."""


def read_private_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as why:
        raise FleetFileError(f"{path} cannot be read: {why.strerror}") from None
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise FleetFileError(f"{path} holds no Ed25519 private key in PEM")
    return key


def write_private_key(path: Path, key: Ed25519PrivateKey) -> None:
    """Readable by its owner alone; an existing file is never replaced."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise FleetFileError(f"{path} exists: a key is never replaced; move it away first") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)


def public_key(hexadecimal: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(hexadecimal))
    except ValueError:
        raise FleetFileError(f"{hexadecimal!r} is no public key: 64 hexadecimal digits") from None


def read_bundle(path: Path, root: Ed25519PublicKey) -> tuple[Bundle, bytes]:
    """The bundle and its signed form."""
    try:
        raw = path.read_bytes()
    except OSError as why:
        raise FleetFileError(f"{path} cannot be read: {why.strerror}") from None
    try:
        return open_bundle(raw, root), raw
    except Refused as refused:
        raise FleetFileError(f"{path} is no trust bundle of this fleet's root key ({refused.why})") from None


def write_whole(path: Path, data: bytes) -> None:
    """All of it or nothing."""
    partial = path.with_name(path.name + ".new")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def broker_context(fleet: Fleet) -> ssl.SSLContext | None:
    """Mutual TLS with the broker, None = in the clear."""
    if fleet.ca is None or fleet.certificate is None or fleet.tls_key is None:
        return None
    try:
        context = ssl.create_default_context(cafile=fleet.ca)
        context.load_cert_chain(fleet.certificate, fleet.tls_key)
    except (OSError, ssl.SSLError) as why:
        names = ", ".join((fleet.ca, fleet.certificate, fleet.tls_key))
        raise FleetFileError(f"{names}: {why}") from None
    return context
