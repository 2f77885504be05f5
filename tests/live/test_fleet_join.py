"""M5: an empty node joins over a line of 50 Mbit/s, with real processes and calls all the while."""

from __future__ import annotations

import sys
import time
from array import array
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from engine._orders import OrderTable
from engine._reputation import ReputationCache
from proxy.fleet_files import write_private_key
from tests.abuse.size import FULL, size
from tests.live.fleet_top import LINK_BYTES_PER_S, ORDERS, entry
from tests.live.mosquitto import Mosquitto
from tests.live.node import CONFIGURATION, ENVIRONMENT, LISTED, ROOT, Node
from tests.live.programs import Ports, Program, wait_until
from tests.live.sipp import SippFactory
from tests.proxy.sync.fleet import FLEET, number, private_key
from tests.proxy.sync.fleet import ROOT as ROOT_KEY

ENTRIES = size(50_000, 20_000_000)
SAMPLE = 10_000
ORDERS_S = 5.0
FULL_S = 90.0
PATIENCE_S = size(90.0, 300.0)

TABLE = """
[fleet]
enabled = true
name = "{name}"
node = "joiner"
mode = "tree"
broker = "127.0.0.1:{broker}"
root = "{root}"
key = "fleet/node.key"
trust = "fleet/trust.bundle"
"""


class Neighbours:
    """A judge with a full table behind a broker and a slow line."""

    def __init__(self, directory: Path, ports: Ports, stack: ExitStack) -> None:
        self.link = ports.tcp()
        place = directory / "fleet"
        place.mkdir()
        write_private_key(place / "node.key", private_key("joiner"))
        broker = stack.enter_context(Mosquitto(directory / "broker", ports))
        top = self._python("fleet_top", directory, broker.port, ENTRIES, place / "trust.bundle")
        stack.enter_context(top).wait_for("full", size(60.0, 300.0))
        line = self._python("slow_link", directory, self.link, broker.port, LINK_BYTES_PER_S)
        stack.enter_context(line).wait_for("carrying", 30.0)

    def _python(self, module: str, directory: Path, *arguments: object) -> Program:
        argv = [sys.executable, "-m", f"tests.live.{module}", *map(str, arguments)]
        return Program(argv, directory, module, {**ENVIRONMENT, "PYTHONPATH": str(ROOT)})


def test_m5_an_empty_node_joins_while_it_serves(
    start_node: Callable[..., Node], ports: Ports, sipp: SippFactory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as stack:
        entries = array("Q", map(entry, range(ENTRIES)))
        sample = entries[:: ENTRIES // SAMPLE]
        neighbours = Neighbours(tmp_path, ports, stack)
        root = ROOT_KEY.public_key().public_bytes_raw().hex()
        more = TABLE.format(name=FLEET, broker=neighbours.link, root=root)
        base = CONFIGURATION.replace("reputation = 10000", f"reputation = {2 * ENTRIES}")
        node = start_node(ports.udp(), base=base, more=more, calls_a_minute=100_000)
        begun_s = time.monotonic()
        sipp.callee(port=node.gateway_port)
        orders = OrderTable.attach(node.state / "tables" / "orders.tbl")
        reputation = ReputationCache.attach(node.state / "tables" / "reputation.tbl")

        def ordered() -> bool:
            now_us = time.time_ns() // 1000
            return all(orders.read(number(at), now_us) is not None for at in range(ORDERS))

        def known(numbers: array[int]) -> bool:
            return all(points > 0 for points in reputation.read_many(numbers, time.time_ns() // 1000))

        def screened() -> None:
            rejected = sipp.caller(node.port, "rejected", caller=LISTED, status=403, calls=5, rate=50)
            accepted = sipp.caller(node.port, calls=5, rate=50)
            assert (rejected.wait(), accepted.wait()) == (0, 0), (rejected.tail(), accepted.tail())

        def full() -> bool:
            screened()
            return known(sample) and all(known(entries[at : at + SAMPLE]) for at in range(0, ENTRIES, SAMPLE))

        wait_until(ordered, "orders to be in force", PATIENCE_S)
        orders_s = time.monotonic() - begun_s
        wait_until(full, "every verdict to be in force", PATIENCE_S)
        full_s = time.monotonic() - begun_s
    with capsys.disabled():
        print(f"\nm5: {ENTRIES} entries: orders after {orders_s:.1f} s, everything after {full_s:.1f} s")
    assert not FULL or (orders_s <= ORDERS_S and full_s <= FULL_S)
