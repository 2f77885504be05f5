"""Gateways as the core routes to them: groups of numeric targets with priority and weight."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address

import msgspec

from proxy.config import Configuration, Gateway, Listener, Probe, TagHeaders, Target, Transport
from proxy.config_address import SIP_PORT, HostPort, parse_host_port
from proxy.config_errors import ConfigFinding, error

_RESOLVERS = 16
_MAX_TARGETS = 64  # MAX_TARGETS of routing_table.pyx


@dataclass(frozen=True, slots=True)
class TargetRoute:
    """One place to send a request to. text: host[:port] as written, for the Request-URI. listener: to send from."""

    ip: str
    port: int
    listener: int
    priority: int
    weight: int
    text: str


@dataclass(frozen=True, slots=True)
class GatewayRoute:
    """targets: in order of priority."""

    name: str
    targets: tuple[TargetRoute, ...]
    trusted: bool
    tags: TagHeaders
    rewrite_host: bool
    probe: Probe
    retry_on: tuple[int, ...]


def build_gateways(configuration: Configuration) -> tuple[GatewayRoute, ...]:
    """The gateways in the order of the configuration; OSError if a name that was not resolved before is unknown."""
    return tuple(_gateway(gateway, configuration.listeners) for gateway in configuration.gateways)


def resolve_targets(configuration: Configuration) -> tuple[Configuration, list[ConfigFinding]]:
    """The configuration with `ips` of every target known, so that nobody who gets it asks a resolver again."""
    findings: list[ConfigFinding] = []
    with ThreadPoolExecutor(_RESOLVERS) as resolvers:
        gateways = tuple(
            resolvers.map(lambda gateway: _resolved(gateway, configuration.listeners, findings), configuration.gateways)
        )
    return msgspec.structs.replace(configuration, gateways=gateways), findings


def listener_of(gateway: Gateway, target: Target, listeners: Sequence[Listener]) -> int | None:
    """The listener a target is sent to from: the gateway's own, else the first that fits; None if there is none."""
    ip = parse_host_port(target.address).ip
    for index, listener in enumerate(listeners):
        named = listener.name == gateway.listener
        fits = gateway.listener is None and (ip is None or _ip_family(str(ip)) == _family(listener))
        if listener.transport is target.transport and (named or fits):
            return index
    return None


def _gateway(gateway: Gateway, listeners: Sequence[Listener]) -> GatewayRoute:
    return GatewayRoute(
        name=gateway.name,
        targets=tuple(
            route
            for target in sorted(gateway.targets, key=lambda target: target.priority)
            for route in _routes(target, _listener_index(gateway, target, listeners), listeners)
        ),
        trusted=gateway.trusted,
        tags=gateway.tags,
        rewrite_host=gateway.rewrite_host,
        probe=gateway.probe,
        retry_on=gateway.retry_on,
    )


def _routes(target: Target, listener: int, listeners: Sequence[Listener]) -> list[TargetRoute]:
    port = parse_host_port(target.address, _default_port(target)).port
    return [
        TargetRoute(ip, port, listener, target.priority, target.weight, target.address)
        for ip in _target_ips(target, _family(listeners[listener]))
    ]


def _resolved(gateway: Gateway, listeners: Sequence[Listener], findings: list[ConfigFinding]) -> Gateway:
    targets = []
    for position, target in enumerate(gateway.targets):
        key = f"gateway[{gateway.name}].targets[{position}]"
        listener = listener_of(gateway, target, listeners)
        if listener is None:
            findings.append(error(f"{key}.transport", _no_listener(gateway, target)))
            continue
        family = _family(listeners[listener])
        try:
            ips = _target_ips(target, family)
        except OSError as why:
            findings.append(error(f"{key}.address", f"{target.address} does not resolve: {why.strerror}"))
            continue
        if any(_ip_family(ip) != family for ip in ips):
            findings.append(error(f"{key}.address", "the gateway's listener has an address of the other IP version"))
        is_name = parse_host_port(target.address).ip is None
        targets.append(msgspec.structs.replace(target, ips=ips) if is_name else target)
    count = sum(max(1, len(target.ips)) for target in targets)
    if count > _MAX_TARGETS:
        too_many = f"are {count} addresses, at most {_MAX_TARGETS}"
        findings.append(error(f"gateway[{gateway.name}].targets", too_many))
    return msgspec.structs.replace(gateway, targets=tuple(targets))


def _target_ips(target: Target, family: socket.AddressFamily) -> tuple[str, ...]:
    if target.ips:
        return target.ips
    address = parse_host_port(target.address)
    return (str(address.ip),) if address.ip is not None else _look_up(address, family)


def _look_up(address: HostPort, family: socket.AddressFamily) -> tuple[str, ...]:
    found = socket.getaddrinfo(address.host, address.port, family=family, type=socket.SOCK_DGRAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def _listener_index(gateway: Gateway, target: Target, listeners: Sequence[Listener]) -> int:
    index = listener_of(gateway, target, listeners)
    if index is None:
        raise ValueError(f"gateway {gateway.name}: {_no_listener(gateway, target)}")
    return index


def _no_listener(gateway: Gateway, target: Target) -> str:
    if gateway.listener is not None:
        return f"{target.address} is reached by {target.transport}, which listener {gateway.listener} is not for"
    return f"{target.address} is reached by {target.transport}, and no [[listener]] of that IP version has it"


def _default_port(target: Target) -> int:
    return 5061 if target.transport is Transport.TLS else SIP_PORT


def _family(listener: Listener) -> socket.AddressFamily:
    return _ip_family(parse_host_port(listener.address).host)


def _ip_family(ip: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ip_address(ip).version == 6 else socket.AF_INET
