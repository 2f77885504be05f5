"""The HTTP side: metrics and read-only API on the admin address, the same and commands on control.sock."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from proxy.control.intake import EventIntake
from proxy.control.reload import Reloader


class AdminServer:
    """status: the body of /v1/status, made anew for each request."""

    def __init__(
        self,
        registry: CollectorRegistry,
        intake: EventIntake,
        reloader: Reloader,
        workers: int,
        status: Callable[[], dict[str, Any]],
    ) -> None:
        self._registry = registry
        self._intake = intake
        self._reloader = reloader
        self._workers = workers
        self._status = status
        self._runners: list[web.AppRunner] = []

    async def open(self, address: socket.socket | None, control_socket: Path) -> None:
        """address: a listening TCP socket, None = only the local one."""
        if address is not None:
            await web.SockSite(await self._runner(self._read_routes()), address).start()
        control_socket.unlink(missing_ok=True)
        commands = [*self._read_routes(), web.post("/v1/reload", self._reload)]
        await web.UnixSite(await self._runner(commands), str(control_socket)).start()
        os.chmod(control_socket, 0o660)

    async def close(self) -> None:
        for runner in self._runners:
            await runner.cleanup()

    def _read_routes(self) -> list[web.RouteDef]:
        return [
            web.get("/metrics", self._metrics),
            web.get("/healthz", self._healthz),
            web.get("/v1/status", self._get_status),
        ]

    async def _runner(self, routes: list[web.RouteDef]) -> web.AppRunner:
        app = web.Application()
        app.add_routes(routes)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
        await runner.setup()
        self._runners.append(runner)
        return runner

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _healthz(self, _: web.Request) -> web.Response:
        """200 while every worker is there with the configuration in force."""
        ready = [link for link in self._intake.workers if link.generation == self._intake.current]
        healthy = len(ready) >= self._workers
        body = {"status": "ok" if healthy else "degraded", "workers_ready": len(ready), "workers": self._workers}
        return web.json_response(body, status=200 if healthy else 503)

    async def _get_status(self, _: web.Request) -> web.Response:
        return web.json_response(self._status(), dumps=lambda body: json.dumps(body, ensure_ascii=False))

    async def _reload(self, _: web.Request) -> web.Response:
        outcome = await self._reloader.reload()
        status = 200 if outcome.succeeded else 422
        return web.Response(body=msgspec.json.encode(outcome), status=status, content_type="application/json")


def status_of(node: str, version: str, started_s: float, intake: EventIntake, reloader: Reloader) -> dict[str, Any]:
    """What /v1/status says of a node."""
    return {
        "node": node,
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
    }
