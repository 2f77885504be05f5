"""What a node counts itself: told when it has risen or a minute later, and looked at in pieces."""

from __future__ import annotations

from proxy.control.sync.decay import LANDMARK_MS
from proxy.control.sync.metrics import Metric
from proxy.control.sync.own import KEYS_AT_ONCE, REPAIR_MS, TELL_AFTER_MS, OwnEvidence

NOW_MS = LANDMARK_MS + 30 * 86_400_000
KEYS = [1 << 60 | 1_000_000 + at for at in range(KEYS_AT_ONCE * 5 // 2)]


def round_of(own: OwnEvidence, now_ms: int, calls: int = 3) -> list[list[int]]:
    """The keys that each piece says are due."""
    own.begin_round()
    return [[key for key, _ in own.take_waiting(now_ms)] for _ in range(calls)]


def counted() -> OwnEvidence:
    own = OwnEvidence()
    for key in KEYS:
        for _ in range(20):
            own.add(key, Metric.CALLS, NOW_MS)
    assert len(own.take_due(NOW_MS)) == len(KEYS)
    return own


def test_a_round_looks_at_every_key_in_pieces() -> None:
    own = counted()
    assert round_of(own, NOW_MS + REPAIR_MS - 1) == [[], [], []]
    pieces = round_of(own, NOW_MS + REPAIR_MS)
    assert [len(piece) for piece in pieces] == [KEYS_AT_ONCE, KEYS_AT_ONCE, KEYS_AT_ONCE // 2]
    assert sorted(key for piece in pieces for key in piece) == KEYS
    assert round_of(own, NOW_MS + REPAIR_MS) == [[], [], []]


def test_what_rose_a_little_is_told_a_minute_later() -> None:
    own = counted()
    own.add(KEYS[7], Metric.CALLS, NOW_MS)
    assert own.take_due(NOW_MS + 1) == []
    assert round_of(own, NOW_MS + TELL_AFTER_MS - 1) == [[], [], []]
    assert [key for piece in round_of(own, NOW_MS + TELL_AFTER_MS) for key in piece] == [KEYS[7]]


def test_a_round_under_way_goes_on_and_passes_over_what_is_forgotten() -> None:
    own = counted()
    own.begin_round()
    first = own.take_waiting(NOW_MS + REPAIR_MS)
    own.forget(KEYS[0])
    pieces = round_of(own, NOW_MS + REPAIR_MS)
    met = {key for key, _ in first} | {key for piece in pieces for key in piece}
    assert met == set(KEYS[1:])
