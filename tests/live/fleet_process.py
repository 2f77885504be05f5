"""A node of a mesh in a process of its own, for a test: python -m tests.live.fleet_process PORT NUMBER MEMBERS EPOCH

Each line on standard input is a wish: `complain DIGITS PERSON`, `block DIGITS` or `state`; each has one line for an
answer, `state` the evidence digest, decisions and their hash, and the number of keys.
"""

from __future__ import annotations

import asyncio
import sys

from proxy.control.hybrid_clock import HybridClock
from proxy.control.sync.mqtt import BrokerAddress
from proxy.control.sync.node import Identity, Node
from proxy.control.sync.session import Session, wall_ms
from tests.live.programs import LOOPBACK
from tests.proxy.sync.fleet import FLEET, LOOSE, ROOT, block, bundle_of, member, number, private_key


def make(at: int, members: int, epoch: int) -> Node:
    trust, raw = bundle_of([member(each, f"node-{each}") for each in range(1, members + 1)], LOOSE)
    name = f"node-{at}"
    identity = Identity(FLEET, name, private_key(name), ROOT.public_key())
    return Node(identity, trust, raw, epoch, HybridClock(0), wall_ms())


def fulfil(node: Node, session: Session, wish: list[str]) -> str:
    match wish:
        case ["complain", digits, person]:
            node.complain(number(int(digits)), person, wall_ms())
        case ["block", digits]:
            node.decide([block(number(int(digits)), wall_ms() << 16)], wall_ms())
        case ["state"]:
            evidence, decisions = node.replica.evidence, node.replica.decisions
            digest = evidence.digest.roots().hex()
            return f"{session.connected} {digest} {len(decisions)} {decisions.hash} {len(evidence)}"
    session.hurry()
    return "done"


async def main(port: int, at: int, members: int, epoch: int) -> None:
    node = make(at, members, epoch)
    session = Session(node, BrokerAddress(LOOPBACK, port, f"callsieve-node-{at}"))
    working = asyncio.create_task(session.run())
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while wish := await lines.readline():
        print(fulfil(node, session, wish.decode().split()), flush=True)
    working.cancel()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
