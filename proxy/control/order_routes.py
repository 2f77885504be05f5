"""Operators' orders over HTTP: POST /v1/decisions gives, DELETE withdraws, /v1/decisions/orders lists them."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from proxy.control.decisions import Decision
from proxy.control.order_request import priority_of, read_order, subject_of
from proxy.control.orders import Orders
from proxy.control.store import Store
from proxy.control.store_thread import StoreThread, StoreUnavailable

MOST_LISTED = 10_000


def refusal(why: StoreUnavailable) -> web.Response:
    """What the store cannot keep is not acknowledged: 507 for want of room, else 503 (RFC 4918 section 11.5)."""
    return web.json_response({"error": str(why)}, status=507 if why.full else 503)


class OrderRoutes:
    def __init__(self, orders: Orders, thread: StoreThread, now_s: Callable[[], float]) -> None:
        self._orders = orders
        self._thread = thread
        self._now_s = now_s

    def reading(self) -> list[web.RouteDef]:
        return [web.get("/v1/decisions/orders", self._list)]

    def commands(self) -> list[web.RouteDef]:
        return [web.post("/v1/decisions", self._give), web.delete("/v1/decisions/{number}", self._withdraw)]

    async def _give(self, request: web.Request) -> web.Response:
        no_room = self._orders.no_room
        try:
            wanted = read_order(await request.read(), self._now_s(), self._orders.trunks)
            given = await self._orders.give(wanted)
        except ValueError as why:
            return web.json_response({"error": str(why)}, status=400)
        except StoreUnavailable as why:
            return refusal(why)
        if self._orders.no_room > no_room:
            why_not = "stored, but the table of orders is full: raise capacity.orders and restart"
            return web.json_response({"error": why_not}, status=507)
        words = [self._orders.shown(one, just_given=True) for one in given]
        return web.json_response({"decisions": words}, status=201)

    async def _withdraw(self, request: web.Request) -> web.Response:
        """?namespace=: whose order, the operator's by default."""
        namespace = request.query.get("namespace", "operator")
        try:
            priority_of(namespace)
            subject = subject_of(request.match_info["number"], self._orders.trunks)
            ended = await self._orders.withdraw(namespace, [subject])
        except ValueError as why:
            return web.json_response({"error": str(why)}, status=400)
        except StoreUnavailable as why:
            return refusal(why)
        return web.json_response({"decisions": self._shown(ended)}, status=200 if ended else 404)

    async def _list(self, request: web.Request) -> web.Response:
        """?number=: of one number or prefix; else all that are not withdrawn, newest first, at most MOST_LISTED."""
        number = request.query.get("number")
        try:
            subject = None if number is None else subject_of(number, self._orders.trunks)
            found = await self._thread.do(lambda store: _listed(store, subject))
        except ValueError as why:
            return web.json_response({"error": str(why)}, status=400)
        except StoreUnavailable as why:
            return refusal(why)
        return web.json_response({"decisions": self._shown(found)})

    def _shown(self, decisions: list[Decision]) -> list[dict[str, object]]:
        return [self._orders.shown(one) for one in decisions]


def _listed(store: Store, subject: tuple[int, int] | None) -> list[Decision]:
    if subject is not None:
        return store.decisions.effective(*subject)
    return store.decisions.standing(MOST_LISTED)
