"""Which message is to blame for dead workers, and what a worker leaves behind of its work."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.in_flight import QUARANTINE_BYTES, InFlight, Quarantine
from proxy.logs import open_log
from proxy.quarantine import Blame
from proxy.watchdog import shared_memory

LOG = open_log("test")
DEADLY = b"INVITE sip:a@b SIP/2.0\r\n\r\n"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def quarantine() -> Quarantine:
    return Quarantine()


@pytest.fixture
def blame(tmp_path: Path, quarantine: Quarantine, clock: Clock) -> Blame:
    return Blame(quarantine, tmp_path / "deadly", LOG, clock)


def test_two_deaths_within_a_minute(blame: Blame, quarantine: Quarantine, clock: Clock, tmp_path: Path) -> None:
    blame.died([b"innocent", DEADLY])
    clock.now_s += 59
    assert not quarantine.holds(DEADLY)
    blame.died([DEADLY, b"another"])
    assert quarantine.holds(DEADLY)
    assert not quarantine.holds(b"innocent") and not quarantine.holds(b"another") and not quarantine.holds(b"")
    assert [file.read_bytes() for file in (tmp_path / "deadly").iterdir()] == [DEADLY]


def test_deaths_far_apart_prove_nothing(blame: Blame, quarantine: Quarantine, clock: Clock) -> None:
    for _ in range(5):
        blame.died([DEADLY])
        clock.now_s += 61
    assert not quarantine.holds(DEADLY)


def test_a_message_that_is_twice_in_one_batch_is_blamed_once(blame: Blame, quarantine: Quarantine) -> None:
    blame.died([DEADLY, DEADLY])
    assert not quarantine.holds(DEADLY)


def test_the_oldest_gives_way(blame: Blame, quarantine: Quarantine, tmp_path: Path) -> None:
    messages = [b"message %d" % at for at in range(Quarantine.capacity + 3)]
    for message in messages:
        blame.died([message])
        blame.died([message])
    assert [quarantine.holds(message) for message in messages] == [False] * 3 + [True] * Quarantine.capacity
    assert len(list((tmp_path / "deadly").iterdir())) == Quarantine.capacity


@pytest.mark.parametrize("length", [0, 1, 7, 8, 63, 64, 65, 1500, 65535])
def test_every_byte_counts(quarantine: Quarantine, length: int) -> None:
    quarantine.set_key()
    message = bytes(at * 7 & 255 for at in range(length))
    quarantine.add(quarantine.digest(message))
    assert quarantine.holds(message)
    assert not quarantine.holds(message + b"\0")
    if length:
        assert not quarantine.holds(message[:-1])
        assert not quarantine.holds(message[:-1] + bytes([message[-1] ^ 1]))


def test_what_one_process_adds_another_sees() -> None:
    fd = shared_memory("test", QUARANTINE_BYTES)
    one, other = Quarantine(fd), Quarantine(fd)
    one.set_key()
    one.add(one.digest(DEADLY))
    assert other.holds(DEADLY)


def test_nothing_is_in_hand_at_first() -> None:
    in_flight = InFlight()
    assert in_flight.in_hand() == []
    in_flight.beat()
    assert in_flight.beats == 1
    in_flight.clear()
    assert in_flight.beats == 0
