"""The state directory: the secret, the lock, and generations that appear whole."""

from pathlib import Path

import pytest

from proxy.config import Configuration, Node
from proxy.state_directory import AlreadyRunning, StateDirectory


class Policy:
    def __init__(self, data: bytes = b"image") -> None:
        self._data = data

    def write(self, path: Path) -> None:
        path.write_bytes(self._data)


class BrokenPolicy:
    def write(self, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    state = StateDirectory(tmp_path / "state")
    state.create()
    return state


def test_secret_is_made_once_and_private(state: StateDirectory) -> None:
    secret = state.secret()
    assert len(secret) == 32 and state.secret() == secret
    assert (state.path / "secret").stat().st_mode & 0o777 == 0o600


def test_short_secret_is_refused(state: StateDirectory) -> None:
    (state.path / "secret").write_bytes(b"short")
    with pytest.raises(OSError, match="does not hold 32 bytes"):
        state.secret()


def test_second_instance_is_told_who_is_there(state: StateDirectory) -> None:
    state.lock()
    with pytest.raises(AlreadyRunning, match=r"already running in .* \(process \d+\)"):
        state.lock()


def test_generations_come_into_force_one_by_one(state: StateDirectory) -> None:
    assert (state.current(), state.next_generation()) == (None, 1)
    for number in range(1, 6):
        state.write_generation(number, Configuration(node=Node(name=f"n{number}")), Policy())
        state.activate(number)
    assert (state.current(), state.next_generation()) == (5, 6)
    assert state.generations() == [3, 4, 5]
    assert state.configuration(4).node.name == "n4"
    assert state.policy_image(5).read_bytes() == b"image"


def test_going_back_keeps_what_is_newer(state: StateDirectory) -> None:
    for number in (1, 2):
        state.write_generation(number, Configuration(), Policy())
        state.activate(number)
    state.activate(1)
    assert (state.current(), state.generations(), state.next_generation()) == (1, [1, 2], 3)


def test_half_written_generation_is_none(state: StateDirectory) -> None:
    with pytest.raises(OSError):
        state.write_generation(1, Configuration(), BrokenPolicy())
    assert state.generations() == []
    state.write_generation(1, Configuration(), Policy())
    assert state.generations() == [1]
