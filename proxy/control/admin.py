"""The HTTP side: console, metrics and API on the admin address, API and commands on control.sock.

Without a token the admin address only reads; with one it takes commands too. Who may open control.sock may do both.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from proxy.control.access import BODY_BYTES, Access, guarded_by
from proxy.control.admin_site import BoundedSite
from proxy.control.console_pages import add_security_headers, console_routes
from proxy.control.intake import EventIntake
from proxy.control.recent import KEPT, RecentDecisions
from proxy.control.reload import Reloader
from proxy.events import VerdictTally

_KEEP_ALIVE_S = 15.0
_LINGER_S = 2.0  # what still comes of a body that was refused is read so long, so that the answer arrives


class AdminServer:
    """status, counters: the bodies of /v1/status and /v1/counters, made anew for each request.

    reading, commands: further routes; those that change something are served where commands are. reports: those that
    ask for a token of their own.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        intake: EventIntake,
        reloader: Reloader,
        workers: int,
        *,
        status: Callable[[], dict[str, Any]],
        counters: Callable[[], dict[str, Any]],
        recent: RecentDecisions,
        access: Access,
        reading: Sequence[web.RouteDef] = (),
        commands: Sequence[web.RouteDef] = (),
        reports: Sequence[web.RouteDef] = (),
    ) -> None:
        self._registry = registry
        self._intake = intake
        self._reloader = reloader
        self._workers = workers
        self._status = status
        self._counters = counters
        self._recent = recent
        self._access = access
        self._reading = reading
        self._commands = commands
        self._reports = reports
        self._runners: list[web.AppRunner] = []
        self._site: BoundedSite | None = None

    async def open(self, address: socket.socket | None, control_socket: Path) -> None:
        """address: a listening TCP socket, None = only the local one."""
        if address is not None:
            await self._open_address(address)
        control_socket.unlink(missing_ok=True)
        local = await self._runner(web.Application(), [*self._read_routes(), *self._command_routes()])
        await web.UnixSite(local, str(control_socket)).start()
        os.chmod(control_socket, 0o660)

    async def close(self) -> None:
        if self._site is not None:
            self._site.stop()
        for runner in self._runners:
            await runner.cleanup()

    async def _open_address(self, address: socket.socket) -> None:
        self._site = BoundedSite(address)
        guard = guarded_by(self._access, self._site.asked)
        app = web.Application(middlewares=[guard], client_max_size=BODY_BYTES + 1)
        app.on_response_prepare.append(add_security_headers)
        commands = self._command_routes() if self._access.token is not None else []
        runner = await self._runner(app, [*console_routes(), *self._read_routes(), *commands])
        assert runner.server is not None
        await self._site.start(runner.server)

    def _read_routes(self) -> list[web.RouteDef]:
        return [
            web.get("/metrics", self._metrics),
            web.get("/healthz", self._healthz),
            web.get("/v1/status", self._get_status),
            web.get("/v1/counters", self._get_counters),
            web.get("/v1/decisions", self._get_decisions),
            *self._reading,
            *self._reports,
        ]

    def _command_routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/reload", self._reload), *self._commands]

    async def _runner(self, app: web.Application, routes: list[web.RouteDef]) -> web.AppRunner:
        app.add_routes(routes)
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=2, keepalive_timeout=_KEEP_ALIVE_S, lingering_time=_LINGER_S
        )
        await runner.setup()
        self._runners.append(runner)
        return runner

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _healthz(self, _: web.Request) -> web.Response:
        """200 while every worker is there with the configuration in force."""
        ready = self._intake.ready
        healthy = ready >= self._workers
        body = {"status": "ok" if healthy else "degraded", "workers_ready": ready, "workers": self._workers}
        return web.json_response(body, status=200 if healthy else 503)

    async def _get_status(self, _: web.Request) -> web.Response:
        return web.json_response(self._status(), dumps=_json)

    async def _get_counters(self, _: web.Request) -> web.Response:
        return web.json_response(self._counters(), dumps=_json)

    async def _get_decisions(self, request: web.Request) -> web.Response:
        """?limit=N: the newest N, 100 by default."""
        wanted = request.query.get("limit", "100")
        if not (wanted.isascii() and wanted.isdigit() and 1 <= int(wanted[:9]) <= KEPT):
            return web.json_response({"error": f"limit: a number from 1 to {KEPT}"}, status=400)
        return web.Response(body=self._recent.newest(int(wanted)), content_type="application/json")

    async def _reload(self, _: web.Request) -> web.Response:
        outcome = await self._reloader.reload()
        status = 200 if outcome.succeeded else 422
        return web.Response(body=msgspec.json.encode(outcome), status=status, content_type="application/json")


def _json(body: dict[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False)


def status_of(
    node: str, version: str, started_s: float, intake: EventIntake, reloader: Reloader, workers: int
) -> dict[str, Any]:
    """What /v1/status says of a node."""
    return {
        "node": node,
        "healthy": intake.ready >= workers and all(row.served for link in intake.workers for row in link.certificates),
        "version": version,
        "generation": intake.current,
        "uptime_s": round(time.time() - started_s, 3),
        "loaded_at_s": round(reloader.last_success_s, 3),
        "reloads": {"success": reloader.succeeded, "failure": reloader.failed},
        "events_dropped": sum(intake.dropped.values()),
        "workers": [
            {
                "worker": link.worker,
                "pid": link.pid,
                "generation": link.generation,
                "targets": [msgspec.to_builtins(target) for target in link.targets],
            }
            for link in intake.workers
        ],
        "certificates": [
            {"worker": link.worker, **msgspec.to_builtins(certificate)}
            for link in intake.workers
            for certificate in link.certificates
        ],
        "plugins": [
            {"program": link.program, "worker": link.worker, "pid": link.pid, "generation": link.generation}
            for link in intake.plugins
        ],
    }


def counters_of(tally: VerdictTally, workers: dict[int, dict[str, int]]) -> dict[str, Any]:
    """What /v1/counters says: screened calls by verdict, ended ones by status, and each worker's own counters."""
    verdicts = [
        {"action": action, "basis": basis, "calls": count}
        for (action, basis), count in tally.verdicts().items()
        if count
    ]
    return {"verdicts": verdicts, "ended": tally.ended_calls(), "workers": workers}
