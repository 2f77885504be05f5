"""Rows of group M that stand in no other file: leases of those who may not lend, bombs in memory, the audit trail."""

from __future__ import annotations

import tracemalloc
import zlib
from pathlib import Path

import pytest

from proxy.control.decisions import Decision
from proxy.control.store import Store
from proxy.control.sync.lease_terms import pulse_key
from proxy.control.sync.node import Node
from proxy.control.sync.records import Demand, Lease
from proxy.control.sync.trust import Role
from tests.abuse.size import size
from tests.proxy.sync.fleet import FLEET, Fleet, block, member, number

TOPIC = f"callsieve/1/{FLEET}"
MEGABYTE = 1 << 20


def fleet_of_two() -> Fleet:
    fleet = Fleet([member(1, "node-1"), member(2, "node-2", Role.PROXY)])
    fleet.run(2)
    return fleet


def test_m7_a_proxy_lends_nothing_and_wants_nothing_in_anothers_name() -> None:
    fleet = fleet_of_two()
    victim, liar = fleet.nodes["node-1"], fleet.nodes["node-2"]
    pulse = Lease(pulse_key(fleet.trust.bundle.salt), 1, 1, 10_000, 1 << 62, 0)
    (lease,) = liar.outbound.sealer.leases([pulse], fleet.hlc(), 1)
    victim.on_frame(lease.topic, lease.payload, fleet.now_ms)
    (demand,) = liar.outbound.sealer.demands([Demand(pulse.key, 1, 1, 1, 1)], fleet.hlc(), 1)
    victim.on_frame(f"{TOPIC}/up/one/node-1/lend", demand.payload, fleet.now_ms)
    assert victim.counts["refused: role"] == 1
    assert victim.counts["refused: owner"] == 1
    assert victim.limits.borrower.term < 1 << 62


def test_m8_a_lease_that_comes_again_is_dropped() -> None:
    fleet = fleet_of_two()
    lender, borrower = fleet.nodes["node-1"], fleet.nodes["node-2"]
    pulses = [Lease(pulse_key(fleet.trust.bundle.salt), nodes, 1, 10_000, 9, 0) for nodes in (5, 50)]
    first, second = [next(lender.outbound.sealer.leases([pulse], fleet.hlc(), 1)) for pulse in pulses]
    for message in (first, second, first):
        borrower.on_frame(message.topic, message.payload, fleet.now_ms)
    assert borrower.counts["refused: replay"] == 1
    assert borrower.limits.borrower.unlent_parts(fleet.now_ms) == (1 << 20) // (20 * 50)


def refusals(node: Node) -> int:
    return sum(count for why, count in node.counts.items() if why.startswith("refused"))


@pytest.mark.parametrize(
    "payload",
    [
        bytes(size(32, 256) * MEGABYTE),
        b"\x93\xc4\xff" + b"\x91" * 60_000,
        zlib.compress(bytes(60 * MEGABYTE), 9)[:65_000],
        b"\xdd\xff\xff\xff\xff" + b"\x90" * 60_000,
    ],
    ids=["huge", "deep", "zlib", "array that lies"],
)
def test_m9_a_bomb_takes_no_memory_and_changes_nothing(payload: bytes) -> None:
    fleet = fleet_of_two()
    node, before = fleet.nodes["node-1"], fleet.roots()
    earlier = refusals(node)
    tracemalloc.start()
    try:
        for branch in ("up/one/node-2/0", "dec/operator", "key", "rs/node-1", "sum/node-2"):
            node.on_frame(f"{TOPIC}/{branch}", payload, fleet.now_ms)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEGABYTE
    assert refusals(node) - earlier == 5
    assert fleet.roots() == before


@pytest.mark.parametrize("first", ["block", "withdrawal"])
def test_m10_both_of_two_contrary_orders_are_in_the_audit_trail(tmp_path: Path, first: str) -> None:
    orders: list[Decision] = [block(number(10086), 1000), block(number(10086), 2000, tomb=True)]
    store = Store(tmp_path / "store.db")
    with store.batch():
        for order in orders if first == "block" else reversed(orders):
            store.decisions.merge([order])
    trail = [order for _, order in store.decisions.trail(10)]
    standing = store.decisions.get(*orders[1].identity)
    store.close()
    assert sorted(trail, key=lambda order: order.hlc) == orders
    assert standing == orders[1]
