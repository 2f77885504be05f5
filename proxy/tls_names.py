"""SIP identities of a certificate and their comparison (RFC 5922 sections 7.1, 7.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any

from proxy.config_address import parse_host_port


def certificate_names(certificate: Mapping[str, Any]) -> frozenset[str]:
    """The identities in a certificate as `SSLSocket.getpeercert` returns it, in lower case.

    SIP URIs without a user; DNS names only where there is none of those; IP addresses, for peers that are configured by
    address. A common name counts for nothing.
    """
    names = certificate.get("subjectAltName", ())
    domains = [domain for kind, value in names if kind == "URI" and (domain := _uri_domain(value))]
    hosts = domains or [value for kind, value in names if kind == "DNS"]
    addresses = [str(ip_address(value.strip())) for kind, value in names if kind == "IP Address"]
    return frozenset(normal_name(name) for name in (*hosts, *addresses))


def names_match(names: frozenset[str], expected: Iterable[str]) -> bool:
    """Whole names without wildcards: *.example.net is no identity of sip.example.net (RFC 5922 section 7.2)."""
    return any(normal_name(name) in names for name in expected)


def normal_name(name: str) -> str:
    """The form in which names are compared: lower case, without the dot of the root."""
    return name.lower().rstrip(".")


def _uri_domain(uri: str) -> str | None:
    scheme, _, rest = uri.partition(":")
    host = rest.partition(";")[0].partition("?")[0]
    if scheme.lower() != "sip" or "@" in host:
        return None
    try:
        return parse_host_port(host).host
    except ValueError:
        return None
