"""Gateways as the core routes to them: groups of targets with priority and weight, and the names among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from proxy.config import Configuration, Gateway, Listener, Probe, TagHeaders, Target, Transport
from proxy.config_address import SIP_PORT, parse_host_port
from proxy.server_location import SECURE_TRANSPORTS, Destination

MAX_TARGETS = 64  # of routing_table.pxd
_MOST_WEIGHT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class TargetRoute:
    """One place to send a request to. text: host[:port] as written, for the Request-URI. listener: to send from."""

    ip: str
    port: int
    listener: int
    priority: int
    weight: int
    text: str
    secure: bool = False


@dataclass(frozen=True, slots=True)
class NamedTarget:
    """A target that is a name. port: None = by SRV records, if it has any. known: where it leads as far as is known."""

    host: str
    port: int | None
    transport: str
    priority: int
    weight: int
    text: str
    known: tuple[Destination, ...]


@dataclass(frozen=True, slots=True)
class GatewayRoute:
    """targets: to begin with, in order of priority. numeric: the targets that are addresses. names: all others."""

    name: str
    targets: tuple[TargetRoute, ...]
    numeric: tuple[TargetRoute, ...]
    names: tuple[NamedTarget, ...]
    senders: tuple[tuple[str, int, int], ...]
    trusted: bool
    tags: TagHeaders
    rewrite_host: bool
    overload_control: bool
    probe: Probe
    retry_on: tuple[int, ...]

    def with_names(self, names: Iterable[NamedTarget]) -> tuple[TargetRoute, ...]:
        """Every target of the gateway, given where its names lead now."""
        rows: list[tuple[int, int, TargetRoute]] = [(route.priority, 0, route) for route in self.numeric]
        for name in names:
            for found in name.known:
                listener = _sender(self.senders, found.transport, ip_address(found.ip).version)
                if listener is not None:
                    rows.append((name.priority, found.priority, _found_route(name, found, listener)))
        rows.sort(key=lambda row: row[:2])
        ranks = {key: rank for rank, key in enumerate(dict.fromkeys(row[:2] for row in rows))}
        return tuple(
            TargetRoute(r.ip, r.port, r.listener, ranks[one, two], r.weight, r.text, r.secure) for one, two, r in rows
        )[:MAX_TARGETS]


def build_gateways(configuration: Configuration) -> tuple[GatewayRoute, ...]:
    """The gateways in the order of the configuration; nobody is asked for a name."""
    return tuple(_gateway(gateway, configuration.listeners) for gateway in configuration.gateways)


def listener_of(gateway: Gateway, target: Target, listeners: Sequence[Listener]) -> int | None:
    """The listener a target is sent to from: the gateway's own, else the first that fits; None if there is none."""
    ip = parse_host_port(target.address).ip
    senders = [s for s in _senders(gateway, listeners) if s[0] == target.transport.value]
    return next((index for _, version, index in senders if ip is None or ip.version == version), None)


def has_sender(gateway: Gateway, target: Target, ip: str, listeners: Sequence[Listener]) -> bool:
    """Whether there is a listener from which the target is reached at this address."""
    return _sender(_senders(gateway, listeners), target.transport.value, ip_address(ip).version) is not None


def no_listener(gateway: Gateway, target: Target) -> str:
    if gateway.listener is not None:
        return f"{target.address} is reached by {target.transport}, which listener {gateway.listener} is not for"
    return f"{target.address} is reached by {target.transport}, and no [[listener]] of that IP version has it"


def _gateway(gateway: Gateway, listeners: Sequence[Listener]) -> GatewayRoute:
    senders = tuple(_senders(gateway, listeners))
    numeric: list[TargetRoute] = []
    names: list[NamedTarget] = []
    for target in sorted(gateway.targets, key=lambda target: target.priority):
        if parse_host_port(target.address).ip is not None or target.ips:
            numeric += _numeric_routes(gateway, target, senders)
        else:
            names.append(_named(target))
    route = GatewayRoute(
        name=gateway.name,
        targets=(),
        numeric=tuple(numeric),
        names=tuple(names),
        senders=senders,
        trusted=gateway.trusted,
        tags=gateway.tags,
        rewrite_host=gateway.rewrite_host,
        overload_control=gateway.overload_control,
        probe=gateway.probe,
        retry_on=gateway.retry_on,
    )
    return replace(route, targets=route.with_names(names))


def _senders(gateway: Gateway, listeners: Sequence[Listener]) -> Iterable[tuple[str, int, int]]:
    """(transport, IP version, index) of the listeners that this gateway may be sent to from."""
    for index, listener in enumerate(listeners):
        if gateway.listener in (None, listener.name):
            yield listener.transport.value, ip_address(parse_host_port(listener.address).host).version, index


def _sender(senders: Iterable[tuple[str, int, int]], transport: str, version: int) -> int | None:
    return next((index for offered, family, index in senders if (offered, family) == (transport, version)), None)


def _numeric_routes(
    gateway: Gateway, target: Target, senders: tuple[tuple[str, int, int], ...]
) -> Iterable[TargetRoute]:
    address = parse_host_port(target.address, _default_port(target))
    for ip in target.ips or (str(address.ip),):
        listener = _sender(senders, target.transport.value, ip_address(ip).version)
        if listener is None:
            raise ValueError(f"gateway {gateway.name}: {no_listener(gateway, target)}")
        yield TargetRoute(
            ip, address.port, listener, target.priority, target.weight, target.address, _is_secure(target.transport)
        )


def _named(target: Target) -> NamedTarget:
    address = parse_host_port(target.address, 0)
    port = address.port or _default_port(target)
    return NamedTarget(
        host=address.host,
        port=address.port or None,
        transport=target.transport.value,
        priority=target.priority,
        weight=target.weight,
        text=target.address,
        known=tuple(Destination(target.transport.value, ip, port) for ip in target.found_ips),
    )


def _found_route(name: NamedTarget, found: Destination, listener: int) -> TargetRoute:
    weight = min(name.weight * max(1, found.weight), _MOST_WEIGHT)
    secure = found.transport in SECURE_TRANSPORTS
    return TargetRoute(found.ip, found.port, listener, name.priority, weight, name.text, secure)


def _is_secure(transport: Transport) -> bool:
    return transport.value in SECURE_TRANSPORTS


def _default_port(target: Target) -> int:
    return 5061 if target.transport is Transport.TLS else SIP_PORT
