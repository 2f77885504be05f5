"""The order in which the servers of a name are tried (RFC 3263 section 4, RFC 2782): records in, order out, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

Choose = Callable[[int], int]  # a random integer from 0 to the given one, both included

# RFC 3263 section 4.1, RFC 7118 section 8: service field of a NAPTR record -> transport.
_SERVICES = {"SIP+D2U": "udp", "SIP+D2T": "tcp", "SIPS+D2T": "tls", "SIP+D2W": "ws", "SIPS+D2W": "wss"}
_SRV_PREFIXES = {
    "udp": "_sip._udp.",
    "tcp": "_sip._tcp.",
    "tls": "_sips._tcp.",
    "ws": "_sip._ws.",
    "wss": "_sips._ws.",
}
_DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061, "ws": 80, "wss": 443}
SECURE_TRANSPORTS = frozenset({"tls", "wss"})


@dataclass(frozen=True, slots=True)
class Naptr:
    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Srv:
    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Service:
    """Where the servers of one transport are listed: the name of its SRV records."""

    transport: str
    srv_name: str


@dataclass(frozen=True, slots=True)
class Destination:
    """One place to send to. A lower priority is tried first; weight shares among equals (both of the SRV record)."""

    transport: str
    ip: str
    port: int
    priority: int = 0
    weight: int = 1


def default_transport(secure: bool) -> str:
    """RFC 3263 section 4.1: what nobody has said anything about goes by UDP, a SIPS URI by TLS."""
    return "tls" if secure else "udp"


def default_port(transport: str) -> int:
    return _DEFAULT_PORTS[transport]


def services_by_naptr(records: Iterable[Naptr], transports: Sequence[str], secure: bool) -> list[Service]:
    """The services we have a transport for, best first; a SIPS URI is served by SIPS services only."""
    usable = []
    for record in records:
        transport = _SERVICES.get(record.service.upper(), "")
        if record.flags.lower() == "s" and transport in transports and _is_allowed(transport, secure):
            usable.append((record.order, record.preference, Service(transport, record.replacement)))
    return [service for _, _, service in sorted(usable, key=lambda row: row[:2])]


def services_by_name(name: str, transports: Sequence[str], secure: bool) -> list[Service]:
    """The services to look for where there is no NAPTR record: those of our transports, in our order."""
    return [Service(t, _SRV_PREFIXES[t] + name) for t in transports if _is_allowed(t, secure)]


def order_srv(records: Iterable[Srv], choose: Choose, limit: int) -> list[Srv]:
    """RFC 2782: by priority, within one at random by weight; at most `limit`. The target "." says: no service."""
    offered = sorted((r for r in records if r.target not in ("", ".")), key=lambda r: (r.priority, r.weight))
    ordered: list[Srv] = []
    for _, group in groupby(offered, key=lambda r: r.priority):
        left = list(group)  # weight 0 stands first, as the RFC wants it
        while left and len(ordered) < limit:
            ordered.append(left.pop(_draw(left, choose)))
    return ordered


def _draw(records: Sequence[Srv], choose: Choose) -> int:
    drawn = choose(sum(record.weight for record in records))
    running = 0
    for index, record in enumerate(records):
        running += record.weight
        if running >= drawn:
            return index
    raise AssertionError("a draw lies within the sum of the weights")


def _is_allowed(transport: str, secure: bool) -> bool:
    return transport in SECURE_TRANSPORTS or not secure
