"""What is wrong with a configuration's TLS and WebSocket: references, names of peers, and the files of certificates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from engine.config_errors import ConfigFinding, error, warning
from proxy.config import Configuration, Listener, Tls, Transport
from proxy.tls import TlsError, expires_soon, make_contexts
from proxy.tls_names import normal_name

Findings = Iterator[ConfigFinding]

_SECURE = (Transport.TLS, Transport.WSS)
_WEB = (Transport.WS, Transport.WSS)


def check_tls(configuration: Configuration) -> Findings:
    """What one table says of another."""
    known = {row.name: row for row in configuration.tls_tables}
    for listener in configuration.listeners:
        yield from _listener(listener, known)
    used = {listener.tls for listener in configuration.listeners}
    for row in configuration.tls_tables:
        if row.require_client_certificate and row.client_ca is None:
            yield error(f"tls[{row.name}].client_ca", "is required with require_client_certificate = true")
        if row.name not in used:
            yield warning(f"tls[{row.name}]", "no listener uses it")
    yield from _tls_names(configuration, any(known[name].client_ca for name in used if name in known))
    for gateway in configuration.gateways:
        for position, target in enumerate(gateway.targets):
            if target.transport in _WEB:
                key = f"gateway[{gateway.name}].targets[{position}].transport"
                yield error(key, "WebSocket clients connect to us and cannot be called (RFC 7118)")


def check_certificates(configuration: Configuration) -> Findings:
    """What the files of [[tls]] hold. Reads them."""
    for row in configuration.tls_tables:
        try:
            make_contexts(row)
        except TlsError as why:
            yield error(f"tls[{row.name}].{why.key}", why.why)
            continue
        end = expires_soon(row, datetime.now(UTC))
        if end is not None:
            yield warning(f"tls[{row.name}].certificate", f"expires on {end:%Y-%m-%d %H:%M} UTC")


def _listener(listener: Listener, known: dict[str, Tls]) -> Findings:
    key = f"listener[{listener.name}]"
    if listener.transport in _SECURE:
        if listener.tls is None:
            yield error(f"{key}.tls", f"is required with {listener.transport}: name a [[tls]] table")
        elif listener.tls not in known:
            names = ", ".join(sorted(known)) or "none"
            yield error(f"{key}.tls", f"no [[tls]] is named {listener.tls!r}; known are {names}")
    elif listener.tls is not None:
        yield error(f"{key}.tls", f"goes with tls and wss, and this listener is {listener.transport}")
    if listener.origins and listener.transport not in _WEB:
        yield error(f"{key}.origins", f"goes with ws and wss, and this listener is {listener.transport}")


def _tls_names(configuration: Configuration, certificates_are_asked_for: bool) -> Findings:
    owners: dict[str, str] = {}
    for trunk in configuration.trunks:
        key = f"trunk[{trunk.name}].tls_names"
        if trunk.tls_names and not certificates_are_asked_for:
            yield error(key, "no listener asks peers for a certificate: set client_ca in its [[tls]]")
        for position, name in enumerate(trunk.tls_names):
            if "*" in name:
                yield error(f"{key}[{position}]", "wildcards do not count in SIP (RFC 5922 section 7.2)")
            owner = owners.setdefault(normal_name(name), trunk.name)
            if owner != trunk.name:
                yield error(f"{key}[{position}]", f"{name} is a name of trunk[{owner}] already")
