"""What control keeps for good, put together: the store and its thread, operators' orders, their routes and figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from aiohttp import web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from engine._orders import OrderTable
from proxy.config import Configuration
from proxy.control.order_routes import OrderRoutes
from proxy.control.orders import Orders
from proxy.control.store import FILE_NAME, Store
from proxy.control.store_thread import StoreThread
from proxy.logs import Log
from proxy.state_directory import StateDirectory


class Durable(Collector):
    def __init__(self, configuration: Configuration, state: StateDirectory, log: Log) -> None:
        table = OrderTable(state.tables / "orders.tbl", configuration.capacity.orders)
        self.thread = StoreThread(lambda: Store(state.path / FILE_NAME), log)
        self.orders = Orders(self.thread, table, time.time, log)
        self._order_routes = OrderRoutes(self.orders, self.thread, time.time)
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._running = asyncio.create_task(self.orders.run())

    def close(self) -> None:
        if self._running is not None:
            self._running.cancel()
        self.thread.close()

    def reading(self) -> list[web.RouteDef]:
        return self._order_routes.reading()

    def commands(self) -> list[web.RouteDef]:
        return self._order_routes.commands()

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("callsieve_store_failing", "Whether the store cannot be written", self.thread.failing)
        yield CounterMetricFamily(
            "callsieve_store_refused", "Requests refused because the disk did not keep them", self.thread.refused
        )
        yield CounterMetricFamily("callsieve_store_batches", "Transactions of the store", self.thread.batches)
        yield GaugeMetricFamily(
            "callsieve_orders_without_room", "Orders that capacity.orders has no room for", self.orders.no_room
        )
