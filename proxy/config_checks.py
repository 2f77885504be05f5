"""What one table of a configuration says of another: references, clashes, overlaps, and answers a trunk may give.

Every check yields findings without a file; `proxy.config_load` adds the file each table stands in. What the engine
itself knows to be wrong with a policy comes from `engine.policy.lint_policy`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from engine import packs
from engine.config_errors import ConfigFinding, error, warning
from proxy.admin_token import read_token
from proxy.config import AnalyticsForm, Configuration, Gateway, Redress, TagHeaders, Transport, Trunk
from proxy.config_address import HostPort, parse_host_port
from proxy.config_checks_routes import check_routes
from proxy.config_complaints import check_complaints
from proxy.config_fleet import check_fleet
from proxy.config_identity import check_identities
from proxy.config_redirect import check_redirects
from proxy.config_redress import check_redress_laws
from proxy.config_tls import check_tls

Findings = Iterator[ConfigFinding]

# sun_path of a Unix socket holds 108 bytes, one of them the closing NUL; the longest name in state_dir is this one.
_SOCKET_PATH_BYTES = 107
_LONGEST_SOCKET = "/control.sock"
_MAX_LISTENERS = 16  # MAX_LISTENERS of core.pxd
_MAX_DENIED = 8  # MAX_NAMED_METHODS of methods.pxd
_METHOD = re.compile(r"[A-Z0-9.!%*_+`'~-]{1,32}\Z")  # a token without small letters (RFC 3261 section 25.1)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
# RFC 8606 section 4.
_LOCATIONS = {"U", "LPN", "LN", "TN", "RLN", "RPN", "INTL", "BI"} | {f"LOC-{n}" for n in (6, 8, 9, 11, 12, 13, 14, 15)}


def check(configuration: Configuration) -> Findings:
    for one in _CHECKS:
        yield from one(configuration)


# Names.


def _names(configuration: Configuration) -> Findings:
    """Names go into headers, metrics and log records as they are."""
    tables: dict[str, tuple[Any, ...]] = {
        "listener": configuration.listeners,
        "tls": configuration.tls_tables,
        "trunk": configuration.trunks,
        "gateway": configuration.gateways,
        "policy": configuration.policies,
        "list": configuration.lists,
        "prefix_rule": configuration.prefix_rules,
        "rule": configuration.rules,
        "hours": configuration.hours,
        "divert": configuration.diverts,
        "limit": configuration.limits,
        "label": configuration.labels,
        "dial_plan": configuration.dial_plans,
        "complaint_source": configuration.complaint_sources,
    }
    names = [(f"{kind}[{row.name}].name", row.name) for kind, rows in tables.items() for row in rows]
    for key, name in [("node.name", configuration.node.name), *names]:
        if not _NAME.match(name):
            yield error(key, "use 1 to 64 letters, digits and _ . - and begin with a letter or digit")


def _references(configuration: Configuration) -> Findings:
    """The proxy's own; those of the policy are the engine's to check."""
    listeners = {row.name for row in configuration.listeners}
    gateways = {row.name for row in configuration.gateways}
    for trunk in configuration.trunks:
        for name in trunk.gateways:
            yield from _reference(f"trunk[{trunk.name}].route", name, gateways, "gateway")
        for name in trunk.listeners:
            yield from _reference(f"trunk[{trunk.name}].listeners", name, listeners, "listener")
    for gateway in configuration.gateways:
        if gateway.listener is not None:
            yield from _reference(f"gateway[{gateway.name}].listener", gateway.listener, listeners, "listener")


def _reference(key: str, name: str, known: set[str], table: str) -> Findings:
    if name not in known:
        yield error(key, f"no [[{table}]] is named {name!r}; known are {', '.join(sorted(known)) or 'none'}")


def _unused(configuration: Configuration) -> Findings:
    routes = {name for trunk in configuration.trunks for name in trunk.gateways}
    routes |= {name for route in configuration.routes for name in route.gateways}
    routes |= {name for divert in configuration.diverts for name in divert.gateways}
    for gateway in configuration.gateways:
        if gateway.name not in routes:
            yield warning(f"gateway[{gateway.name}]", "no trunk's route leads to it")
    for plan in configuration.dial_plans:
        if plan.name in packs.PACKS:
            yield warning(f"dial_plan[{plan.name}]", "replaces the built-in dial plan of that name")


# Process: node, listeners, admin.


def _node(configuration: Configuration) -> Findings:
    if not re.match(r"[ -~]{0,64}\Z", configuration.node.server_header):
        yield error("node.server_header", "use at most 64 printable ASCII characters")
    for position, text in enumerate(configuration.dns.servers):
        key = f"dns.servers[{position}]"
        try:
            numeric = parse_host_port(text, 53).ip is not None
        except ValueError as why:
            yield error(key, str(why))
        else:
            if not numeric:
                yield error(key, f"{text!r} is a name, and nobody to ask for it")
    spare = _SOCKET_PATH_BYTES - len(_LONGEST_SOCKET)
    if len(configuration.node.state_dir.encode()) > spare:
        yield error("node.state_dir", f"is longer than {spare} bytes, too long for the sockets kept in it")


def _listeners(configuration: Configuration) -> Findings:
    if not configuration.listeners and (configuration.routes or any(trunk.gateways for trunk in configuration.trunks)):
        yield error("listener", "there is none, so nothing would be received")
    elif not configuration.listeners:
        yield warning("listener", "there is none: only control runs, for other servers that screen with this node")
    if len(configuration.listeners) > _MAX_LISTENERS:
        yield error("listener", f"there are {len(configuration.listeners)}, at most {_MAX_LISTENERS}")
    bound: list[tuple[str, HostPort, bool]] = []
    for listener in configuration.listeners:
        key = f"listener[{listener.name}]"
        address = yield from _address(f"{key}.address", listener.address)
        if listener.advertise is not None:
            yield from _host(f"{key}.advertise", listener.advertise)
        if address is None or address.ip is None:
            continue
        if address.ip.is_unspecified and listener.advertise is None:
            yield error(f"{key}.advertise", f"is required with {listener.address}: peers need an address to answer to")
        by_udp = listener.transport is Transport.UDP
        for other, taken, other_by_udp in bound:
            if by_udp == other_by_udp and _clash(address, taken):
                yield error(f"{key}.address", f"{listener.address} is taken by listener[{other}]")
        bound.append((listener.name, address, by_udp))


def _clash(one: HostPort, other: HostPort) -> bool:
    assert one.ip is not None and other.ip is not None
    if one.port != other.port or one.ip.version != other.ip.version:
        return False
    return one.ip == other.ip or one.ip.is_unspecified or other.ip.is_unspecified


def _admin(configuration: Configuration) -> Findings:
    address = yield from _address("admin.address", configuration.admin.address)
    token_file = configuration.admin.token_file
    if address is not None and address.ip is not None and not address.ip.is_loopback and token_file is None:
        yield error("admin.token_file", f"is required with {configuration.admin.address}, which other machines reach")
    if token_file is not None:
        try:
            read_token(token_file)
        except ValueError as why:
            yield error("admin.token_file", str(why))
    for index, name in enumerate(configuration.admin.hosts):
        if ":" in name:
            yield error(f"admin.hosts[{index}]", "write the name alone, without a port")
        else:
            yield from _host(f"admin.hosts[{index}]", name)


def _address(key: str, text: str) -> Generator[ConfigFinding, None, HostPort | None]:
    """An address to bind; returns None after an error."""
    try:
        address = parse_host_port(text, default_port=None)
    except ValueError as why:
        yield error(key, str(why))
        return None
    if address.ip is None:
        yield error(key, f"{address.host!r} is a name; write the address to bind")
        return None
    return address


def _host(key: str, text: str) -> Findings:
    try:
        parse_host_port(text)
    except ValueError as why:
        yield error(key, str(why))


# Reload: trunks, gateways, redress.


def _sources(configuration: Configuration) -> Findings:
    if not configuration.trunks:
        yield error("trunk", "there is none, so every call would be dropped")
    known: list[tuple[IPv4Network | IPv6Network, Trunk]] = []
    for trunk in configuration.trunks:
        if not trunk.sources and not trunk.tls_names and trunk.group is None:
            yield error(f"trunk[{trunk.name}].sources", "is empty, so no call can come from this trunk")
        for position, text in enumerate(trunk.sources):
            key = f"trunk[{trunk.name}].sources[{position}]"
            try:
                network = ip_network(text)
            except ValueError as why:
                yield error(key, str(why))
                continue
            yield from _overlaps(key, trunk, network, known)
            known.append((network, trunk))


def _overlaps(
    key: str, trunk: Trunk, network: IPv4Network | IPv6Network, known: list[tuple[IPv4Network | IPv6Network, Trunk]]
) -> Findings:
    if network.prefixlen == 0:
        yield warning(key, "any address may place calls on this trunk")
    for other, other_trunk in known:
        owner = other_trunk.name
        if trunk.listeners and other_trunk.listeners and not set(trunk.listeners) & set(other_trunk.listeners):
            continue  # never by the same listener
        if network == other:
            yield error(key, f"{network} is a source of trunk[{owner}] already")
        elif network.version == other.version and network.overlaps(other):
            inner, outer = sorted((network, other), key=lambda n: n.prefixlen, reverse=True)
            winner = trunk.name if inner is network else owner
            if owner != trunk.name:
                yield warning(key, f"{inner} lies within {outer}: its calls belong to trunk[{winner}]")
            else:
                yield warning(key, f"{inner} lies within {outer}, which this trunk has already")


def _methods(configuration: Configuration) -> Findings:
    for trunk in configuration.trunks:
        for key in ("methods_denied", "methods_allowed"):
            for method in getattr(trunk, key):
                if not _METHOD.match(method):
                    yield error(f"trunk[{trunk.name}].{key}", f"{method!r} is no method; they are written in capitals")
        for method in sorted({"ACK", "CANCEL"} & set(trunk.methods_denied)):
            yield error(f"trunk[{trunk.name}].methods_denied", f"{method} belongs to an INVITE and cannot be denied")
        for method in sorted(set(trunk.methods_denied) & set(trunk.methods_allowed)):
            yield error(f"trunk[{trunk.name}].methods_allowed", f"{method} is in methods_denied too")
        if len(trunk.methods_denied) > _MAX_DENIED:
            yield error(f"trunk[{trunk.name}].methods_denied", f"lists more than {_MAX_DENIED}")


def _targets(configuration: Configuration) -> Findings:
    own = {parsed for parsed in map(_bound, (row.address for row in configuration.listeners)) if parsed}
    for gateway in configuration.gateways:
        if not gateway.targets:
            yield error(f"gateway[{gateway.name}].targets", "is empty, so no call can be sent there")
        written: Counter[str] = Counter()
        for position, target in enumerate(gateway.targets):
            key = f"gateway[{gateway.name}].targets[{position}]"
            written[target.address] += 1
            if written[target.address] > 1:
                yield error(f"{key}.address", f"{target.address} is a target of this gateway already")
            try:
                address = parse_host_port(target.address)
            except ValueError as why:
                yield error(f"{key}.address", str(why))
                continue
            if (str(address.ip), address.port) in own:
                yield error(f"{key}.address", "is this proxy's own listener, so calls would go round in circles")
            yield from _ips(key, address, target.ips)
        yield from _probe(gateway)
        yield from _retry_on(gateway)
        yield from _tags(f"gateway[{gateway.name}].tags", gateway.tags)
    yield from _tags("plugin.tags", configuration.plugin.tags)


def _tags(key: str, tags: TagHeaders) -> Findings:
    if not _HTTPS.match(tags.call_info_url):
        yield error(f"{key}.call_info_url", "must be an https:// address")


def _bound(text: str) -> tuple[str, int] | None:
    try:
        address = parse_host_port(text, default_port=None)
    except ValueError:
        return None
    return str(address.ip), address.port


def _ips(key: str, address: HostPort, ips: tuple[str, ...]) -> Findings:
    if ips and address.ip is not None:
        yield error(f"{key}.ips", "goes with an address that is a name")
    for position, text in enumerate(ips):
        try:
            ip_address(text)
        except ValueError as why:
            yield error(f"{key}.ips[{position}]", str(why))


def _probe(gateway: Gateway) -> Findings:
    if gateway.probe.timeout_s > gateway.probe.interval_s:
        yield error(f"gateway[{gateway.name}].probe.timeout_s", "is longer than interval_s")


def _retry_on(gateway: Gateway) -> Findings:
    for status in gateway.retry_on:
        if status in _NEVER_RETRIED:
            yield error(f"gateway[{gateway.name}].retry_on", f"{status} {_NEVER_RETRIED[status]}")


_NEVER_RETRIED = {
    401: "asks the caller for credentials; no other target can answer it",
    407: "asks the caller for credentials; no other target can answer it",
    487: "says that the caller has given up",
}


def _redress(configuration: Configuration) -> Findings:
    redress = configuration.redress
    if redress.location not in _LOCATIONS:
        yield error("redress.location", f"{redress.location!r} is none of {', '.join(sorted(_LOCATIONS))} (RFC 8606)")
    yield from _contacts(redress)
    for trunk in configuration.trunks:
        if not trunk.screen:
            continue
        key = f"trunk[{trunk.name}].analytics"
        if trunk.analytics is AnalyticsForm.NETWORK_BLOCKED and not (redress.url or redress.tel or redress.email):
            yield error(key, 'is "603+", which needs a contact: set url, tel or email in [redress]')
        if trunk.analytics is AnalyticsForm.REJECTED and not redress.card_url:
            yield error(key, 'is "608", which needs a contact card: set card_url in [redress] (RFC 8688 section 3.1)')


# Inside Reason: ...;text="v=analytics1;url=...;tel=..." nothing may end the value or the quotes.
_CONTACT = r'[^\x00-\x20\x7f-\U0010ffff";\\<>]{1,%d}'
_HTTPS = re.compile(r"(?=https://[A-Za-z0-9\[])" + _CONTACT % 256 + r"\Z")
_CONTACTS = {
    "url": (_HTTPS, "an https:// address"),
    "card_url": (_HTTPS, "an https:// address"),
    "tel": (re.compile(r"\+[0-9]{3,15}\Z"), "+ and 3 to 15 digits"),
    "email": (re.compile(r"(?=[^@]+@[^@]+\Z)" + _CONTACT % 256 + r"\Z"), "name@domain"),
}


def _contacts(redress: Redress) -> Findings:
    for name, (form, meaning) in _CONTACTS.items():
        value = getattr(redress, name)
        if value is not None and not form.match(value):
            yield error(f"redress.{name}", f'must be {meaning}, in ASCII, without blanks and " ; \\ < >')


# Which statuses a rejection of each basis may carry, and why not the others.
_NEVER = {
    484: "starts overlap dialling (RFC 3261 section 21.4.22)",
    503: "takes the whole trunk out of service for the caller's network (RFC 3261 section 21.5.4)",
    607: "counts as the called person's own vote (RFC 8197)",
    608: "belongs to rejections by analytics (RFC 8688 section 1)",
}
_ALLOWED_ANYWAY = {("overload", 503), ("subscriber", 607), ("analytics", 608)}
_REJECTIONS = {400, 403, 404, 410, 433, 480, 484, 486, 488, 500, 503, 600, 603, 604, 606, 607, 608}


def _statuses(configuration: Configuration) -> Findings:
    for trunk in configuration.trunks:
        for basis in trunk.status.__struct_fields__:
            status = getattr(trunk.status, basis)
            key = f"trunk[{trunk.name}].status.{basis}"
            if status not in _REJECTIONS:
                yield error(key, f"{status} is none of {', '.join(map(str, sorted(_REJECTIONS)))}")
            elif status in _NEVER and (basis, status) not in _ALLOWED_ANYWAY:
                yield error(key, f"{status} {_NEVER[status]}")
            elif status in (404, 604) and basis != "policy":
                yield warning(key, f"{status} says that the called number does not exist (RFC 3261 section 21.4.5)")
        yield from _analytics_status(trunk)


def _analytics_status(trunk: Trunk) -> Findings:
    status = trunk.status.analytics
    if trunk.analytics is not AnalyticsForm.DECLINE and status != 603:
        why = f'contradicts analytics = "{trunk.analytics.value}"; a status of its own needs analytics = "603"'
        yield error(f"trunk[{trunk.name}].status.analytics", why)


_CHECKS: tuple[Callable[[Configuration], Findings], ...] = (
    _names,
    _references,
    _unused,
    _node,
    _listeners,
    check_tls,
    _admin,
    _sources,
    _methods,
    _targets,
    check_routes,
    _redress,
    check_redress_laws,
    _statuses,
    check_fleet,
    check_identities,
    check_redirects,
    check_complaints,
)
