"""Who sends calls and where they go: the routing that a core swaps whole at a reload."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from engine.rules import DialPlan
from proxy.config import Configuration, Flood, Redress, Trunk
from proxy.config_load import dial_plans
from proxy.gateways import GatewayRoute, build_gateways


@dataclass(frozen=True, slots=True)
class TrunkRoute:
    """A peer that sends calls. gateway: index into Routing.gateways. policy_trunk: index into the policy's trunks."""

    name: str
    networks: tuple[IPv4Network | IPv6Network, ...]
    tls_names: tuple[str, ...]
    trusted: bool
    screen: bool
    dial_plan: DialPlan
    gateway: int
    analytics: str
    policy_trunk: int
    max_requests_per_s: float
    max_rejections_per_s: float
    overload_control: bool


@dataclass(frozen=True, slots=True)
class Routing:
    """labels: texts in UTF-8, in the order of the policy's labels."""

    trunks: tuple[TrunkRoute, ...]
    gateways: tuple[GatewayRoute, ...]
    redress: Redress
    labels: tuple[bytes, ...]
    generation: int
    flood: Flood


def build_routing(configuration: Configuration, generation: int) -> Routing:
    """The routing of a loaded configuration, whose names are resolved already."""
    plans = dial_plans(configuration)
    gateways = build_gateways(configuration)
    indexes = {gateway.name: index for index, gateway in enumerate(gateways)}
    return Routing(
        trunks=tuple(
            _trunk(trunk, plans[trunk.dial_plan], indexes[trunk.route], index)
            for index, trunk in enumerate(configuration.trunks)
        ),
        gateways=gateways,
        redress=configuration.redress,
        labels=tuple(label.text.encode() for label in configuration.labels),
        generation=generation,
        flood=configuration.flood,
    )


def _trunk(trunk: Trunk, dial_plan: DialPlan, gateway: int, index: int) -> TrunkRoute:
    return TrunkRoute(
        name=trunk.name,
        networks=tuple(ip_network(source) for source in trunk.sources),
        tls_names=trunk.tls_names,
        trusted=trunk.trusted,
        screen=trunk.screen,
        dial_plan=dial_plan,
        gateway=gateway,
        analytics=trunk.analytics.value,
        policy_trunk=index,
        max_requests_per_s=trunk.max_requests_per_s,
        max_rejections_per_s=trunk.max_rejections_per_s,
        overload_control=trunk.overload_control,
    )
