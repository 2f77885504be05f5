"""Nodes of a fleet at work in this process, around a real broker."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from proxy.control.hybrid_clock import HybridClock
from proxy.control.sync.mqtt import BrokerAddress
from proxy.control.sync.node import Identity, Node
from proxy.control.sync.session import Session, wall_ms
from proxy.control.sync.trust import Member, Parameters
from tests.live.programs import LOOPBACK
from tests.proxy.sync.fleet import FLEET, LOOSE, ROOT, bundle_of, private_key

LIVES = iter(range(1, 1_000_000))


def make_node(name: str, members: Sequence[Member], parameters: Parameters = LOOSE, mesh: bool = True) -> Node:
    trust, raw = bundle_of(members, parameters)
    identity = Identity(FLEET, name, private_key(name), ROOT.public_key(), mesh)
    return Node(identity, trust, raw, next(LIVES), HybridClock(0), wall_ms())


@asynccontextmanager
async def at_work(node: Node, port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Session]:
    session = Session(node, BrokerAddress(LOOPBACK, port, f"callsieve-{node.identity.name}", tls))
    task = asyncio.create_task(session.run())
    try:
        yield session
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"waited {timeout_s:g} s in vain: {what}")


def roots(nodes: Sequence[Node]) -> set[tuple[bytes, int]]:
    return {(node.replica.evidence.digest.roots(), node.replica.decisions.hash) for node in nodes}
