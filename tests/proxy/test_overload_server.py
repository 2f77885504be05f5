"""From load to what clients are told (RFC 7339 section 5, RFC 7415 section 3.4)."""

from __future__ import annotations

import itertools

import pytest

from proxy.config import Overload
from proxy.overload_server import OverloadServer

NOW = 1_790_000_000_000_000
KEYS = [(i * 0x9E3779B97F4A7C15) & (2**64 - 1) for i in range(2000)]
WINDOW_US = 100_000


def refused_part(server: OverloadServer) -> float:
    return sum(server.refused(key) for key in KEYS) / len(KEYS)


def test_without_load_nothing_is_asked() -> None:
    server = OverloadServer()
    server.load(0.5, 0.0, NOW)
    assert server.told("loss")[:2] == (0, 0)
    assert refused_part(server) == 0


def test_load_settles_at_the_target() -> None:
    """Three times of what can be done is offered; a third of it is admitted in the end."""
    server = OverloadServer()
    for i in range(100):
        admitted = 1 - refused_part(server) * 0.8
        server.load(min(1.0, 3 * admitted * 0.9), 0.0, NOW + i * WINDOW_US)
    assert 1 - server.told("loss")[0] / 100 == pytest.approx(1 / 3, abs=0.1)
    for i in range(100, 200):
        server.load(0.1, 0.0, NOW + i * WINDOW_US)
    assert server.told("loss")[:2] == (0, 0)


def test_a_full_receive_buffer_is_load() -> None:
    server = OverloadServer()
    server.load(0.2, 1.0, NOW)
    assert server.told("loss")[0] == 50


def test_full_transactions_are_load() -> None:
    server = OverloadServer()
    server.occupy(0.9)
    assert server.told("loss")[0] == 50
    server.occupy(1.0)
    assert server.told("loss")[0] == 100
    assert all(server.refused(key) for key in KEYS)
    assert not any(server.refused(key, True) for key in KEYS)


def test_the_same_request_gets_the_same_answer() -> None:
    server = OverloadServer()
    server.occupy(0.9)
    first = [server.refused(key) for key in KEYS]
    assert first == [server.refused(key) for key in KEYS]
    assert refused_part(server) == pytest.approx(0.5 / 0.8, abs=0.05)


def test_o4_sequence_always_increases() -> None:
    server = OverloadServer()
    told = [server.told("loss")[2] for i in range(1000)]
    assert all(a < b for a, b in itertools.pairwise(told))


def test_a_client_under_rate_control_gets_its_share() -> None:
    server = OverloadServer()
    for i in range(10):
        server.note(100, clients=4)
        server.load(0.8, 0.0, NOW + i * WINDOW_US)
    assert server.told("rate")[:2] == (0, 0)
    server.note(100, clients=4)
    server.load(1.0, 1.0, NOW + 10 * WINDOW_US)
    assert server.told("rate")[:2] == (125, 1000)


def test_a_processor_target_of_one_never_refuses_by_the_processor() -> None:
    server = OverloadServer()
    server.configure(Overload(processor_target=1.0))
    for i in range(20):
        server.load(1.0, 0.1, NOW + i * WINDOW_US)
    assert refused_part(server) == 0
    server.load(1.0, 1.0, NOW + 20 * WINDOW_US)
    assert refused_part(server) > 0


def test_o1_of_what_cannot_be_borne_little_is_heard() -> None:
    server = OverloadServer()
    assert server.wanted(NOW) == 1.0
    for i in range(40):
        server.load(1.0, 1.0, NOW + i * WINDOW_US)
    now_us = NOW + 39 * WINDOW_US
    part = 1 - server.told("loss")[0] / 100
    assert part < server.wanted(now_us) < 2 * part, "a refusal for every few calls that are admitted"
    assert server.wanted(now_us + 3_000_000) == 1.0, "a load of long ago says nothing"


def test_o1_what_was_drawn_before_is_not_refused_again() -> None:
    server = OverloadServer()
    server.occupy(0.96)  # a fifth is admitted
    assert sum(server.refused(key) for key in KEYS) == len(KEYS)  # category 1 gives way for all
    server.heard = 0.2
    assert not any(server.refused(key, was_drawn=True) for key in KEYS)
    server.heard = 0.4
    assert sum(server.refused(key, was_drawn=True) for key in KEYS) / len(KEYS) == pytest.approx(0.5 / 0.8, abs=0.05)
