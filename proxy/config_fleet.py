"""[fleet]: whether this node shares what it learns, with whom, and by which keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from engine.config_errors import ConfigFinding, error
from engine.rules import Struct
from proxy.config_address import parse_host_port

if TYPE_CHECKING:
    from proxy.config import Configuration

NAME = re.compile(r"[a-z0-9-]{1,32}")


class FleetMode(StrEnum):
    MESH = "mesh"  # every node hears all others and judges by itself: up to 32 nodes
    TREE = "tree"  # the roles of the trust bundle say who sums up, who judges, who only takes verdicts


class Fleet(Struct, frozen=True, kw_only=True):
    """Files are PEM, but `trust`. ca, certificate, tls_key: mutual TLS with the broker; none = in the clear.

    root: the public key that signs the fleet's trust bundle, in hexadecimal: pinned here, whatever the broker says.
    """

    enabled: bool = False
    name: str = "fleet"
    node: str | None = None  # default: node.name
    mode: FleetMode = FleetMode.MESH
    broker: str = "127.0.0.1:1883"
    root: str = ""
    key: str = "fleet/node.key"
    trust: str = "fleet/trust.bundle"
    ca: str | None = None
    certificate: str | None = None
    tls_key: str | None = None
    max_bytes_per_s: Annotated[int, Meta(ge=1024, le=1 << 30)] = 1_000_000


FILES = ("key", "trust", "ca", "certificate", "tls_key")


def check_fleet(configuration: Configuration) -> Iterator[ConfigFinding]:
    fleet = configuration.fleet
    if not fleet.enabled:
        return
    for key, name in (("fleet.name", fleet.name), ("fleet.node", node_name(configuration))):
        if not NAME.fullmatch(name):
            yield error(key, f"{name!r} is no name in a fleet: 1 to 32 of a-z, 0-9 and -")
    try:
        parse_host_port(fleet.broker, None)
    except ValueError as why:
        yield error("fleet.broker", str(why))
    if not re.fullmatch(r"[0-9a-fA-F]{64}", fleet.root):
        yield error("fleet.root", "is required: the 64 hexadecimal digits that `callsieve fleet init` printed")
    secure = [fleet.ca, fleet.certificate, fleet.tls_key]
    if any(secure) and not all(secure):
        yield error("fleet.certificate", "ca, certificate and tls_key belong together")
    if not any(secure) and not fleet.broker.startswith(("127.", "localhost", "[::1]")):
        yield error("fleet.certificate", "ca, certificate and tls_key are required for a broker elsewhere")


def node_name(configuration: Configuration) -> str:
    return configuration.fleet.node or configuration.node.name
