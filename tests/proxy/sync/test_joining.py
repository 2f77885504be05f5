"""Which shards a joining node asks for, and when it asks again."""

from __future__ import annotations

from proxy.control.sync.joining import AT_ONCE, SILENT_MS, Joining


def test_a_few_at_a_time_until_all_are_here() -> None:
    joining = Joining(range(10))
    now_ms, asked = 1000, []
    while not joining.is_done:
        some = joining.to_ask(now_ms)
        assert len(some) <= AT_ONCE and joining.to_ask(now_ms) == []
        asked += some
        joining.has(some)
    assert asked == list(range(10))


def test_a_shard_that_nobody_goes_on_with_is_asked_for_again() -> None:
    joining = Joining(range(10))
    assert joining.to_ask(0) == [0, 1, 2, 3]
    assert joining.to_ask(SILENT_MS - 1) == []
    assert joining.to_ask(SILENT_MS) == [0, 1, 2, 3]


def test_while_a_shard_comes_those_behind_it_are_not_asked_for_again() -> None:
    joining = Joining(range(10))
    assert joining.to_ask(0) == [0, 1, 2, 3]
    joining.heard(2, SILENT_MS - 1)
    assert joining.to_ask(SILENT_MS) == []
    assert joining.to_ask(2 * SILENT_MS - 1) == [0, 1, 2, 3]


def test_what_is_equal_is_not_asked_for() -> None:
    joining = Joining(range(10))
    joining.has([0, 1, 2, 4, 5, 6, 7, 8, 9])
    assert joining.to_ask(0) == [3]
    joining.has([3])
    assert joining.is_done and joining.to_ask(SILENT_MS) == []
