"""POST /v1/subscribers: keeps what subscribers have changed. The command then puts it into the tables."""

from __future__ import annotations

import msgspec
from aiohttp import web

from proxy.control.order_routes import refusal
from proxy.control.store_thread import StoreThread, StoreUnavailable
from proxy.control.subscriber_store import OwnEntry, Wishes

MOST_CHANGES = 10_000


class _Change(msgspec.Struct):
    wishes: list[Wishes]
    entries: list[OwnEntry]


class SubscriberRoutes:
    def __init__(self, thread: StoreThread) -> None:
        self._thread = thread

    def commands(self) -> list[web.RouteDef]:
        return [web.post("/v1/subscribers", self._keep)]

    async def _keep(self, request: web.Request) -> web.Response:
        try:
            change = msgspec.json.decode(await request.read(), type=_Change)
        except msgspec.DecodeError as why:
            return web.json_response({"error": f"the request is not understood: {why}"}, status=400)
        if len(change.wishes) + len(change.entries) > MOST_CHANGES:
            return web.json_response({"error": f"at most {MOST_CHANGES} changes at once"}, status=400)
        try:
            await self._thread.do(lambda store: store.subscribers.put(change.wishes, change.entries))
        except StoreUnavailable as why:
            return refusal(why)
        return web.json_response({"kept": len(change.wishes) + len(change.entries)})
