"""M1 and M2 with a process for each node, around one mosquitto: some are killed, the broker goes and comes back."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.abuse.size import size
from tests.live.mosquitto import Mosquitto
from tests.live.node import ENVIRONMENT, ROOT
from tests.live.programs import Ports, wait_until

NODES = size(4, 20)
NUMBERS = 50
PATIENCE_S = 180.0


class Process:
    """One node; `lives` counts its epochs."""

    def __init__(self, port: int, at: int) -> None:
        self._port = port
        self._at = at
        self._lives = 0
        self.start()

    def start(self) -> None:
        self._lives += 1
        numbers = (self._port, self._at, NODES, self._lives)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.fleet_process", *map(str, numbers)],
            env={**ENVIRONMENT, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, wish: str) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(wish + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def state(self) -> list[str]:
        """[connected, evidence digest, decisions, their hash, keys]"""
        return self.ask("state").split()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for end in (self._process.stdin, self._process.stdout):
            assert end is not None
            end.close()


@pytest.fixture
def broker(tmp_path: Path, ports: Ports) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker", ports) as running:
        yield running


@pytest.fixture
def fleet(broker: Mosquitto) -> Iterator[list[Process]]:
    with ExitStack() as stack:
        processes = []
        for at in range(1, NODES + 1):
            processes.append(Process(broker.port, at))
            stack.callback(processes[-1].kill)
        yield processes


def all_connected(fleet: list[Process]) -> bool:
    return all(process.state()[0] == "True" for process in fleet)


def have_come_to(fleet: list[Process], decisions: int, keys: int) -> bool:
    """Whether all know the same, and all of it."""
    (state, *others) = {tuple(process.state()[1:]) for process in fleet}
    return not others and (int(state[1]), int(state[3])) == (decisions, keys)


def talk(fleet: list[Process], rounds: int, dice: random.Random) -> tuple[set[int], int]:
    """Complaints and orders at random nodes; the numbers complained of and how many numbers were ordered of."""
    complained, ordered = set(), set()
    for turn in range(rounds):
        process, digits = dice.choice(fleet), 1000 + dice.randrange(NUMBERS)
        assert process.ask(f"complain {digits} person-{turn}") == "done"
        complained.add(digits)
        if turn % 10 == 0:
            assert process.ask(f"block {turn}") == "done"
            ordered.add(turn)
    return complained, len(ordered)


def test_m1_processes_around_one_broker(fleet: list[Process]) -> None:
    """One of them is killed in between: what it has said the others know, and it hears it from them."""
    dice = random.Random(1)
    wait_until(lambda: all_connected(fleet), "all to connect", PATIENCE_S)
    complained, ordered = talk(fleet, size(100, 2000), dice)
    wait_until(lambda: have_come_to(fleet, ordered, len(complained)), "all to be equal", PATIENCE_S)
    fleet[1].kill()
    fleet[1].start()
    wait_until(lambda: have_come_to(fleet, ordered, len(complained)), "the new life to know it all", PATIENCE_S)


def test_m2_the_broker_is_away(broker: Mosquitto, fleet: list[Process]) -> None:
    dice = random.Random(2)
    wait_until(lambda: all_connected(fleet), "all to connect", PATIENCE_S)
    broker.stop()
    wait_until(lambda: not any(process.state()[0] == "True" for process in fleet), "the loss to be seen", PATIENCE_S)
    begun_s = time.monotonic()
    complained, ordered = talk(fleet, size(100, 2000), dice)
    while time.monotonic() - begun_s < size(1.0, 600.0):
        more, _ = talk(fleet, 1, dice)
        complained |= more
        time.sleep(0.01)
    with broker.again():
        begun_s = time.monotonic()
        wait_until(lambda: have_come_to(fleet, ordered, len(complained)), "all to be equal", PATIENCE_S)
        print(f"m2: equal {time.monotonic() - begun_s:.1f} s after the broker is back")
