"""R: crash, recovery, time. Processes killed at any moment, files cut and with bits flipped, clocks that jump."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from engine._reputation import ReputationCache
from proxy.control.decisions import Act, Decision, Kind
from proxy.control.order_request import text_of
from proxy.control.store import Store
from proxy.control.store_recovery import backup, faults_of, last_good, open_or_recover
from proxy.logs import open_log
from tests.abuse.size import FULL, size
from tests.live.control_socket import Writers
from tests.live.node import Node
from tests.live.programs import Ports, wait_until
from tests.live.sipp import Sipp, SippFactory

LOG = open_log("test")
PAGE_BYTES = 4096
FIRST = 1 << 60 | 18613800000000  # +8613800000000
RATE = 20  # calls a second of one caller
TALK_MS = 50
GIVE_UP_MS = size(8000, 32_000)  # of a call that was open at the dead worker
BACK_S = 1.0


@pytest.fixture
def softswitch(node: Node, sipp: SippFactory) -> Sipp:
    return sipp.callee(port=node.gateway_port)


# R1: one worker


def reporting(node: Node) -> set[int]:
    """The workers that serve."""
    return {worker["pid"] for worker in json.loads(node.get("/v1/status")[1])["workers"]}


def begun_at(callers: list[Sipp]) -> set[str | None]:
    """The calls that have been sent. Read in a hurry: the processor is wanted for the worker's start."""
    return {call for caller in callers for call in re.findall(r"^Call-ID: (\S+)", caller.trace(), re.MULTILINE)}


def ended_at(callers: list[Sipp]) -> set[str | None]:
    """The calls whose BYE was answered."""
    answers = (one for caller in callers for one in caller.received(200))
    return {one.get("Call-ID") for one in answers if str(one.get("CSeq")).endswith("BYE")}


def test_r1_a_worker_is_killed_and_the_others_serve(
    start_node: Callable[..., Node], ports: Ports, sipp: SippFactory
) -> None:
    """Of the calls that were under way at the dead one some fail; nobody else's do, and none that come later."""
    node = start_node(ports.udp(), workers=2, calls_a_minute=100_000)
    softswitch = sipp.callee("uas_patient", port=node.gateway_port)
    victim, survivor = node.workers()
    calls = size(100, 400)
    callers = [
        sipp.caller(node.port, calls=calls, rate=RATE, talk_ms=TALK_MS, give_up_ms=GIVE_UP_MS) for _ in range(4)
    ]
    wait_until(lambda: len(softswitch.received("INVITE")) > calls // 2, "calls to be under way")
    begun_s = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    begun = begun_at(callers)
    wait_until(lambda: len(reporting(node) - {victim}) == 2, "the worker to be back", 30)
    away_s = time.monotonic() - begun_s
    assert survivor in reporting(node), "nobody else ends"
    for program in callers:
        program.wait(90)
    failed = begun_at(callers) - ended_at(callers)
    print(f"r1: the worker was back after {away_s:.2f} s; {len(failed)} of {4 * calls} calls failed")
    assert failed <= begun, "only calls that were under way"
    assert not FULL or away_s <= BACK_S
    later = sipp.caller(node.port, calls=10)
    assert later.wait() == 0, later.tail()


# R2: everything, and what was acknowledged


@pytest.fixture
def writers(node: Node) -> Iterator[Writers]:
    running = Writers(node.state / "control.sock")
    yield running
    running.stop()


def missing(node: Node, writers: Writers) -> tuple[set[str], set[str]]:
    """What was acknowledged and is not in the store."""
    with closing(Store.read_only(node.state / "store.db")) as store:
        ordered = {text_of(one.key) for one in store.decisions.all()}
        complained = {text_of(one.caller) for one in store.complaints.all()}
        assert store.faulty == 0
    return writers.ordered - ordered, writers.complained - complained


def more_than(numbers: set[str], seen: int) -> None:
    wait_until(lambda: len(numbers) > seen, "more to be acknowledged", 30)


def test_r2_control_killed_again_and_again_loses_nothing_acknowledged(node: Node, writers: Writers) -> None:
    dice = random.Random(5)
    for _ in range(size(8, 200)):
        more_than(writers.ordered, len(writers.ordered))
        time.sleep(dice.uniform(0, 0.2))
        with suppress(ValueError, ProcessLookupError):
            os.kill(node.control(), signal.SIGKILL)
    wait_until(node.healthy, "control to be back", 30)
    writers.stop()
    print(f"r2: {len(writers.ordered)} orders, {len(writers.complained)} complaints acknowledged, none missing")
    assert missing(node, writers) == (set(), set())


def test_r2_every_process_killed_at_once_loses_nothing_acknowledged(
    node: Node, softswitch: Sipp, sipp: SippFactory, writers: Writers
) -> None:
    wait_until(lambda: len(writers.complained) > 50, "complaints to be acknowledged", 30)
    for pid in (node.pid, node.control(), *node.workers()):
        os.kill(pid, signal.SIGKILL)
    node.wait()
    writers.stop()
    for table in ("orders.tbl", "reputation.tbl"):
        (node.state / "tables" / table).unlink()
    begun_s = time.monotonic()
    node.start_again()
    print(f"r2: serving again after {time.monotonic() - begun_s:.2f} s, the program's start included")
    assert missing(node, writers) == (set(), set())
    blocked = sorted(writers.ordered)[-1]
    wait_until(lambda: "block" in node.command("decisions", blocked).stdout, "control to answer")
    rejected = sipp.caller(node.port, "rejected", caller=blocked, status=403)
    assert rejected.wait() == 0, rejected.tail()
    complained = sorted(writers.complained)[-1]
    known = json.loads(node.command("lookup", complained, "--json").stdout)["reputation"]
    assert [one["complaints"] for one in known if one["of"] == complained] == [1], "made anew from the store"


# R3: files that are not as they were written


def decisions(count: int) -> list[Decision]:
    return [
        Decision("operator", Kind.EXACT, FIRST + number, Act.BLOCK, 2, 1000 + number, reason="x" * 50)
        for number in range(count)
    ]


def written(folder: Path, orders: list[Decision], copied: int = 0) -> bytes:
    """The bytes of a closed store with these orders; the first of them are in the last good copy too."""
    path = folder / "store.db"
    with closing(Store(path)) as store:
        with store.batch():
            store.decisions.merge(orders[:copied])
        if copied:
            backup(path, last_good(path))
        with store.batch():
            store.decisions.merge(orders[copied:])
    return path.read_bytes()


def recovered(path: Path) -> list[Decision]:
    with closing(open_or_recover(path, LOG)) as store:
        return sorted(store.decisions.all(), key=lambda one: one.hlc)


@pytest.mark.parametrize("damage", ["flip", "truncate"])
def test_r3_a_store_damaged_at_each_page(tmp_path: Path, damage: str) -> None:
    """What the copy has is never lost, what was written after it as far as it is whole; nothing is ever made up."""
    orders = decisions(size(120, 2000))
    copied = len(orders) // 2
    whole = written(tmp_path, orders, copied)
    good = last_good(tmp_path / "store.db").read_bytes()
    dice = random.Random(7)
    noticed = 0
    for page in range(len(whole) // PAGE_BYTES):
        folder = tmp_path / f"{damage}-{page}"
        folder.mkdir()
        path = folder / "store.db"
        last_good(path).write_bytes(good)
        path.write_bytes(flipped(whole, page, dice) if damage == "flip" else whole[: page * PAGE_BYTES])
        found = recovered(path)
        assert set(found) <= set(orders), page
        assert set(orders[:copied]) <= set(found), page
        noticed += bool(list(folder.glob("store.db.damaged-*")))
        assert faults_of(path) == []
    assert noticed


def flipped(whole: bytes, page: int, dice: random.Random) -> bytes:
    at = page * PAGE_BYTES + dice.randrange(PAGE_BYTES)
    return whole[:at] + bytes([whole[at] ^ 1 << dice.randrange(8)]) + whole[at + 1 :]


@pytest.mark.parametrize("damage", ["flip", "truncate"])
def test_r3_a_journal_damaged_at_each_page(tmp_path: Path, damage: str) -> None:
    """Of the journal counts what is whole up to the damage: whole transactions, in their order."""
    orders = decisions(size(30, 300))
    store = Store(tmp_path / "store.db")
    for order in orders:
        with store.batch():
            store.decisions.merge([order])
    main, journal = (Path(f"{store.path}{end}").read_bytes() for end in ("", "-wal"))
    store.close()
    dice = random.Random(11)
    for page in range(len(journal) // PAGE_BYTES):
        folder = tmp_path / f"{damage}-{page}"
        folder.mkdir()
        path = folder / "store.db"
        path.write_bytes(main)
        damaged = flipped(journal, page, dice) if damage == "flip" else journal[: page * PAGE_BYTES]
        Path(f"{path}-wal").write_bytes(damaged)
        found = recovered(path)
        assert found == orders[: len(found)], page


def test_r3_a_store_that_is_not_one_and_no_copy(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(os.urandom(10_000))
    assert recovered(path) == []
    assert len(list(tmp_path.glob("store.db.damaged-*"))) == 1


# R5: time


def test_r5_a_clock_that_goes_back_makes_no_score_grow(tmp_path: Path) -> None:
    cache = ReputationCache(tmp_path / "reputation.tbl", 1024)
    number, now_us = FIRST, 1_795_521_600_000_000
    cache.add(number, now_us, 200, True)
    for shift_s in (-3600, -30, 0, 30):
        standing = cache.read(number, now_us + shift_s * 1_000_000)
        assert standing is not None and abs(standing.points - 200) <= 1
    cache.add(number, now_us - 3600 * 1_000_000, 0, True)
    standing = cache.read(number, now_us)
    assert standing is not None and (standing.complaints, abs(standing.points - 200) <= 1) == (2, True)
