"""Complaints and their cases over HTTP: POST /v1/complaints, GET /v1/cases, GET and POST /v1/cases/{id}."""

from __future__ import annotations

import socket
from collections.abc import Callable

import msgspec
from aiohttp import web

from proxy.control.access import COMPLAINTS_PATH, Access
from proxy.control.case_clock import CaseClock
from proxy.control.case_record import case_shown, complaint_shown
from proxy.control.complaint import read_complaint
from proxy.control.complaint_store import STATES, Case
from proxy.control.complaints import OPERATOR, Complaints, Receipt, Taken
from proxy.control.order_routes import refusal
from proxy.control.store import Store
from proxy.control.store_thread import StoreThread, StoreUnavailable

_MOST_LISTED = 10_000
_STATUS = {Taken.NEW: 202, Taken.REPEATED: 202, Taken.SAME_CALL: 409, Taken.OVER_QUOTA: 429}


class ComplaintRoutes:
    def __init__(
        self,
        complaints: Complaints,
        thread: StoreThread,
        clock: CaseClock,
        access: Access,
        now_s: Callable[[], float],
    ) -> None:
        self._complaints = complaints
        self._thread = thread
        self._clock = clock
        self._access = access
        self._now_s = now_s

    def reports(self) -> list[web.RouteDef]:
        return [web.post(COMPLAINTS_PATH, self._take)]

    def reading(self) -> list[web.RouteDef]:
        return [web.get("/v1/cases", self._list), web.get(r"/v1/cases/{id:\d{1,15}}", self._show)]

    def commands(self) -> list[web.RouteDef]:
        return [web.post(r"/v1/cases/{id:\d{1,15}}", self._move)]

    async def _take(self, request: web.Request) -> web.Response:
        source = self._source(request)
        if source is None:
            return web.json_response({"error": "the token of a complaint source is required"}, status=401)
        if self._complaints.source_is_full(source):
            return web.json_response({"error": f"{source} has used up its complaints of today"}, status=429)
        try:
            receipt = await self._complaints.take(source, read_complaint(await request.read(), self._now_s()))
        except ValueError as why:
            return web.json_response({"error": str(why)}, status=400)
        except StoreUnavailable as why:
            return refusal(why)
        return web.json_response(_receipt_shown(receipt), status=_STATUS[receipt.taken])

    async def _list(self, request: web.Request) -> web.Response:
        """?all=1: closed ones too."""
        only_open = request.query.get("all") != "1"

        def listed(store: Store) -> dict[str, object]:
            return {"cases": [self._shown(store, one) for one in store.cases.latest(_MOST_LISTED, only_open=only_open)]}

        return await self._answer(listed)

    async def _show(self, request: web.Request) -> web.Response:
        case_id = int(request.match_info["id"])

        def show(store: Store) -> dict[str, object] | None:
            case = store.cases.get(case_id)
            if case is None:
                return None
            complaints = [complaint_shown(one) for one in store.complaints.of_case(case_id)]
            return self._shown(store, case) | {"complaints": complaints}

        return await self._answer(show)

    async def _move(self, request: web.Request) -> web.Response:
        """{"state": "forwarded"} or "closed"."""
        case_id, now_us = int(request.match_info["id"]), int(self._now_s() * 1_000_000)
        try:
            state = msgspec.json.decode(await request.read(), type=dict[str, str]).get("state", "")
        except msgspec.DecodeError:
            state = ""
        if state not in STATES:
            return web.json_response({"error": f"state: expected {', '.join(STATES)}"}, status=400)

        def move(store: Store) -> dict[str, object] | None:
            case = store.cases.move(case_id, state, now_us)
            return None if case is None else self._shown(store, case)

        return await self._answer(move)

    async def _answer(self, run: Callable[[Store], dict[str, object] | None]) -> web.Response:
        try:
            answer = await self._thread.do(run)
        except StoreUnavailable as why:
            return refusal(why)
        if answer is None:
            return web.json_response({"error": "there is no such case"}, status=404)
        return web.json_response(answer)

    def _shown(self, store: Store, case: Case) -> dict[str, object]:
        return case_shown(case, store.complaints.complainants(case.id), self._clock)

    def _source(self, request: web.Request) -> str | None:
        """Who holds the admin token, or may open control.sock, reports as the operator."""
        named = self._access.source_of(request)
        if named is not None or self._access.token is not None or _is_local(request):
            return named or OPERATOR
        return None


def _is_local(request: web.Request) -> bool:
    end = request.transport.get_extra_info("socket") if request.transport is not None else None
    return end is not None and end.family == socket.AF_UNIX


def _receipt_shown(receipt: Receipt) -> dict[str, object]:
    return {"case": receipt.case_id, "weight": receipt.weight, "taken": receipt.taken.value}


