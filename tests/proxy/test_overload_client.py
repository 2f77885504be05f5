"""What next hops ask us to withhold (RFC 7339 sections 5.4, 5.5 and 7.2, RFC 7415 section 3.5)."""

from __future__ import annotations

import pytest

from proxy.overload_client import OverloadClient

HOP = ("198.51.100.20", 5060)
OTHER = ("198.51.100.20", 5080)
NOW = 1_790_000_000_000_000


def told(value: int, *, seq: str = "1.0", validity: int | None = 60_000, algo: str = "loss") -> bytes:
    validity_text = "" if validity is None else f";oc-validity={validity}"
    return f'SIP/2.0/UDP p;branch=z9hG4bK1;oc={value};oc-algo="{algo}"{validity_text};oc-seq={seq}'.encode()


def client() -> OverloadClient:
    return OverloadClient(bytes(range(8)))


def sent(
    control: OverloadClient, count: int, *, priority_every: int = 0, now_us: int = NOW, step_us: int = 1000
) -> tuple[float, float]:
    """The part of `count` requests that may go, of category 1 and of category 2."""
    passed, offered = [0, 0], [0, 0]
    for i in range(count):
        priority = bool(priority_every) and i % priority_every == 0
        offered[priority] += 1
        passed[priority] += control.may_send(*HOP, priority, now_us + i * step_us)
    return passed[0] / max(offered[0], 1), passed[1] / max(offered[1], 1)


def test_without_control_everything_goes() -> None:
    assert sent(client(), 100) == (1.0, 0.0)


@pytest.mark.parametrize("percent", [0, 10, 50, 90, 100])
def test_loss_withholds_the_percentage_of_all_requests(percent: int) -> None:
    control = client()
    control.hear(*HOP, told(percent), NOW)
    first, second = sent(control, 20_000, priority_every=5)
    assert 0.8 * first + 0.2 * second == pytest.approx(1 - percent / 100, abs=0.05)
    if percent <= 50:
        assert second == 1.0


def test_o5_category_2_gives_way_only_when_nothing_of_category_1_is_left() -> None:
    control = client()
    control.hear(*HOP, told(90), NOW)
    first, second = sent(control, 20_000, priority_every=5)
    assert first == pytest.approx(0.0, abs=0.02)
    assert second == pytest.approx(0.5, abs=0.1)


def test_state_is_by_address_and_port() -> None:
    control = client()
    control.hear(*OTHER, told(100), NOW)
    assert control.may_send(*HOP, False, NOW)
    assert not control.may_send(*OTHER, False, NOW)


@pytest.mark.parametrize(("validity", "lasts_ms"), [(None, 500), (1000, 1000), (0, 0)])
def test_o4_validity_is_obeyed(validity: int | None, lasts_ms: int) -> None:
    control = client()
    control.hear(*HOP, told(100, validity=validity), NOW)
    if lasts_ms:
        assert not control.may_send(*HOP, False, NOW + lasts_ms * 1000 - 1)
    assert control.may_send(*HOP, False, NOW + lasts_ms * 1000)


def test_o4_a_stale_or_equal_sequence_changes_nothing() -> None:
    control = client()
    control.hear(*HOP, told(100, seq="5.5"), NOW)
    for seq in ("5.5", "5.4", "1.0"):
        control.hear(*HOP, told(0, seq=seq, validity=0), NOW + 1)
        assert not control.may_send(*HOP, False, NOW + 2)
    control.hear(*HOP, told(0, seq="5.50001", validity=0), NOW + 1)
    assert control.may_send(*HOP, False, NOW + 2)


def test_a_server_that_counts_anew_is_heard_once_nothing_tardy_can_come() -> None:
    control = client()
    control.hear(*HOP, told(100, seq="1000.0", validity=500), NOW)
    control.hear(*HOP, told(100, seq="1.0"), NOW + 20_000_000)
    assert control.may_send(*HOP, False, NOW + 20_000_000)
    control.hear(*HOP, told(100, seq="1.0"), NOW + 40_000_000)
    assert not control.may_send(*HOP, False, NOW + 40_000_000)


@pytest.mark.parametrize("via", [told(101), told(50, algo="magic,loss,rate"), told(50).replace(b";oc=50", b"")])
def test_what_makes_no_sense_is_no_control(via: bytes) -> None:
    control = client()
    control.hear(*HOP, via, NOW)
    assert sent(control, 100)[0] == 1.0


def test_rate_is_kept_and_priority_may_burst_further() -> None:
    control = client()
    control.hear(*HOP, told(100, algo="rate", validity=600_000), NOW)
    burst = sum(control.may_send(*HOP, False, NOW) for _ in range(50))
    assert burst == 6
    assert sum(control.may_send(*HOP, True, NOW) for _ in range(50)) == 5
    first, _ = sent(control, 10_000, now_us=NOW + 10_000_000)
    assert first == pytest.approx(0.1, rel=0.02)


def test_rate_zero_means_nothing_at_all() -> None:
    control = client()
    control.hear(*HOP, told(0, algo="rate"), NOW)
    assert not control.may_send(*HOP, True, NOW + 1)


def test_many_next_hops_cost_no_more_room() -> None:
    control = client()
    for port in range(1, 5000):
        control.hear("203.0.113.7", port, told(100), NOW)
    assert not control.may_send("203.0.113.7", 4999, False, NOW)
