"""The fleet over HTTP: GET /v1/fleet and /v1/fleet/digest; POST /v1/fleet/hold, /release and /trust."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.control.order_request import subject_of
from proxy.control.order_routes import refusal
from proxy.control.store_thread import StoreUnavailable
from proxy.control.sync.records import Refused
from proxy.control.sync.trust import Role

if TYPE_CHECKING:
    from proxy.control.fleet import FleetAtWork

NOT_IN_A_FLEET = "this node is in no fleet: fleet.enabled is false, or its log says why it could not begin"


class _NewTrust(msgspec.Struct):
    bundle: str  # hexadecimal


class _Second(msgspec.Struct):
    number: str
    namespace: str = "operator"


class FleetRoutes:
    """at_work: None while the node is in no fleet."""

    def __init__(self, at_work: Callable[[], FleetAtWork | None]) -> None:
        self._at_work = at_work

    def reading(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/fleet", self._answering(_status)),
            web.get("/v1/fleet/digest", self._answering(_digest)),
            web.get("/v1/fleet/waiting", self._answering(_waiting)),
        ]

    def commands(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/fleet/hold", self._answering(_hold)),
            web.post("/v1/fleet/release", self._answering(_release)),
            web.post("/v1/fleet/trust", self._trust),
            web.post("/v1/fleet/second", self._second),
        ]

    def _answering(self, answer: Callable[[FleetAtWork], dict[str, Any]]) -> Handler:
        async def handle(_: web.Request) -> web.Response:
            fleet = self._at_work()
            if fleet is None:
                return web.json_response({"error": NOT_IN_A_FLEET}, status=404)
            return web.json_response(answer(fleet))

        return handle

    async def _trust(self, request: web.Request) -> web.Response:
        fleet = self._at_work()
        if fleet is None:
            return web.json_response({"error": NOT_IN_A_FLEET}, status=404)
        try:
            raw = bytes.fromhex(msgspec.json.decode(await request.read(), type=_NewTrust).bundle)
            fleet.take_bundle(raw)
        except (ValueError, Refused) as why:
            return web.json_response({"error": f"no trust bundle of this fleet: {why}"}, status=400)
        return web.json_response({"version": fleet.node.trust.version})

    async def _second(self, request: web.Request) -> web.Response:
        fleet = self._at_work()
        if fleet is None:
            return web.json_response({"error": NOT_IN_A_FLEET}, status=404)
        if not fleet.node.member.has(Role.AUTHORITY):
            return web.json_response({"error": "this node is no authority of the fleet"}, status=403)
        try:
            wanted = msgspec.json.decode(await request.read(), type=_Second)
            given = await fleet.second(subject_of(wanted.number, fleet.orders.trunks), wanted.namespace)
        except ValueError as why:
            return web.json_response({"error": str(why)}, status=400)
        except StoreUnavailable as why:
            return refusal(why)
        if not given:
            why_not = "nothing that another authority has signed waits for this: callsieve fleet waiting"
            return web.json_response({"error": why_not}, status=404)
        return web.json_response({"decisions": [fleet.orders.shown(one) for one in given]})


def _waiting(fleet: FleetAtWork) -> dict[str, Any]:
    """Orders that count once a second authority has signed them."""
    node = fleet.node
    words = [
        fleet.orders.shown(one) | {"in_force": False, "signed_by": node.trust.name_of(one.signer)}
        for one in node.replica.decisions.waiting()
    ]
    return {"decisions": words}


def _status(fleet: FleetAtWork) -> dict[str, Any]:
    node = fleet.node
    now_ms = fleet.now_ms()
    return {
        "fleet": node.identity.fleet,
        "node": node.identity.name,
        "mode": "mesh" if node.identity.mesh else "tree",
        "connected": fleet.session.connected,
        "broker": fleet.link,
        "stale": node.is_stale(now_ms),
        "trust": node.trust.version,
        "decisions": len(node.replica.decisions),
        "decisions_that_need_a_second_signature": len(node.replica.decisions.waiting()),
        "decisions_not_yet_stored": fleet.effects.waiting,
        "keys": len(node.replica.evidence),
        "verdicts": len(node.replica.verdicts),
        "judges_disagree": node.replica.opinions.lasting(now_ms),
        "lender": _lender(fleet, now_ms),
        "backlog": node.outbound.backlog(),
        "holding": fleet.effects.breaker.holding,
        "held": sum(fleet.effects.held.values()),
        "counts": dict(sorted(node.counts.items())),
        "holds": _holds(fleet),
        "members": [_member(fleet, member.origin) for member in node.trust.members],
    }


def _holds(fleet: FleetAtWork) -> list[dict[str, Any]]:
    """What the circuit breaker holds, by source, and why."""
    held = fleet.effects.held
    return [
        {
            "source": source,
            "since": f"{datetime.fromtimestamp(hold.since_ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "held": held.get(source, 0),
            "callers": len(hold.callers),
            "why": hold.why,
        }
        for source, hold in fleet.effects.breaker.holds.items()
    ]


def _lender(fleet: FleetAtWork, now_ms: int) -> str | None:
    """Who divides the limits of the whole fleet now."""
    borrower = fleet.node.limits.borrower
    member = fleet.node.trust.by_origin(borrower.lender)
    return member.name if member is not None and borrower.is_lent_to(now_ms) else None


def _member(fleet: FleetAtWork, origin: int) -> dict[str, Any]:
    node = fleet.node
    member = node.trust.by_origin(origin)
    assert member is not None
    seen = node.inbound.statuses.get(origin)
    own = origin == node.member.origin
    return {
        "name": member.name,
        "region": member.region,
        "roles": " ".join(role.name.lower() for role in Role if member.has(role) and role.name),
        "up": fleet.session.connected if own else seen is not None and seen.up,
        "epoch": node.epoch if own else None if seen is None else seen.epoch,
        "backlog": node.outbound.backlog() if own else None if seen is None else seen.dirty,
    }


def _digest(fleet: FleetAtWork) -> dict[str, Any]:
    replica = fleet.node.replica
    return {
        "evidence": replica.evidence.digest.roots().hex(),
        "verdicts": replica.verdicts.digest.roots().hex(),
        "decisions": len(replica.decisions),
        "decision_hash": f"{replica.decisions.hash:016x}",
        "peers_that_differ": fleet.node.repair.differs(),
    }


def _hold(fleet: FleetAtWork) -> dict[str, Any]:
    fleet.effects.breaker.hold()
    return {"holding": True, "held": sum(fleet.effects.held.values())}


def _release(fleet: FleetAtWork) -> dict[str, Any]:
    return {"holding": False, "released": fleet.release()}
