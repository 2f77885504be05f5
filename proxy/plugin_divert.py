"""Where a diverted call goes, as another SIP server has to write it: Request-URI and next hops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from engine.rules import Divert
from proxy.config import Configuration, Gateway, Target, Transport
from proxy.config_address import parse_host_port


@dataclass(frozen=True, slots=True)
class DivertTarget:
    """A [[divert]]. uri: the new Request-URI, None = the number that was called stays.

    next_hops: SIP URIs, each tried when the one before is silent or answers 503; at least one.
    """

    name: str
    uri: str | None
    next_hops: tuple[str, ...]


def divert_targets(configuration: Configuration) -> tuple[DivertTarget, ...]:
    """In the order of the policy's diverts. One without a route leads to where its URI does."""
    gateways = {gateway.name: gateway for gateway in configuration.gateways}
    return tuple(_target(divert, gateways) for divert in configuration.diverts)


def _target(divert: Divert, gateways: dict[str, Gateway]) -> DivertTarget:
    hops = tuple(hop for name in divert.gateways for hop in _next_hops(gateways[name]))
    return DivertTarget(divert.name, divert.uri, hops or (divert.uri or "",))


def _next_hops(gateway: Gateway) -> Iterator[str]:
    """By priority, within one by weight: spreading calls by weight is the server's own business."""
    for target in sorted(gateway.targets, key=lambda target: (target.priority, -target.weight)):
        port = parse_host_port(target.address, 0).port
        yield from (_sip_uri(host, port, target.transport) for host in _hosts(target))


def _hosts(target: Target) -> tuple[str, ...]:
    address = parse_host_port(target.address, 0)
    if not target.ips:
        return (f"[{address.host}]" if address.ip is not None and address.ip.version == 6 else address.host,)
    return tuple(f"[{ip}]" if ip_address(ip).version == 6 else ip for ip in target.ips)


def _sip_uri(host: str, port: int, transport: Transport) -> str:
    """RFC 3261 section 19.1.1. Without a port and a transport RFC 3263 finds them."""
    where = f"sip:{host}:{port}" if port else f"sip:{host}"
    return where if transport is Transport.UDP else f"{where};transport={transport}"
