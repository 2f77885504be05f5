"""Who sends calls and where they go: the routing that a core swaps whole at a reload."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from engine.rules import DialPlan
from proxy.config import Compat, Configuration, Flood, Overload, Redress, Trunk
from proxy.config_load import dial_plans
from proxy.gateways import GatewayRoute, build_gateways

# What a call gateway has no use for outside a dialog.
_DENIED = frozenset({"REGISTER", "MESSAGE", "SUBSCRIBE", "PUBLISH", "REFER", "INFO", "NOTIFY"})


@dataclass(frozen=True, slots=True)
class RedirectRoute:
    """How a trunk in redirect mode is answered; act_at 0..100."""

    compat: str
    mode: str
    act_at: int
    clean: int
    display_name: str
    contacts: tuple[str, ...]
    divert_to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrunkRoute:
    """A peer that sends calls. route: index into Routing.routes. policy_trunk: index into the policy's trunks.

    listeners: indexes of those that its calls come in by; none = any. denied_methods: answered 403 outside a dialog.
    """

    name: str
    networks: tuple[IPv4Network | IPv6Network, ...]
    listeners: tuple[int, ...]
    tls_names: tuple[str, ...]
    trusted: bool
    accepts: tuple[str, ...]
    group: str | None
    redirect: RedirectRoute | None  # None = calls are forwarded
    context: str | None
    screen: bool
    dial_plan: DialPlan
    route: int
    analytics: str
    policy_trunk: int
    denied_methods: tuple[bytes, ...]
    max_requests_per_s: float
    max_rejections_per_s: float
    overload_control: bool


@dataclass(frozen=True, slots=True)
class Routing:
    """routes: indexes of gateways in the order in which they are tried. prefixes: (trunk, prefix, route) each.

    divert_uris: of the last routes, where the policy's diverts lead in its order: the Request-URI that calls get there.
    limits: (name, calls a second, calls at once) of the trunks and then of the gateways, 0 = any number.
    labels: texts in UTF-8, in the order of the policy's labels.
    """

    trunks: tuple[TrunkRoute, ...]
    gateways: tuple[GatewayRoute, ...]
    routes: tuple[tuple[int, ...], ...]
    divert_uris: tuple[bytes | None, ...]
    prefixes: tuple[tuple[int, str, int], ...]
    limits: tuple[tuple[str, float, int], ...]
    redress: Redress
    labels: tuple[bytes, ...]
    generation: int
    flood: Flood
    overload: Overload


def build_routing(configuration: Configuration, generation: int) -> Routing:
    """The routing of a loaded configuration."""
    plans = dial_plans(configuration)
    gateways = build_gateways(configuration)
    indexes = {gateway.name: index for index, gateway in enumerate(gateways)}
    listeners = {listener.name: index for index, listener in enumerate(configuration.listeners)}
    wanted = [trunk.gateways for trunk in configuration.trunks]
    wanted += [route.gateways for route in configuration.routes]
    wanted += [divert.gateways for divert in configuration.diverts]
    return Routing(
        trunks=tuple(
            _trunk(trunk, plans[trunk.dial_plan], listeners, index) for index, trunk in enumerate(configuration.trunks)
        ),
        gateways=gateways,
        routes=tuple(tuple(indexes[name] for name in names) for names in wanted),
        divert_uris=tuple(divert.uri.encode() if divert.uri else None for divert in configuration.diverts),
        prefixes=tuple(_prefixes(configuration)),
        limits=tuple(_limits(configuration)),
        redress=configuration.redress,
        labels=tuple(label.text.encode() for label in configuration.labels),
        generation=generation,
        flood=configuration.flood,
        overload=configuration.overload,
    )


def denied_methods(trunk: Trunk) -> frozenset[str]:
    """Methods that this trunk may not use outside a dialog."""
    return (_DENIED | set(trunk.methods_denied)) - set(trunk.methods_allowed)


def _trunk(trunk: Trunk, dial_plan: DialPlan, listeners: dict[str, int], index: int) -> TrunkRoute:
    return TrunkRoute(
        name=trunk.name,
        networks=tuple(ip_network(source) for source in trunk.sources),
        listeners=tuple(listeners[name] for name in trunk.listeners),
        tls_names=trunk.tls_names,
        trusted=trunk.trusted,
        accepts=tuple(right.value for right in trunk.accepts),
        group=trunk.group,
        redirect=_redirect(trunk),
        context=trunk.context,
        screen=trunk.screen,
        dial_plan=dial_plan,
        route=index,
        analytics=trunk.analytics.value,
        policy_trunk=index,
        denied_methods=tuple(sorted(name.encode() for name in denied_methods(trunk))),
        max_requests_per_s=trunk.max_requests_per_s,
        max_rejections_per_s=trunk.max_rejections_per_s,
        overload_control=trunk.overload_control,
    )


def _prefixes(configuration: Configuration) -> Iterator[tuple[int, str, int]]:
    """A route that names its trunks goes before one for all of them."""
    named: dict[tuple[int, str], int] = {}
    trunks = {trunk.name: index for index, trunk in enumerate(configuration.trunks)}
    for offset, route in sorted(enumerate(configuration.routes), key=lambda row: not row[1].trunks):
        for trunk in map(trunks.__getitem__, route.trunks or trunks):
            named.setdefault((trunk, route.prefix), len(trunks) + offset)
    yield from ((trunk, prefix, route) for (trunk, prefix), route in named.items())


def _limits(configuration: Configuration) -> Iterator[tuple[str, float, int]]:
    for trunk in configuration.trunks:
        yield f"trunk {trunk.name}", trunk.calls_per_s, trunk.concurrent_calls
    for gateway in configuration.gateways:
        yield f"gateway {gateway.name}", gateway.calls_per_s, gateway.concurrent_calls


def _redirect(trunk: Trunk) -> RedirectRoute | None:
    if trunk.compat is None:
        return None
    redirect = trunk.redirect
    return RedirectRoute(
        compat=trunk.compat.value,
        mode=redirect.mode.value,
        act_at=redirect.act_at,
        clean=redirect.clean or (503 if trunk.compat is Compat.RIBBON else 404),
        display_name=redirect.display_name,
        contacts=redirect.contacts,
        divert_to=redirect.divert_to,
    )
