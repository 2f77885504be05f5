"""Where the names of gateways lead when a configuration is loaded: a start for the workers, who go on asking.

Not knowing is no error: the file may be right and the DNS server away. It takes START_S at most.
"""

from __future__ import annotations

import socket
import threading
import time
from queue import Empty, SimpleQueue

import msgspec

from engine.config_errors import ConfigFinding, error, warning
from proxy.config import Configuration, Gateway, Target
from proxy.config_address import HostPort, parse_host_port
from proxy.gateways import MAX_TARGETS, has_sender, listener_of, no_listener

START_S = 2.0

_Found = dict[str, tuple[str, ...]]  # host -> addresses


def resolve_targets(configuration: Configuration) -> tuple[Configuration, list[ConfigFinding]]:
    """The configuration with `found_ips` of every target that is a name.

    Without a listener it stays as it is: who sends the calls finds the names.
    """
    if not configuration.listeners:
        return configuration, []
    hosts = {
        address.host
        for gateway in configuration.gateways
        for target in gateway.targets
        if (address := _asked(target)) is not None
    }
    found = _look_up(hosts)
    findings: list[ConfigFinding] = []
    gateways = tuple(_resolved(gateway, configuration, found, findings) for gateway in configuration.gateways)
    return msgspec.structs.replace(configuration, gateways=gateways), findings


def _resolved(gateway: Gateway, configuration: Configuration, found: _Found, findings: list[ConfigFinding]) -> Gateway:
    targets = []
    for position, target in enumerate(gateway.targets):
        key = f"gateway[{gateway.name}].targets[{position}]"
        if listener_of(gateway, target, configuration.listeners) is None:
            findings.append(error(f"{key}.transport", no_listener(gateway, target)))
        address = _asked(target)
        ips = found.get(address.host, ()) if address is not None else ()
        if address is not None and not ips:
            findings.append(warning(f"{key}.address", f"{target.address} does not resolve yet; it is asked for again"))
        if any(not has_sender(gateway, target, ip, configuration.listeners) for ip in target.ips):
            findings.append(error(f"{key}.ips", "no listener for them has an address of that IP version"))
        targets.append(msgspec.structs.replace(target, found_ips=ips))
    count = sum(max(1, len(target.ips)) for target in targets)
    if count > MAX_TARGETS:
        too_many = f"are {count} addresses, at most {MAX_TARGETS}"
        findings.append(error(f"gateway[{gateway.name}].targets", too_many))
    return msgspec.structs.replace(gateway, targets=tuple(targets))


def _asked(target: Target) -> HostPort | None:
    """The name to look up, None if there is none."""
    address = parse_host_port(target.address)
    return address if address.ip is None and not target.ips else None


def _look_up(hosts: set[str]) -> _Found:
    """Addresses by the system's resolver, of all hosts at once. Its threads are left behind when time is up."""
    answers: SimpleQueue[tuple[str, tuple[str, ...]]] = SimpleQueue()
    for host in hosts:
        threading.Thread(target=_look_up_one, args=(host, answers), daemon=True).start()
    found: _Found = {}
    until_s = time.monotonic() + START_S
    while len(found) < len(hosts):
        try:
            host, ips = answers.get(timeout=max(0.0, until_s - time.monotonic()))
        except Empty:
            break
        found[host] = ips
    return found


def _look_up_one(host: str, answers: SimpleQueue[tuple[str, tuple[str, ...]]]) -> None:
    try:
        rows = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        rows = []
    answers.put((host, tuple(dict.fromkeys(str(row[4][0]) for row in rows))))
