"""The rule that tells a worker that stands still from one that is kept from running, on plain values."""

from __future__ import annotations

import os

import pytest

from proxy.watchdog import Standing, is_excused, standing_of


@pytest.mark.parametrize(
    ("state", "used_s", "excused"),
    [
        ("R", 1.0, False),  # spins
        ("R", 0.25, False),  # a quarter of a processor is enough to turn
        ("R", 0.15, True),  # ready to run, and others have the processor
        ("R", 0.0, True),
        ("S", 0.0, False),  # sleeps where it should not, or waits for a lock
        ("D", 0.0, True),  # waits for a disk
        ("T", 0.0, True),  # was stopped
        ("t", 0.0, True),  # is looked at by a debugger
        ("Z", 0.0, False),
    ],
)
def test_who_is_excused(state: str, used_s: float, excused: bool) -> None:
    seen = Standing("R", 5.0)
    assert is_excused(seen, Standing(state, 5.0 + used_s), 1.0) == excused


def test_the_share_is_of_the_time_that_has_passed() -> None:
    seen = Standing("R", 5.0)
    assert not is_excused(seen, Standing("R", 5.3), 1.0)
    assert is_excused(seen, Standing("R", 5.3), 2.0)


def test_how_a_process_stands() -> None:
    assert standing_of(os.getpid()).state == "R"
    assert standing_of(os.getpid()).cpu_s > 0.0
    assert standing_of(2**22 + 1) == Standing("Z", 0.0), "no process has this number"
