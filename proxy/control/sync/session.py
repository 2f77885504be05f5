"""A node at work: its ticks, its connection to the broker, and both again after every failure."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from proxy.control.sync.mqtt import BrokerAddress, BrokerConnection, BrokerLost, Connect, connect
from proxy.control.sync.node import Node
from proxy.control.sync.topics import Outgoing

TICK_S = 0.25
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
TURN_S = 0.005  # of frames one after the other; then others have the event loop


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Session:
    """on_tick: called after each tick, on the loop, to put into force what came. on_link: told of its changes."""

    def __init__(
        self,
        node: Node,
        address: BrokerAddress,
        *,
        on_tick: Callable[[int], None] = lambda now_ms: None,
        on_link: Callable[[bool, str], None] = lambda up, why: None,
        now_ms: Callable[[], int] = wall_ms,
        connect: Connect = connect,
    ) -> None:
        self.node = node
        self.connected = False
        self._address = address
        self._on_tick = on_tick
        self._on_link = on_link
        self._now_ms = now_ms
        self._connect = connect
        self._connection: BrokerConnection | None = None
        self._publishing: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._subscribed: list[tuple[str, int, bool]] = []
        self._trust_version = 0  # by which the subscriptions are

    def hurry(self) -> None:
        """Something is to be told at once."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tick_for_ever())
            tasks.create_task(self._connect_for_ever())

    async def _tick_for_ever(self) -> None:
        while True:
            self._wake.clear()
            now_ms = self._now_ms()
            for message in self.node.on_tick(now_ms):
                self._publish(message)
            await self._follow_trust()
            self._on_tick(now_ms)
            try:
                async with asyncio.timeout(TICK_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _follow_trust(self) -> None:
        """A new bundle may bring members whose heads this node listens to."""
        if self.node.trust.version == self._trust_version:
            return
        self._trust_version = self.node.trust.version
        wanted, connection = self.node.subscriptions(), self._connection
        more = [each for each in wanted if each not in self._subscribed]
        if more and connection is not None:
            self._subscribed = wanted
            try:
                await connection.subscribe(more)
            except BrokerLost:
                self._subscribed, self._trust_version = [], 0

    async def _connect_for_ever(self) -> None:
        backoff_s = FIRST_BACKOFF_S
        while True:
            try:
                async with self._connect(self._address, self.node.on_connecting(self._now_ms())) as connection:
                    backoff_s = FIRST_BACKOFF_S
                    await self._serve(connection)
            except BrokerLost as lost:
                self._lose(str(lost))
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))
            backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)

    async def _serve(self, connection: BrokerConnection) -> None:
        self._subscribed = self.node.subscriptions()
        self._trust_version = self.node.trust.version
        await connection.subscribe(self._subscribed)
        self._connection = connection
        self.connected = True
        self.node.on_connected(self._now_ms())
        self._on_link(True, "")
        self.hurry()
        try:
            turn_ends = time.monotonic() + TURN_S
            async for topic, payload in connection.messages():
                self.node.on_frame(topic, payload, self._now_ms())
                if self.node.is_urgent:
                    self.hurry()
                if time.monotonic() >= turn_ends:
                    await asyncio.sleep(0)
                    turn_ends = time.monotonic() + TURN_S
        finally:
            self._connection = None

    def _lose(self, why: str) -> None:
        was_connected, self.connected = self.connected, False
        self.node.on_disconnected()
        if was_connected or why:
            self._on_link(False, why)

    def _publish(self, message: Outgoing) -> None:
        task = asyncio.create_task(self._publish_one(message))
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)

    async def _publish_one(self, message: Outgoing) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            await connection.publish(message)
        except BrokerLost:
            self.node.outbound.pacing.over_quota()
        self.node.outbound.pacing.acknowledged()
        if self.node.outbound.has_anything(self._now_ms()):
            self.hurry()
