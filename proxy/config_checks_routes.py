"""What routes say of one another: prefixes, trunks and gateways that they name, and what gateways in turn share."""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.config_errors import ConfigFinding, error
from engine.rules import Divert
from proxy.config import Configuration, Gateway

Findings = Iterator[ConfigFinding]

_MAX_GATEWAYS = 8  # MAX_ROUTE_GATEWAYS of prefix_routes.pxd
_URI = re.compile(r"sips?:[!-;=?-~]{1,200}\Z")  # visible characters but < and >
_PREFIX = re.compile(r"(\+[0-9]{0,15}|[A-Z]{2}:[0-9]{0,8})\Z")


def check_routes(configuration: Configuration) -> Findings:
    gateways = {gateway.name: gateway for gateway in configuration.gateways}
    for trunk in configuration.trunks:
        if trunk.route is not None:
            yield from _in_turn(f"trunk[{trunk.name}].route", trunk.gateways, gateways)
    trunks = {trunk.name for trunk in configuration.trunks}
    seen: set[tuple[str, str | None]] = set()
    for route in configuration.routes:
        key = f"route[{route.prefix}]"
        if not _PREFIX.match(route.prefix):
            yield error(f"{key}.prefix", 'write + and digits ("+8620"), or region and short code ("CN:955")')
        for name in route.trunks:
            if name not in trunks:
                yield error(f"{key}.trunks", f"no [[trunk]] is named {name!r}")
        for name in route.gateways:
            if name not in gateways:
                yield error(f"{key}.gateways", f"no [[gateway]] is named {name!r}")
        for owner in route.trunks or (None,):
            if (route.prefix, owner) in seen:
                yield error(f"{key}.prefix", f"has a route already{f' on trunk[{owner}]' if owner else ''}")
            seen.add((route.prefix, owner))
        yield from _in_turn(f"{key}.gateways", route.gateways, gateways)
    for divert in configuration.diverts:
        yield from _check_divert(divert, gateways, beside=not configuration.listeners)


def _check_divert(divert: Divert, gateways: dict[str, Gateway], beside: bool) -> Findings:
    """beside: another SIP server sends the call, and finds the way that a URI leads by itself."""
    key = f"divert[{divert.name}]"
    for name in divert.gateways:
        if name not in gateways:
            yield error(f"{key}.route", f"no [[gateway]] is named {name!r}")
    if divert.gateways or divert.uri is None or not beside:
        yield from _in_turn(f"{key}.route", divert.gateways, gateways)
    if divert.uri is not None and not _URI.match(divert.uri):
        yield error(f"{key}.uri", 'write a SIP URI in ASCII, as "sip:announcement@ivr.example.net"')


def _in_turn(key: str, names: tuple[str, ...], gateways: dict[str, Gateway]) -> Findings:
    """A call that moves on is sent as it was written for the gateway before."""
    if not names:
        yield error(key, "is empty, so no call can be sent there")
    if len(names) > _MAX_GATEWAYS:
        yield error(key, f"names {len(names)} gateways, at most {_MAX_GATEWAYS}")
    if len(set(names)) < len(names):
        yield error(key, "names a gateway twice")
    known = [gateways[name] for name in names if name in gateways]
    for following in known[1:]:
        for setting in ("trusted", "tags", "rewrite_host"):
            if getattr(following, setting) != getattr(known[0], setting):
                yield error(key, f"{known[0].name} and {following.name} are tried in turn, but differ in {setting}")
