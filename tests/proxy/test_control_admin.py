"""The HTTP side of control: what each address serves, and metrics that Prometheus can read."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from engine.config_errors import ConfigFinding
from proxy.control.access import Access
from proxy.control.admin import AdminServer, counters_of, status_of
from proxy.control.call_log import LineLog, RotatingFile
from proxy.control.compile import CompileResult
from proxy.control.intake import EventIntake
from proxy.control.metrics import NodeMetrics
from proxy.control.recent import RecentDecisions
from proxy.control.reload import Reloader
from proxy.event_channel import EventSender, Hello, Target, Targets
from proxy.events import EventBatch, EventRecord, VerdictTally
from proxy.logs import open_log
from proxy.state_directory import StateDirectory
from tests.proxy.eventually import eventually

LOG = open_log("test")
NO_TOKEN = Access()


class Served:
    """The HTTP side of a node with one worker, and sessions to both of its addresses."""

    def __init__(self, path: Path, access: Access) -> None:
        state = StateDirectory(path)
        state.create()
        self.state = state
        self.tally = VerdictTally()
        self.result = CompileResult(())
        self.intake = EventIntake(state.events_socket, LOG, lambda batch: None, 1)
        self.reloader = Reloader(path / "callsieve.toml", state, self.intake, self.compile, LOG)
        self.logs = {"decisions": LineLog(RotatingFile(path / "decisions.jsonl", 1000, 1), LOG)}
        registry = CollectorRegistry()
        counters = {0: {"received": 12, "calls": 3}}
        registry.register(
            NodeMetrics("1.2.3", self.tally, self.intake, self.reloader, self.logs, lambda: counters, supervisor_pid=1)
        )
        self.recent = RecentDecisions()
        self.admin = AdminServer(
            registry,
            self.intake,
            self.reloader,
            1,
            status=lambda: status_of("n1", "1.2.3", 0, self.intake, self.reloader, 1),
            counters=lambda: counters_of(self.tally, counters),
            recent=self.recent,
            access=access,
        )
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    async def compile(self, generation: int, sealed: int) -> CompileResult:
        (self.state.path / f"generation-{generation}").mkdir()
        return self.result

    def connect(self) -> EventSender:
        sender = EventSender(self.state.events_socket, 0)
        self.end = sender.connect()
        sender.note(Hello(0, 1, 1))
        return sender


@asynccontextmanager
async def served_at(
    path: Path, access: Access = NO_TOKEN
) -> AsyncIterator[tuple[Served, aiohttp.ClientSession, aiohttp.ClientSession]]:
    """(node, session to the admin address, session to control.sock)"""
    node = Served(path, access)
    node.intake.open()
    await node.admin.open(node.listening, node.state.control_socket)
    local = aiohttp.UnixConnector(str(node.state.control_socket))
    async with aiohttp.ClientSession(node.url) as tcp, aiohttp.ClientSession("http://n", connector=local) as unix:
        yield node, tcp, unix
    await node.admin.close()
    node.intake.close()
    for log in node.logs.values():
        log.close()


async def metrics(session: aiohttp.ClientSession) -> dict[tuple[str, ...], float]:
    async with session.get("/metrics") as answer:
        assert answer.status == 200 and answer.content_type == "text/plain"
        families = text_string_to_metric_families(await answer.text())
        return {
            (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }


async def json_of(session: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
    async with session.get(path) as answer:
        return answer.status, json.loads(await answer.text())


def test_metrics_tell_what_was_decided(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_at(tmp_path) as (node, tcp, unix):
            before = await metrics(tcp)
            events = [EventRecord(1, 0, call, action=3, basis=1) for call in range(3)]
            EventBatch(b"".join(event.pack() for event in events)).tally(node.tally)
            sender = node.connect()
            sender.note(Targets((Target("softswitch", "127.0.0.1:5070", up=True),)))
            await eventually(lambda: any(link.targets for link in node.intake.workers))
            after = await metrics(unix)
            assert after["callsieve_calls_total", "action=reject", "basis=analytics"] == 3
            assert after["callsieve_worker_received_total", "worker=0"] == 12
            assert after["callsieve_worker_calls", "worker=0"] == 3
            connected = ("callsieve_worker_connected", "worker=0")
            assert (before[connected], after[connected]) == (0, 1)
            target = ("callsieve_target_up", "gateway=softswitch", "target=127.0.0.1:5070", "worker=0")
            assert after[target] == 1
            assert after["callsieve_process_cpu_seconds_total", "process=control"] > 0
            assert ("callsieve_generation",) in after
            of_the_worker = {target, *(key for key in after if "process=worker-0" in key)}
            assert set(after) - set(before) == of_the_worker, "the number of series does not grow with calls"

    asyncio.run(scenario())


def test_health_needs_every_worker(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_at(tmp_path) as (node, tcp, _):
            assert await json_of(tcp, "/healthz") == (503, {"status": "degraded", "workers_ready": 0, "workers": 1})
            node.connect()
            await eventually(lambda: node.intake.workers)
            assert await json_of(tcp, "/healthz") == (200, {"status": "ok", "workers_ready": 1, "workers": 1})
            node.intake.current = 2
            assert (await json_of(tcp, "/healthz"))[0] == 503

    asyncio.run(scenario())


def test_status(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_at(tmp_path) as (node, tcp, unix):
            node.connect()
            await eventually(lambda: node.intake.workers)
            for session in (tcp, unix):
                http_status, status = await json_of(session, "/v1/status")
                assert (http_status, status["node"], status["generation"]) == (200, "n1", 1)
                assert status["healthy"] is True
                assert status["workers"] == [{"worker": 0, "pid": 1, "generation": 1, "targets": []}]

    asyncio.run(scenario())


def test_counters(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_at(tmp_path) as (node, tcp, _):
            EventBatch(EventRecord(1, 0, 7, action=3, basis=1).pack()).tally(node.tally)
            http_status, counters = await json_of(tcp, "/v1/counters")
            assert http_status == 200
            assert counters["verdicts"] == [{"action": "reject", "basis": "analytics", "calls": 1}]
            assert counters["workers"] == {"0": {"received": 12, "calls": 3}}
            assert counters["ended"]["2xx"] == 0

    asyncio.run(scenario())


def test_decisions_are_the_newest_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_at(tmp_path) as (node, tcp, _):
            assert await json_of(tcp, "/v1/decisions") == (200, [])
            node.recent.add(b"".join(b'{"call":%d}\n' % call for call in range(700)))
            node.recent.add(b'{"call":700}\n')
            assert await json_of(tcp, "/v1/decisions?limit=2") == (200, [{"call": 700}, {"call": 699}])
            _, most = await json_of(tcp, "/v1/decisions?limit=500")
            assert [decision["call"] for decision in most] == list(range(700, 200, -1))
            for wrong in ("0", "501", "-1", "x", "9" * 5000, "\u0663", ""):
                assert (await json_of(tcp, f"/v1/decisions?limit={wrong}"))[0] == 400

    asyncio.run(scenario())


def test_commands_are_taken_on_the_local_socket_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_at(tmp_path) as (node, tcp, unix):
            async with tcp.post("/v1/reload") as answer:
                assert answer.status == 404
            assert node.reloader.succeeded == 0
            async with unix.post("/v1/reload") as answer:
                assert answer.status == 200
                assert await answer.json() == {"generation": 2, "errors": [], "warnings": []}

    asyncio.run(scenario())


def test_reload_that_fails_says_file_key_and_why(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_at(tmp_path) as (node, _, unix):
            finding = {"file": "a.toml", "key": "node.workers", "why": "too many", "severity": "error"}
            node.result = CompileResult((ConfigFinding("a.toml", "node.workers", "too many"),))
            async with unix.post("/v1/reload") as answer:
                assert answer.status == 422
                assert await answer.json() == {"generation": 1, "errors": [finding], "warnings": []}

    asyncio.run(scenario())
