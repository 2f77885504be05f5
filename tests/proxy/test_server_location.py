"""Order of NAPTR and SRV records, with fixed inputs."""

from __future__ import annotations

from collections import Counter
from itertools import cycle
from random import Random

import pytest

from proxy.server_location import Naptr, Service, Srv, order_srv, services_by_name, services_by_naptr

ALL = ("udp", "tcp", "tls", "ws", "wss")


def naptr(order: int, preference: int, service: str, flags: str = "s") -> Naptr:
    return Naptr(order, preference, flags, service, f"{service}.example.net")


def transports(services: list[Service]) -> list[str]:
    return [service.transport for service in services]


def test_naptr_order_and_preference_decide() -> None:
    records = [naptr(90, 50, "SIP+D2U"), naptr(50, 50, "SIPS+D2T"), naptr(90, 40, "SIP+D2T")]
    assert transports(services_by_naptr(records, ALL, secure=False)) == ["tls", "tcp", "udp"]


def test_naptr_names_where_the_srv_records_are() -> None:
    assert services_by_naptr([naptr(1, 1, "sip+d2u", "S")], ALL, secure=False) == [
        Service("udp", "sip+d2u.example.net")
    ]


@pytest.mark.parametrize(
    "record", [naptr(1, 1, "E2U+sip"), naptr(1, 1, "SIP+D2S"), naptr(1, 1, "SIP+D2U", "u"), naptr(1, 1, "SIP+D2T")]
)
def test_naptr_of_no_use_is_passed_over(record: Naptr) -> None:
    assert services_by_naptr([record], ("udp",), secure=False) == []


def test_sips_is_served_by_sips_services_only() -> None:
    records = [naptr(1, 1, "SIP+D2U"), naptr(2, 1, "SIP+D2T"), naptr(3, 1, "SIPS+D2T")]
    assert transports(services_by_naptr(records, ALL, secure=True)) == ["tls"]
    assert transports(services_by_name("example.net", ALL, secure=True)) == ["tls", "wss"]


def test_without_naptr_every_transport_has_its_srv_name() -> None:
    assert [service.srv_name for service in services_by_name("example.net", ALL, secure=False)] == [
        "_sip._udp.example.net",
        "_sip._tcp.example.net",
        "_sips._tcp.example.net",
        "_sip._ws.example.net",
        "_sips._ws.example.net",
    ]


def test_srv_priority_before_weight() -> None:
    records = [Srv(20, 100, 1, "c"), Srv(10, 1, 1, "a"), Srv(10, 99, 1, "b")]
    assert {record.target for record in order_srv(records, lambda most: most, 9)[:2]} == {"a", "b"}
    assert order_srv(records, lambda most: most, 9)[2].target == "c"


@pytest.mark.parametrize(("drawn", "first"), [(0, "zero"), (1, "ten"), (10, "ten"), (11, "twenty"), (30, "twenty")])
def test_srv_weight_is_drawn_from_the_running_sum(drawn: int, first: str) -> None:
    records = [Srv(1, 20, 1, "twenty"), Srv(1, 0, 1, "zero"), Srv(1, 10, 1, "ten")]
    draws = cycle([drawn, 0, 0])
    assert order_srv(records, lambda most: next(draws), 9)[0].target == first


def test_srv_weights_share_as_they_should() -> None:
    records = [Srv(1, 60, 1, "a"), Srv(1, 30, 1, "b"), Srv(1, 10, 1, "c")]
    random = Random(7)
    first = Counter(order_srv(records, lambda most: random.randint(0, most), 9)[0].target for _ in range(10_000))
    assert 5700 < first["a"] < 6300
    assert 2700 < first["b"] < 3300


def test_srv_all_weights_zero() -> None:
    records = [Srv(1, 0, 1, "a"), Srv(1, 0, 1, "b")]
    assert len(order_srv(records, lambda most: most, 9)) == 2


def test_srv_root_target_means_no_service() -> None:
    assert order_srv([Srv(0, 0, 0, "."), Srv(0, 0, 0, "")], lambda most: most, 9) == []


def test_srv_is_bounded() -> None:
    records = [Srv(i % 7, i, 5060, f"t{i}") for i in range(500)]
    ordered = order_srv(records, lambda most: most, 64)
    assert len(ordered) == 64
    assert [record.priority for record in ordered] == [0] * 64
