"""From a configuration to what the core routes by: indexes, resolved targets, order."""

from __future__ import annotations

import threading
from dataclasses import replace
from ipaddress import ip_network

import pytest

from engine.rules import Label
from proxy import gateway_start
from proxy.config import AnalyticsForm, Configuration, Gateway, Listener, Route, Target, Trunk
from proxy.gateway_start import resolve_targets
from proxy.gateways import TargetRoute
from proxy.server_location import Destination
from proxy.trunks import build_routing

LISTENERS = (
    Listener(name="v4", address="192.0.2.10:5060"),
    Listener(name="v6", address="[2001:db8::10]:5060"),
)


def trunk(name: str, route: str, **more: object) -> Trunk:
    return Trunk(name=name, sources=("203.0.113.0/24",), dial_plan="cn", policy="p", route=route, **more)  # type: ignore[arg-type]


def gateway(name: str, *targets: Target, listener: str | None = None) -> Gateway:
    return Gateway(name=name, targets=targets, listener=listener)


def configuration(*many: Gateway, trunks: tuple[Trunk, ...] = ()) -> Configuration:
    return Configuration(listeners=LISTENERS, gateways=many, trunks=trunks)


def test_names_become_indexes() -> None:
    routing = build_routing(
        configuration(
            gateway("a", Target(address="198.51.100.1")),
            gateway("b", Target(address="[2001:db8::1]:5070"), listener="v6"),
            trunks=(
                trunk("north", "b", trusted=True, analytics=AnalyticsForm.REJECTED),
                trunk("south", "a", screen=False),
            ),
        ),
        generation=7,
    )
    assert routing.generation == 7
    assert [(t.name, routing.routes[t.route], t.policy_trunk, t.analytics) for t in routing.trunks] == [
        ("north", (1,), 0, "608"),
        ("south", (0,), 1, "603+"),
    ]
    assert [(t.trusted, t.screen) for t in routing.trunks] == [(True, True), (False, False)]
    assert routing.trunks[0].networks == (ip_network("203.0.113.0/24"),)
    assert routing.trunks[0].dial_plan.country_code == "86"
    assert [g.targets[0].listener for g in routing.gateways] == [0, 1]
    assert routing.gateways[1].targets == (TargetRoute("2001:db8::1", 5070, 1, 0, 1, "[2001:db8::1]:5070"),)


def test_targets_stand_in_order_of_priority() -> None:
    (route,) = build_routing(
        configuration(
            gateway(
                "a",
                Target(address="198.51.100.3", priority=3),
                Target(address="198.51.100.1", priority=1, weight=5),
                Target(address="198.51.100.2:5070", priority=2),
            )
        ),
        generation=1,
    ).gateways
    assert [(t.ip, t.port, t.priority, t.weight) for t in route.targets] == [
        ("198.51.100.1", 5060, 0, 5),
        ("198.51.100.2", 5070, 1, 1),
        ("198.51.100.3", 5060, 2, 1),
    ]


def test_a_name_is_resolved_once_at_load(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def getaddrinfo(host: str, port: None, **how: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(0, 0, 0, "", ("198.51.100.7", 0)), (0, 0, 0, "", ("198.51.100.8", 0))] * 2

    monkeypatch.setattr(gateway_start.socket, "getaddrinfo", getaddrinfo)
    resolved, findings = resolve_targets(configuration(gateway("a", Target(address="sip.example.net:5070", weight=2))))
    assert findings == []
    (route,) = build_routing(resolved, generation=1).gateways
    assert route.targets == (
        TargetRoute("198.51.100.7", 5070, 0, 0, 2, "sip.example.net:5070"),
        TargetRoute("198.51.100.8", 5070, 0, 0, 2, "sip.example.net:5070"),
    )
    assert asked == ["sip.example.net"]


def test_written_ips_keep_the_resolver_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(gateway_start.socket, "getaddrinfo")
    target = Target(address="sip.example.net", ips=("198.51.100.9",))
    resolved, findings = resolve_targets(configuration(gateway("a", target)))
    assert findings == []
    assert resolved.gateways[0].targets == (target,)


def test_more_targets_than_the_core_can_try() -> None:
    targets = [Target(address=f"198.51.100.{n}") for n in range(65)]
    assert resolve_targets(configuration(gateway("a", *targets[:64])))[1] == []
    (finding,) = resolve_targets(configuration(gateway("a", *targets)))[1]
    assert (finding.key, finding.why) == ("gateway[a].targets", "are 65 addresses, at most 64")


def test_every_name_that_is_unknown_is_told() -> None:
    names = ("one.invalid", "two.invalid")
    _, findings = resolve_targets(configuration(gateway("a", *(Target(address=name) for name in names))))
    assert {finding.severity for finding in findings} == {"warning"}
    assert [finding.key for finding in findings] == ["gateway[a].targets[0].address", "gateway[a].targets[1].address"]


def test_labels_are_utf8_in_the_order_of_the_file() -> None:
    labels = (Label(name="b", text="疑似骚扰"), Label(name="a", text="Spam?"))
    routing = build_routing(Configuration(listeners=LISTENERS, labels=labels), generation=1)
    assert routing.labels == ("疑似骚扰".encode(), b"Spam?")


def test_a_resolver_that_is_away_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    away = threading.Event()

    def getaddrinfo(*what: object, **how: object) -> list[object]:
        away.wait(20)
        return []

    monkeypatch.setattr(gateway_start.socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(gateway_start, "START_S", 0.05)
    resolved, (finding,) = resolve_targets(configuration(gateway("a", Target(address="sip.example.net"))))
    away.set()
    assert finding.severity == "warning"
    assert build_routing(resolved, generation=1).gateways[0].targets == ()


def test_srv_priorities_and_weights_stand_within_those_of_the_file() -> None:
    (route,) = build_routing(
        configuration(
            gateway(
                "a",
                Target(address="198.51.100.1", priority=2),
                Target(address="sip.example.net", priority=1, weight=3),
            )
        ),
        generation=1,
    ).gateways
    found = (
        Destination("udp", "198.51.100.7", 5070, 20, 0),
        Destination("udp", "198.51.100.8", 5071, 10, 5),
        Destination("udp", "2001:db8::8", 5071, 10, 5),
        Destination("tcp", "198.51.100.9", 5071, 10, 5),
    )
    targets = route.with_names([replace(route.names[0], known=found)])
    assert [(t.ip, t.port, t.listener, t.priority, t.weight) for t in targets] == [
        ("198.51.100.8", 5071, 0, 0, 15),
        ("2001:db8::8", 5071, 1, 0, 15),
        ("198.51.100.7", 5070, 0, 1, 3),
        ("198.51.100.1", 5060, 0, 2, 1),
    ]


def test_prefixes_of_a_trunk_go_before_those_of_all() -> None:
    routing = build_routing(
        Configuration(
            listeners=LISTENERS,
            gateways=(gateway("a", Target(address="198.51.100.1")), gateway("b", Target(address="198.51.100.2"))),
            trunks=(trunk("north", "a"), trunk("south", "a")),
            routes=(
                Route(prefix="+8620", gateways=("b", "a")),
                Route(prefix="+8620", trunks=("south",), gateways=("a", "b")),
            ),
        ),
        generation=1,
    )
    assert {(t, prefix): routing.routes[route] for t, prefix, route in routing.prefixes} == {
        (0, "+8620"): (1, 0),
        (1, "+8620"): (0, 1),
    }
