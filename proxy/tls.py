"""TLS of listeners and connections: contexts made from a [[tls]] table, and made again when its files change.

A new certificate is tried in a context of its own first. One that is broken, that its key does not fit, or that has
expired is refused, and the one in use stays. Connections keep the context they were opened with, so none is dropped.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from proxy.certificate import chain_validity
from proxy.config import Tls, TlsVersion

_SOON = timedelta(days=14)
_VERSIONS = {TlsVersion.V1_2: ssl.TLSVersion.TLSv1_2, TlsVersion.V1_3: ssl.TLSVersion.TLSv1_3}


class TlsError(Exception):
    """A [[tls]] table that cannot be used. key: the one at fault."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}")
        self.key = key
        self.why = why


@dataclass(frozen=True, slots=True)
class Contexts:
    """server: for connections that come in, client: for those we open; made from the same files at the same time."""

    server: ssl.SSLContext
    client: ssl.SSLContext


class TlsMaterial:
    """One [[tls]] table in use. `contexts` may be another pair after each `renew`; None: no files yet that can be used.

    refusal: why the files as they are now are not used.
    """

    def __init__(self, settings: Tls) -> None:
        self.settings = settings
        self.contexts: Contexts | None = None
        self.refusal: TlsError | None = None
        self._stamp: tuple[tuple[int, int, int] | None, ...] = ()
        with suppress(TlsError):
            self.renew()

    def renew(self) -> bool:
        """Takes the files anew if they have changed; True if it did. TlsError leaves what was in use.

        A change that was refused is not tried again until the files change once more.
        """
        stamp = _stamp(self.settings)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.contexts, self.refusal = make_contexts(self.settings), None
        except TlsError as why:
            self.refusal = why
            raise
        return True


def make_contexts(settings: Tls) -> Contexts:
    """TlsError names the key whose file cannot be used."""
    _check_dates("certificate", Path(settings.certificate))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in (server, client):
        context.minimum_version = _VERSIONS[settings.min_version]
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        _load_certificate(context, settings)
    if settings.client_ca is not None:
        _load_authorities(server, "client_ca", settings.client_ca)
        server.verify_mode = ssl.CERT_REQUIRED if settings.require_client_certificate else ssl.CERT_OPTIONAL
    # Names are compared by the rules of SIP, which know no wildcards: proxy.tls_names.
    client.check_hostname = False
    if not settings.verify_server:
        client.verify_mode = ssl.CERT_NONE
    elif settings.server_ca is not None:
        _load_authorities(client, "server_ca", settings.server_ca)
    else:
        client.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return Contexts(server, client)


def expires_soon(settings: Tls, now: datetime) -> datetime | None:
    """When the certificate or one of its chain expires, if that is within two weeks."""
    end = min(validity.end for validity in chain_validity(Path(settings.certificate)))
    return end if end - now < _SOON else None


def _check_dates(key: str, path: Path) -> None:
    now = datetime.now(UTC)
    try:
        chain = chain_validity(path)
    except OSError as why:
        raise TlsError(key, f"{path} cannot be read: {why.strerror}") from None
    except ValueError as why:
        raise TlsError(key, f"{path}: {why}") from None
    for position, validity in enumerate(chain):
        which = "the certificate" if position == 0 else f"certificate {position + 1} of the chain"
        if validity.end < now:
            raise TlsError(key, f"{path}: {which} expired on {validity.end:%Y-%m-%d %H:%M} UTC")
        if validity.begin > now:
            raise TlsError(key, f"{path}: {which} is not valid before {validity.begin:%Y-%m-%d %H:%M} UTC")


def _load_certificate(context: ssl.SSLContext, settings: Tls) -> None:
    try:
        context.load_cert_chain(settings.certificate, settings.key, password=_no_password)
    except OSError as why:  # SSLError is one
        if isinstance(why, ssl.SSLError):
            mismatch = why.reason == "KEY_VALUES_MISMATCH"
            text = "is not the key of the certificate" if mismatch else f"cannot be used: {why.reason or why}"
            raise TlsError("key", f"{settings.key} {text}") from None
        raise TlsError("key", f"{settings.key} cannot be read: {why.strerror}") from None
    except ValueError as why:
        raise TlsError("key", f"{settings.key}: {why}") from None


def _no_password() -> str:
    """Without this OpenSSL would ask on the terminal."""
    raise ValueError("the key is encrypted; nobody could type its password at a start")


def _load_authorities(context: ssl.SSLContext, key: str, path: str) -> None:
    try:
        context.load_verify_locations(path)
    except OSError as why:
        text = why.reason if isinstance(why, ssl.SSLError) else why.strerror
        raise TlsError(key, f"{path} cannot be used: {text}") from None


def _stamp(settings: Tls) -> tuple[tuple[int, int, int] | None, ...]:
    """What tells one state of the files from another."""
    paths = (settings.certificate, settings.key, settings.client_ca, settings.server_ca)
    return tuple(None if path is None else _file_stamp(path) for path in paths)


def _file_stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
