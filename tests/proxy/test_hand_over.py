"""What workers pass to one another."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.hand_over import HandOver, Passed


@pytest.mark.parametrize(
    "passed",
    [
        Passed(False, 0, "192.0.2.1", 5060, 0, b"INVITE"),
        Passed(True, 3, "2001:db8::1", 65535, 255 << 24 | 7, b""),
        Passed(False, 15, "::", 1, 1, bytes(range(256)) * 255, 4095),
    ],
)
def test_everything_arrives_as_it_was(tmp_path: Path, passed: Passed) -> None:
    one, other = HandOver(tmp_path, 0), HandOver(tmp_path, 1)
    assert one.send(1, passed)
    assert (other.receive(), other.receive(), one.receive()) == (passed, None, None)


def test_a_worker_that_is_not_there_takes_nothing(tmp_path: Path) -> None:
    assert not HandOver(tmp_path, 0).send(1, Passed(False, 0, "192.0.2.1", 5060, 0, b""))


def test_a_worker_that_starts_again_takes_its_place_back(tmp_path: Path) -> None:
    first = HandOver(tmp_path, 0)
    second = HandOver(tmp_path, 0)
    assert HandOver(tmp_path, 1).send(0, Passed(False, 0, "192.0.2.1", 5060, 0, b"x"))
    assert first.receive() is None and second.receive() is not None
