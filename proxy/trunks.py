"""Who sends calls and where they go: the routing that a core swaps whole at a reload."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from engine.rules import DialPlan
from proxy.config import Compat, Configuration, Redress, Trunk
from proxy.config_load import dial_plans
from proxy.gateways import GatewayRoute, build_gateways

NO_GATEWAY = 0xFFFF  # of proxy/sip/transaction.pxd


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
    """A peer that sends calls. gateway: index into Routing.gateways. policy_trunk: index into the policy's trunks."""

    name: str
    networks: tuple[IPv4Network | IPv6Network, ...]
    tls_names: tuple[str, ...]
    trusted: bool
    accepts: tuple[str, ...]
    group: str | None
    redirect: RedirectRoute | None  # None = calls are forwarded
    context: str | None
    screen: bool
    dial_plan: DialPlan
    gateway: int  # NO_GATEWAY in redirect mode
    analytics: str
    policy_trunk: int


@dataclass(frozen=True, slots=True)
class Routing:
    """labels: texts in UTF-8, in the order of the policy's labels."""

    trunks: tuple[TrunkRoute, ...]
    gateways: tuple[GatewayRoute, ...]
    redress: Redress
    labels: tuple[bytes, ...]
    generation: int


def build_routing(configuration: Configuration, generation: int) -> Routing:
    """The routing of a loaded configuration, whose names are resolved already."""
    plans = dial_plans(configuration)
    gateways = build_gateways(configuration)
    indexes = {gateway.name: index for index, gateway in enumerate(gateways)}
    return Routing(
        trunks=tuple(
            _trunk(trunk, plans[trunk.dial_plan], indexes[trunk.route] if trunk.route else NO_GATEWAY, index)
            for index, trunk in enumerate(configuration.trunks)
        ),
        gateways=gateways,
        redress=configuration.redress,
        labels=tuple(label.text.encode() for label in configuration.labels),
        generation=generation,
    )


def _trunk(trunk: Trunk, dial_plan: DialPlan, gateway: int, index: int) -> TrunkRoute:
    return TrunkRoute(
        name=trunk.name,
        networks=tuple(ip_network(source) for source in trunk.sources),
        tls_names=trunk.tls_names,
        trusted=trunk.trusted,
        accepts=tuple(right.value for right in trunk.accepts),
        group=trunk.group,
        redirect=_redirect(trunk),
        context=trunk.context,
        screen=trunk.screen,
        dial_plan=dial_plan,
        gateway=gateway,
        analytics=trunk.analytics.value,
        policy_trunk=index,
    )


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
