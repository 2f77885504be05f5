"""The control process: takes the workers' events, writes the logs, serves metrics and commands, reloads.

    python -m proxy.control --config FILE --state-dir DIR --workers N --admin-fd FD --lifeline FD

Ends when SIGTERM comes or the lifeline (a pipe whose other end the supervisor holds) breaks.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import time
from array import array
from collections.abc import Callable
from pathlib import Path

import uvloop
from prometheus_client import CollectorRegistry

from proxy.admin_token import read_token
from proxy.config import Admin, Configuration
from proxy.config_complaints import ComplaintSource
from proxy.control.access import Access
from proxy.control.admin import AdminServer, counters_of, status_of
from proxy.control.call_log import CallLog, LineLog, RotatingFile
from proxy.control.durable import Durable
from proxy.control.fleet import Fleet
from proxy.control.intake import EventIntake
from proxy.control.metrics import NodeMetrics
from proxy.control.names import GenerationNames
from proxy.control.recent import RecentDecisions
from proxy.control.reload import CompilerProcess, Reloader
from proxy.counters import NAMES as COUNTER_NAMES
from proxy.counters import SIZE as COUNTERS_BYTES
from proxy.event_lines import EventNames
from proxy.events import EventBatch, VerdictTally
from proxy.fault_log import FaultLog
from proxy.logs import Log, open_log
from proxy.state_directory import StateDirectory
from proxy.version import own_version

_FLUSH_S = 0.05
_LAST_EVENTS_S = 0.2  # after SIGTERM, for what workers sent before they ended


class Control:
    """Everything of this process, put together."""

    def __init__(
        self, config: Path, state: StateDirectory, workers: int, admin: socket.socket | None, log: Log
    ) -> None:
        current = state.current()
        if current is None:
            raise SystemExit(f"{state.path} holds no generation: start callsieve run")
        configuration = state.configuration(current)
        self._log = log
        self._admin_socket = admin
        self._state = state
        self._workers = workers
        self._tally = VerdictTally()
        self._logs = _open_logs(configuration, state, log)
        names = EventNames(configuration.node.name, mask_numbers=configuration.decision_log.mask_numbers)
        self._names = GenerationNames(names, state, log)
        self._recent = RecentDecisions()
        self._call_log = CallLog(names, self._logs["decisions"], self._logs["calls"], self._recent)
        self._intake = EventIntake(state.events_socket, log, self._take, current)
        self._reloader = Reloader(config, state, self._intake, CompilerProcess(config, state), log)
        access = _access(configuration.admin, configuration.complaint_sources)
        self._durable = Durable(configuration, state, access, log)
        self._fleet = Fleet(configuration, config.parent, self._durable, state, log)
        self._admin = self._admin_server(configuration, access)

    async def run(self, lifeline: int | None) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        if lifeline is not None:
            loop.add_reader(lifeline, stop.set)
        self._intake.open()
        await self._admin.open(self._admin_socket, self._state.control_socket)
        self._durable.start()
        self._fleet.start()
        flushing = asyncio.create_task(self._flush_now_and_then())
        self._log.info("control is up", generation=self._intake.current)
        await stop.wait()
        await asyncio.sleep(_LAST_EVENTS_S)
        flushing.cancel()
        self._intake.close()
        await self._admin.close()
        self._fleet.close()
        self._durable.close()
        self._call_log.close()

    def _take(self, batch: EventBatch) -> None:
        self._names.learn(batch)
        batch.tally(self._tally)
        self._call_log.add(batch)
        self._durable.watch(batch)
        self._fleet.take(batch)

    async def _flush_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            self._call_log.flush()

    def _admin_server(self, configuration: Configuration, access: Access) -> AdminServer:
        registry = CollectorRegistry()
        node, started_s = configuration.node.name, time.time()
        worker_counters = _counters_reader(self._state, self._workers)
        metrics = NodeMetrics(
            version=own_version(),
            tally=self._tally,
            intake=self._intake,
            reloader=self._reloader,
            logs=self._logs,
            worker_counters=worker_counters,
            supervisor_pid=os.getppid(),
        )
        registry.register(metrics)
        registry.register(self._durable)
        registry.register(self._fleet)
        return AdminServer(
            registry,
            self._intake,
            self._reloader,
            self._workers,
            status=lambda: status_of(node, own_version(), started_s, self._intake, self._reloader, self._workers),
            counters=lambda: counters_of(self._tally, worker_counters()),
            recent=self._recent,
            access=access,
            reading=[*self._durable.reading(), *self._fleet.reading()],
            commands=[*self._durable.commands(), *self._fleet.commands()],
            reports=self._durable.reports(),
        )


def _access(admin: Admin, sources: tuple[ComplaintSource, ...]) -> Access:
    try:
        token = None if admin.token_file is None else read_token(admin.token_file)
    except ValueError as why:
        raise SystemExit(f"admin.token_file: {why}") from None
    return Access(token, frozenset(name.lower() for name in admin.hosts), _source_tokens(sources))


def _source_tokens(sources: tuple[ComplaintSource, ...]) -> tuple[tuple[str, str], ...]:
    try:
        return tuple((source.name, read_token(source.token_file)) for source in sources)
    except ValueError as why:
        raise SystemExit(f"complaint_source.token_file: {why}") from None


def _open_logs(configuration: Configuration, state: StateDirectory, log: Log) -> dict[str, LineLog]:
    wanted = configuration.decision_log
    decisions = Path(wanted.path) if wanted.path is not None else state.path / "decisions.jsonl"
    paths = {"decisions": decisions, "calls": decisions.with_name("calls.jsonl")}
    return {name: LineLog(RotatingFile(path, wanted.rotate_bytes, wanted.keep), log) for name, path in paths.items()}


def _counters_reader(state: StateDirectory, workers: int) -> Callable[[], dict[int, dict[str, int]]]:
    """Reads the counters of all workers that have some. Not mapped: a worker that starts cuts its file first."""

    def read() -> dict[int, dict[str, int]]:
        paths = {worker: state.counters(worker) for worker in range(workers)}
        return {worker: _read_counters(path) for worker, path in paths.items() if path.exists()}

    return read


def _read_counters(path: Path) -> dict[str, int]:
    words = array("Q", path.read_bytes().ljust(COUNTERS_BYTES, b"\0"))
    return dict(zip(COUNTER_NAMES, words, strict=False))


def main() -> None:
    parser = argparse.ArgumentParser(prog="proxy.control")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--admin-fd", type=int)
    parser.add_argument("--lifeline", type=int)
    options = parser.parse_args()
    # A terminal's Ctrl-C and hang-up reach the whole group; what they mean is for the supervisor to say.
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    admin = None if options.admin_fd is None else socket.socket(fileno=options.admin_fd)
    log = open_log("control")
    control = Control(options.config, StateDirectory(options.state_dir), options.workers, admin, log)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_exception_handler(FaultLog(log))
        runner.run(control.run(options.lifeline))


if __name__ == "__main__":
    main()
