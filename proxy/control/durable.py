"""What control keeps for good, put together: the store and its thread, orders, complaints, their routes and figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator
from typing import Any

from aiohttp import web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from engine._orders import OrderTable
from engine._reputation import ReputationCache
from proxy.config import Configuration
from proxy.control.access import Access
from proxy.control.call_index import CallIndex, CallWatch
from proxy.control.case_clock import CaseClock
from proxy.control.complaint_routes import ComplaintRoutes
from proxy.control.complaints import Complaints
from proxy.control.order_routes import OrderRoutes
from proxy.control.orders import Orders
from proxy.control.store import FILE_NAME
from proxy.control.store_recovery import backup, last_good, open_or_recover
from proxy.control.store_schema import StoreFault
from proxy.control.store_thread import StoreThread, StoreUnavailable
from proxy.control.subscriber_replay import replay_subscribers
from proxy.control.subscriber_routes import SubscriberRoutes
from proxy.control.trunk_keys import TrunkKeys
from proxy.events import EventBatch
from proxy.logs import Log
from proxy.state_directory import StateDirectory

_RETRY_S = 1.0
_COPY_S = 3600.0
_MOST_UNDER_WAY = 1000  # refusals by callees that wait for the store; more are lost and counted


class Durable(Collector):
    def __init__(self, configuration: Configuration, state: StateDirectory, access: Access, log: Log) -> None:
        capacity, settings = configuration.capacity, configuration.complaints
        points, key = configuration.reputation, state.node_key()
        table = OrderTable(state.tables / "orders.tbl", capacity.orders)
        calls = CallIndex(state.path / "calls.idx", settings.remembered_calls, key)
        reputation = ReputationCache(state.tables / "reputation.tbl", capacity.reputation, points.half_life_days)
        self._path = state.path / FILE_NAME
        self.thread = StoreThread(lambda: open_or_recover(self._path, log), log)
        self._log = log
        self.orders = Orders(self.thread, table, TrunkKeys(_ConfiguredTrunks(state)), time.time, log)
        sources = configuration.complaint_sources
        self.complaints = Complaints(self.thread, reputation, calls, settings, points, sources, key, time.time)
        clock = CaseClock.of(settings.forward_days, settings.answer_days, settings.holidays)
        self._order_routes = OrderRoutes(self.orders, self.thread, time.time)
        self._complaint_routes = ComplaintRoutes(self.complaints, self.thread, clock, access, time.time)
        self._subscriber_routes = SubscriberRoutes(self.thread)
        self._state = state
        self._watch = CallWatch(calls, self._on_unwanted)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._background(self.orders.run())
        self._background(self._copy_now_and_then())
        self._background(self._replay())

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self.thread.close()

    def watch(self, batch: EventBatch) -> None:
        self._watch.add(batch)

    def reading(self) -> list[web.RouteDef]:
        return [*self._order_routes.reading(), *self._complaint_routes.reading()]

    def commands(self) -> list[web.RouteDef]:
        return [
            *self._order_routes.commands(),
            *self._complaint_routes.commands(),
            *self._subscriber_routes.commands(),
        ]

    def reports(self) -> list[web.RouteDef]:
        return self._complaint_routes.reports()

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("callsieve_store_failing", "Whether the store cannot be written", self.thread.failing)
        refused = "Requests refused because the disk did not keep them"
        yield CounterMetricFamily("callsieve_store_refused", refused, self.thread.refused)
        yield CounterMetricFamily("callsieve_store_batches", "Transactions of the store", self.thread.batches)
        no_room = "Orders that capacity.orders has no room for"
        yield GaugeMetricFamily("callsieve_orders_without_room", no_room, self.orders.no_room)
        taken = CounterMetricFamily("callsieve_complaints", "Complaints by what became of them", labels=["taken"])
        for name, count in self.complaints.counts.items():
            taken.add_metric([name], count)
        yield taken
        lost = "Refusals by callees that the store did not keep"
        yield CounterMetricFamily("callsieve_complaints_lost", lost, self.complaints.lost)

    def _on_unwanted(self, call_id: bytes, caller: int, callee: int, time_us: int) -> None:
        if len(self._tasks) < _MOST_UNDER_WAY:
            self._background(self.complaints.refused_by_callee(call_id, caller, callee, time_us))
        else:
            self.complaints.lost += 1

    async def _replay(self) -> None:
        """What complaints are still worth goes into a reputation table that was made anew, once the store opens."""
        while True:
            try:
                await self.complaints.replay()
                await replay_subscribers(self.thread, self._state.tables, self._log)
                return
            except StoreUnavailable:
                await asyncio.sleep(_RETRY_S)

    async def _copy_now_and_then(self) -> None:
        """The last good copy, for the day on which the disk is not."""
        while True:
            await asyncio.sleep(_COPY_S)
            try:
                await asyncio.to_thread(backup, self._path, last_good(self._path))
            except (StoreFault, OSError) as why:
                self._log.warning("the store could not be copied", why=str(why))

    def _background(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _ConfiguredTrunks:
    """Names of the trunks that are configured now; read once a generation."""

    def __init__(self, state: StateDirectory) -> None:
        self._state = state
        self._generation: int | None = None
        self._names: list[str] = []

    def __call__(self) -> list[str]:
        generation = self._state.current()
        if generation is not None and generation != self._generation:
            self._names = [trunk.name for trunk in self._state.configuration(generation).trunks]
            self._generation = generation
        return self._names
