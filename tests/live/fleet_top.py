"""A judge with a full table and an authority with orders: python -m tests.live.fleet_top PORT ENTRIES BUNDLE

The trust bundle of these two and of a node that joins is written to the file BUNDLE.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from proxy.control.hybrid_clock import HybridClock
from proxy.control.sync.mqtt import BrokerAddress
from proxy.control.sync.node import Identity, Node
from proxy.control.sync.score import Band, Judgement, Why
from proxy.control.sync.session import Session, wall_ms
from proxy.control.sync.trust import Role
from proxy.control.sync.verdicts import TTL_S
from tests.live.programs import LOOPBACK
from tests.proxy.sync.fleet import FLEET, LOOSE, ROOT, block, bundle_of, member, number, private_key

LINK_BYTES_PER_S = 50_000_000 / 8
PACE_BYTES_PER_S = 0.9 * LINK_BYTES_PER_S  # MQTT and TCP need some of it
ORDERS = 100
FIRST = 86_130_00000_0000
SPREAD = 10_000_000_019  # a prime: no two entries have one number
MEMBERS = [
    member(1, "top", Role.TOP, "centre", 0),
    member(2, "office", Role.PROXY | Role.AUTHORITY, "centre", 1),
    member(3, "joiner", Role.PROXY, "branch", 0),
]


def entry(at: int) -> int:
    """Numbers as far from one another as callers are."""
    return number(FIRST + at * 6_700_417 % SPREAD)


def make(name: str) -> Node:
    trust, raw = bundle_of(MEMBERS, LOOSE)
    identity = Identity(FLEET, name, private_key(name), ROOT.public_key(), False, PACE_BYTES_PER_S)
    return Node(identity, trust, raw, 1, HybridClock(0), wall_ms())


def fill(node: Node, entries: int) -> None:
    """With verdicts as they are given, without the evidence: so it must not look at them again by itself."""
    node.replica.sweep = lambda tick, now_ms: []  # type: ignore[method-assign]
    now_ms = wall_ms()
    judgement, expires_s = Judgement(900, Band.BLOCK, Why.COMPLAINTS), now_ms // 1000 + TTL_S
    for at in range(entries):
        node.replica.verdicts.merge(entry(at), judgement, expires_s, 1, now_ms << 16, 1)


def sessions(port: int, nodes: list[Node]) -> list[Session]:
    return [Session(node, BrokerAddress(LOOPBACK, port, f"callsieve-{node.identity.name}")) for node in nodes]


async def main(port: int, entries: int) -> None:
    top, office = make("top"), make("office")
    fill(top, entries)
    office.decide([block(number(at), (wall_ms() << 16) + at) for at in range(ORDERS)], wall_ms())
    working = [asyncio.create_task(each.run()) for each in sessions(port, [top, office])]
    print("full", flush=True)
    await asyncio.gather(*working)


if __name__ == "__main__":
    Path(sys.argv[3]).write_bytes(bundle_of(MEMBERS, LOOSE)[1])
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
