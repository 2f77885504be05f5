"""Orders about protected numbers and trunks: in force on no node before two authorities have signed the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engine._orders import OrderTable
from engine.number_words import caller_word
from engine.rules import ListAction, NumberList
from proxy.config import Configuration
from proxy.control.decisions import Act, Decision, Kind
from proxy.control.orders import Orders
from proxy.control.protected_numbers import ProtectedNumbers
from proxy.control.store import Store
from proxy.control.store_thread import StoreThread
from proxy.control.trunk_keys import TrunkKeys
from proxy.logs import open_log
from tests.proxy.sync.fleet import Fleet, Weather, block, mesh_of, number

BANK, CALLER = number(8695588), number(8613900000000)
LOG = open_log("test")


def fleet_of(count: int = 3, weather: Weather | None = None) -> Fleet:
    fleet = mesh_of(count, weather=weather)
    for name in list(fleet.nodes):
        fleet.start(name, is_protected=lambda one: one.key == BANK)
    fleet.run(2)
    return fleet


def standing(fleet: Fleet) -> int:
    """On how many nodes the bank is blocked."""
    found = [node.replica.decisions.get(block(BANK, 0).identity) for node in fleet.nodes.values()]
    return sum(one is not None and not one.tomb for one in found)


def test_one_authority_blocks_callers_and_no_bank() -> None:
    fleet = fleet_of()
    fleet.decide("node-1", block(BANK, fleet.hlc()))
    fleet.decide("node-1", block(CALLER, fleet.hlc()))
    fleet.decide("node-1", block(BANK, fleet.hlc() + 1))  # signing twice is signing once
    fleet.run(90)
    assert standing(fleet) == 0
    assert all(CALLER in {one.key for one in fleet.applied[name]} for name in ("node-2", "node-3"))
    assert all(BANK not in {one.key for one in applied} for applied in fleet.applied.values())


def test_two_authorities_block_it_everywhere_and_for_who_joins_later() -> None:
    fleet = fleet_of()
    fleet.decide("node-1", block(BANK, fleet.hlc()))
    fleet.run(2)
    fleet.decide("node-2", block(BANK, fleet.hlc()))
    fleet.run(2)
    assert standing(fleet) == 3
    assert all(BANK in {one.key for one in applied} for applied in fleet.applied.values())
    fleet.start("node-3", is_protected=lambda one: one.key == BANK)
    fleet.run(40)
    assert standing(fleet) == 3
    assert len(fleet.roots()) == 1


@pytest.mark.parametrize("other", [{"act": Act.BLOCK, "prio": 3}, {"act": Act.ALLOW}])
def test_two_that_do_not_mean_the_same_are_not_two(other: dict[str, int]) -> None:
    fleet = fleet_of()
    fleet.decide("node-1", block(BANK, fleet.hlc()))
    fleet.run(2)
    fleet.decide("node-2", block(BANK, fleet.hlc(), **other))
    fleet.run(60)
    found = [node.replica.decisions.get(block(BANK, 0).identity) for node in fleet.nodes.values()]
    assert all(one is None or one.act is not Act.BLOCK for one in found)


def test_a_withdrawn_signature_does_not_count() -> None:
    fleet = fleet_of()
    fleet.decide("node-1", block(BANK, fleet.hlc()))
    fleet.run(2)
    fleet.decide("node-1", block(BANK, fleet.hlc(), tomb=True))
    fleet.run(2)
    fleet.decide("node-2", block(BANK, fleet.hlc()))
    fleet.run(60)
    assert standing(fleet) == 0


def test_a_signature_that_was_lost_is_told_again() -> None:
    fleet = fleet_of()
    fleet.broker.weather = Weather(loss=1.0)
    fleet.decide("node-1", block(BANK, fleet.hlc()))
    fleet.run(2)
    fleet.broker.weather = Weather()
    fleet.run(35)
    assert len(fleet.nodes["node-2"].replica.decisions.waiting()) == 1
    fleet.broker.weather = Weather(loss=1.0)
    fleet.decide("node-2", block(BANK, fleet.hlc()))
    fleet.run(2)
    fleet.broker.weather = Weather()
    fleet.run(70)
    assert standing(fleet) == 3


def test_what_was_acknowledged_is_durable_and_not_in_force(tmp_path: Path) -> None:
    async def scene() -> None:
        thread = StoreThread(lambda: Store(tmp_path / "store.db"), LOG)
        table = OrderTable(tmp_path / "orders.tbl", 256)
        orders = Orders(thread, table, TrunkKeys(lambda: ()), lambda: 1_795_000_000.0, LOG)
        orders.needs_second = lambda one: one.key == BANK
        orders.signer = 7
        (given,) = await orders.give([block(BANK, 0)])
        assert table.read(BANK, 1_795_000_000_000_000) is None
        assert orders.shown(given, just_given=True)["waits"]
        thread.close()

    asyncio.run(scene())
    again = Store(tmp_path / "store.db")
    assert [(one.key, one.signer) for one in again.proposals.all()] == [(BANK, 7)]
    assert list(again.decisions.all()) == []
    again.close()


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("+8613800138000", False),
        ("CN:95588", True),
        ("CN:95*", True),
        ("CN:9*", True),
        ("CN:110", True),
        ("+442079460000", True),
        ("+4420794600001", False),
        ("+442*", True),
        ("+8675512*", True),
        ("+86755123456", True),
        ("+86755*", True),
        ("+86756*", False),
    ],
)
def test_which_numbers_need_two(text: str, needs: bool, tmp_path: Path) -> None:
    (tmp_path / "bank.txt").write_text("# head office\n+8675512*\n")
    configuration = Configuration(
        lists=(NumberList(name="b", action=ListAction.PROTECTED, numbers=("+442079460000",), file="bank.txt"),)
    )
    protected = ProtectedNumbers(lambda: (1, configuration), tmp_path)
    key, digits = caller_word(text)
    decision = Decision("operator", Kind.PREFIX if digits else Kind.EXACT, key, Act.BLOCK, 2, 1)
    assert protected.needs_second(decision) is needs
    assert not protected.needs_second(Decision("operator", decision.kind, key, Act.ALLOW, 2, 1))


def test_trunks_need_two() -> None:
    protected = ProtectedNumbers(lambda: (1, Configuration()), Path())
    assert protected.needs_second(Decision("operator", Kind.TRUNK, 4 << 60 | 5, Act.BLOCK, 2, 1))
