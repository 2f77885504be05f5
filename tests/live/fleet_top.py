"""A judge with a full table, to whom an authority has given orders: python -m tests.live.fleet_top PORT ENTRIES BUNDLE

The trust bundle of these two and of a node that joins is written to the file BUNDLE.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from itertools import chain
from operator import sub
from pathlib import Path

import msgspec

from proxy.control.hybrid_clock import HybridClock
from proxy.control.sync.key_set import KeySet
from proxy.control.sync.mqtt import BrokerAddress
from proxy.control.sync.node import Identity, Node
from proxy.control.sync.records import MAX_RECORDS
from proxy.control.sync.score import Band, Why
from proxy.control.sync.session import Session, wall_ms
from proxy.control.sync.trust import Role
from proxy.control.sync.verdicts import TTL_S
from tests.live.programs import LOOPBACK
from tests.proxy.sync.fleet import FLEET, LOOSE, ROOT, block, bundle_of, member, number, private_key

LINK_BYTES_PER_S = 50_000_000 / 8
PACE_BYTES_PER_S = 0.9 * LINK_BYTES_PER_S  # MQTT and TCP need some of it
ORDERS = 100
SCORE = 900
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
    """With a snapshot of verdicts, without the evidence: so it must not look at them again by itself."""
    node.replica.begin_sweep = lambda tick: None  # type: ignore[method-assign]
    now_ms, told = wall_ms(), KeySet()
    for start in range(0, entries, MAX_RECORDS):
        some = snapshot(sorted(map(entry, range(start, min(start + MAX_RECORDS, entries)))))
        node.replica.verdicts.take(some, now_ms // 1000, 1, now_ms << 16, 1, told)
        told.take(MAX_RECORDS)


def snapshot(keys: Sequence[int]) -> bytes:
    """V records that block these keys, which ascend."""
    steps = map(sub, keys, chain((0,), keys))
    return msgspec.msgpack.encode([(step, 0, SCORE, Band.BLOCK, Why.COMPLAINTS, TTL_S) for step in steps])


def order(top: Node, count: int) -> None:
    """Tells the judge what an authority has ordered, which has gone since."""
    office, now_ms = make("office"), wall_ms()
    orders = [block(number(at), (now_ms << 16) + at) for at in range(count)]
    for message, _ in office.outbound.sealer.signed_decisions(orders, now_ms << 16, top.trust.version):
        top.on_frame(message.topic, message.payload, now_ms)


async def main(port: int, entries: int) -> None:
    top = make("top")
    fill(top, entries)
    order(top, ORDERS)
    print("full", flush=True)
    await Session(top, BrokerAddress(LOOPBACK, port, "callsieve-top")).run()


if __name__ == "__main__":
    Path(sys.argv[3]).write_bytes(bundle_of(MEMBERS, LOOSE)[1])
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
