"""Caps on connections, and timeouts, on a fake clock."""

from __future__ import annotations

import pytest

from proxy.config import Streams
from proxy.stream_admission import Admission, Rate, Refusal, source_of
from proxy.stream_deadlines import Deadlines

LIMITS = Streams(
    max_connections=100,
    max_connections_per_source=10,
    new_connections_per_s=50,
    new_connections_per_source_per_s=20,
    new_tls_per_s=5,
    ban_s=10,
)


def admitted(admission: Admission, count: int, now_s: float, ip: str = "192.0.2.1", by_tls: bool = False) -> int:
    return sum(admission.admit(ip, by_tls, now_s) is None for _ in range(count))


def test_t2_connections_of_one_source_are_capped() -> None:
    admission = Admission(LIMITS)
    assert admitted(admission, 15, 0.0) == 10
    assert admission.admit("192.0.2.1", False, 0.0) is Refusal.SOURCE_FULL
    admission.release("192.0.2.1")
    assert admitted(admission, 5, 0.0) == 1


def test_t2_connections_in_all_are_capped() -> None:
    admission = Admission(LIMITS)
    taken = sum(admitted(admission, 10, float(second), f"192.0.2.{second}") for second in range(20))
    assert taken == 100 == admission.open
    assert admission.admit("198.51.100.1", False, 30.0) is Refusal.FULL


def test_t2_new_connections_a_second_are_capped_within_one() -> None:
    admission = Admission(LIMITS)
    taken = sum(admitted(admission, 1, 5 + i / 1000, f"192.0.{i // 250}.{i % 250}") for i in range(1000))
    assert abs(taken - 100) <= 1, "50 at once and 50 in the second that follows, up to the cap of 100"


def test_t2_tls_handshakes_are_capped_apart() -> None:
    admission = Admission(LIMITS)
    assert sum(admitted(admission, 1, 0.0, f"192.0.2.{i}", by_tls=True) for i in range(20)) == 5
    assert admitted(admission, 1, 0.0, "198.51.100.1") == 1


def test_t2_a_ban_expires_on_time() -> None:
    admission = Admission(LIMITS)
    for _ in range(20):
        assert admitted(admission, 1, 0.0) == 1
        admission.release("192.0.2.1")
    assert admission.admit("192.0.2.1", False, 0.0) is Refusal.SOURCE_TOO_FAST
    assert admission.admit("192.0.2.2", False, 0.0) is None
    for now_s in (0.0, 5.0, 9.999):
        assert admission.admit("192.0.2.1", False, now_s) is Refusal.BANNED
    assert admission.admit("192.0.2.1", False, 10.0) is None


@pytest.mark.parametrize(
    ("ip", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::"),
    ],
)
def test_sources(ip: str, source: str) -> None:
    assert source_of(ip) == source


def test_memory_of_sources_is_bounded() -> None:
    admission = Admission(Streams(max_connections=1_000_000, new_connections_per_s=1_000_000))
    for i in range(70_000):
        ip = f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}"
        assert admission.admit(ip, False, 0.0) is None
        if i:
            admission.release(ip)
    assert len(admission._sources) <= 65_537
    assert admission.open == 1
    admission.release("10.0.0.0")
    assert admission.open == 0


def test_a_rate_lets_through_what_it_says() -> None:
    rate = Rate(10)
    assert sum(rate.take(100.0) for _ in range(30)) == 10
    assert sum(rate.take(100.0 + i / 100) for i in range(1, 201)) == 20


def test_deadlines_fire_in_the_order_they_were_put() -> None:
    deadlines: Deadlines[str] = Deadlines(5.0)
    for second, item in enumerate("abc"):
        deadlines.put(item, float(second))
    deadlines.put("a", 3.0)
    deadlines.drop("c")
    deadlines.drop("never")
    assert deadlines.take_due(5.9) == []
    assert deadlines.take_due(6.0) == ["b"]
    assert "a" in deadlines
    assert deadlines.take_due(100.0) == ["a"]
    assert deadlines.take_due(100.0) == []
