"""The supervisor: prepares a node, binds its sockets, starts its processes and keeps them running.

Prepared means: the state directory is ours, generation N is compiled and in force. SIGHUP has control reload; SIGTERM
and SIGINT drain the workers and then end control, which writes the last events; a second one ends everything at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config_errors import ConfigError
from proxy.cli_client import ControlClient
from proxy.cli_output import ExitCode, Failure
from proxy.config import Configuration
from proxy.config_files import read_files
from proxy.control.reload import CompilerProcess
from proxy.in_flight import IN_FLIGHT_BYTES, QUARANTINE_BYTES, InFlight, Quarantine
from proxy.listening import BindError, bind_admin, bind_listeners
from proxy.logs import Log, open_log
from proxy.quarantine import Blame
from proxy.spare import WORKER, Spare
from proxy.state_directory import AlreadyRunning, StateDirectory
from proxy.systemd import notify_ready, notify_reloading, notify_stopping
from proxy.watchdog import Guard, shared_memory
from proxy.worker_tables import open_tables

_READY_TIMEOUT_S = 30.0
_READY_POLL_S = 0.1
_CONTROL_STOP_S = 10.0
_DRAIN_GRACE_S = 3.0  # beyond node.drain_s
_TOLD_ONCE_S = 0.5
_FIRST_BACKOFF_S = 0.1
_LAST_BACKOFF_S = 5.0
_STEADY_S = 10.0  # a child that lived so long starts again without delay
_KILLED = (-signal.SIGKILL, -signal.SIGTERM)
_START_ATTEMPTS = 3  # a node with a child that cannot start so often is given up


@dataclass(frozen=True, slots=True)
class Command:
    """One process to keep running. fds: inherited by it. guard: watches it, and learns from its deaths.

    spare: becomes the process when it has to be started again.
    """

    name: str
    arguments: tuple[str, ...]
    fds: tuple[int, ...] = ()
    guard: Guard | None = None
    spare: Spare | None = None


class Child:
    """A process that is started again whenever it ends, until it is stopped."""

    def __init__(self, command: Command, log: Log) -> None:
        self._command = command
        self._log = log.bind(child=command.name)
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self.name = command.name
        self.starts_failed = 0  # in a row

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_running())

    async def stop(self, timeout_s: float) -> None:
        """SIGTERM, and SIGKILL if that does not end it in time."""
        self._stopping = True
        self._signal(signal.SIGTERM)
        if self._task is None:
            return
        if self._process is None or self._process.returncode is not None:
            self._task.cancel()  # it waits for its next start
        _, late = await asyncio.wait([self._task], timeout=timeout_s)
        if late:
            self._log.error("does not end, killed", after_s=timeout_s)
            self.kill()
            await asyncio.wait([self._task])

    def kill(self) -> None:
        self._stopping = True
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _ended(self, process: asyncio.subprocess.Process) -> int:
        guard = self._command.guard
        if guard is None:
            return await process.wait()
        watching = asyncio.create_task(guard.watch(process.pid))
        status = await process.wait()
        watching.cancel()
        if not self._stopping:
            guard.died()
        return status

    async def _started(self) -> asyncio.subprocess.Process:
        command = self._command
        if command.spare is not None and self._process is not None:
            process = await command.spare.become(command.arguments[len(WORKER) :], command.fds)
            if process is not None:
                return process
        return await asyncio.create_subprocess_exec(
            sys.executable, *command.arguments, stdin=asyncio.subprocess.DEVNULL, pass_fds=command.fds
        )

    async def _keep_running(self) -> None:
        backoff_s = _FIRST_BACKOFF_S
        while not self._stopping:
            started_s = time.monotonic()
            self._process = await self._started()
            if self._stopping:
                self._process.terminate()
            status = await self._ended(self._process)
            if self._stopping:
                return
            lived_s = time.monotonic() - started_s
            steady = lived_s > _STEADY_S
            if steady or status in _KILLED:
                self.starts_failed = 0  # somebody ended it; it could start
            else:
                self.starts_failed += 1
            backoff_s = _FIRST_BACKOFF_S if steady else backoff_s
            self._log.error("ended, starting it again", status=status, lived_s=round(lived_s, 1), in_s=backoff_s)
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, _LAST_BACKOFF_S)


class Supervisor:
    """A prepared node. commands: control first; it ends last. spare: prepared when everything is up."""

    def __init__(
        self,
        state: StateDirectory,
        configuration: Configuration,
        commands: Sequence[Command],
        spare: Spare | None,
        log: Log,
    ) -> None:
        self._state = state
        self._node = configuration.node
        self._log = log
        self._children = [Child(command, log) for command in commands]
        self._spare = spare
        self._client = ControlClient(state.control_socket)
        self._stop = asyncio.Event()
        self._stopped_s = 0.0
        self._at_once = asyncio.Event()
        self._listening = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, workers: int, listening: str, demo: Command | None) -> None:
        """Until it is told to stop. listening: what the ready line says. demo: run once when everything is up.

        Failure if a process cannot be started at all.
        """
        self._listening = listening
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._told_to_reload)
        for child in self._children:
            child.start()
        ready = await self._ready(workers)
        if ready:
            print(f"callsieve is ready: {listening}", flush=True)
            notify_ready(listening)
            if self._spare is not None:
                await self._spare.prepare()
            if demo is not None:
                self._background(self._demonstrate(demo))
        elif not self._stop.is_set() and self._never_started() is None:
            self._log.error("not ready yet, going on", after_s=_READY_TIMEOUT_S)
        broken = None if ready else self._never_started()
        if broken is None:
            await self._stop.wait()
        notify_stopping()
        if self._spare is not None:
            await self._spare.close()
        await self._end()
        if broken is not None:
            raise Failure(f"{broken} cannot be started; the lines above say why", ExitCode.SYSTEM)

    def _never_started(self) -> str | None:
        return next((child.name for child in self._children if child.starts_failed >= _START_ATTEMPTS), None)

    def _told_to_stop(self) -> None:
        """Told again a moment later, as by a tool that signals both us and our group, is told once."""
        now_s = time.monotonic()
        if self._stop.is_set() and now_s - self._stopped_s > _TOLD_ONCE_S:
            self._at_once.set()
        elif not self._stop.is_set():
            self._stopped_s = now_s
            self._stop.set()

    def _told_to_reload(self) -> None:
        self._background(self._reload())

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ready(self, workers: int) -> bool:
        """Whether all workers report to control before it takes too long."""
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while time.monotonic() < deadline and not self._stop.is_set() and self._never_started() is None:
            try:
                status = await asyncio.to_thread(self._client.status)
                if len(status["workers"]) >= workers:
                    return True
            except Failure:
                pass  # control has not opened its socket
            await asyncio.sleep(_READY_POLL_S)
        return False

    async def _reload(self) -> None:
        """Control does it and logs the outcome."""
        notify_reloading()
        try:
            await asyncio.to_thread(self._client.reload)
        except Failure as why:
            self._log.error("reload failed", why=str(why))
        notify_ready(self._listening)

    async def _demonstrate(self, demo: Command) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *demo.arguments, stdin=asyncio.subprocess.DEVNULL
        )
        if await process.wait() != 0:
            self._log.error("the demonstration failed", status=process.returncode)

    async def _end(self) -> None:
        """Workers first; control last, so that the last events are written."""
        control, *others = self._children
        ending = asyncio.create_task(self._stop_in_order(others, control))
        at_once = asyncio.create_task(self._at_once.wait())
        await asyncio.wait([ending, at_once], return_when=asyncio.FIRST_COMPLETED)
        if not ending.done():
            self._log.warning("told twice: ending at once")
            for child in self._children:
                child.kill()
        at_once.cancel()
        await ending

    async def _stop_in_order(self, others: Sequence[Child], control: Child) -> None:
        drain_s = self._node.drain_s + _DRAIN_GRACE_S
        await asyncio.gather(*(child.stop(drain_s) for child in others))
        await control.stop(_CONTROL_STOP_S)


def run(config_path: Path, demo: bool = False) -> int:
    """Runs a node until it is told to stop; ConfigError, Failure or OSError if it cannot be prepared."""
    return asyncio.run(_run(Path(os.path.abspath(config_path)), demo))


async def _run(config: Path, demo: bool) -> int:
    log = open_log("supervisor")
    state = StateDirectory(_state_dir(config))
    state.create()
    async with AsyncExitStack() as held:
        try:
            held.callback(os.close, state.lock())
        except AlreadyRunning as why:
            raise Failure(str(why), ExitCode.SYSTEM) from None
        state.secret()
        configuration = await _prepare(config, state, log)
        workers = _workers(configuration)
        if not workers:
            open_tables(state, configuration)  # whoever screens with this node finds them there
        try:
            sockets = bind_listeners(configuration.listeners, workers, log)
            admin = bind_admin(configuration.admin.address)
        except BindError as why:
            raise Failure(str(why), ExitCode.SYSTEM) from None
        lifeline, kept = os.pipe()
        held.callback(os.close, kept)
        commands, spare = _commands(config, state, sockets, admin, lifeline, log)
        if demo:
            commands.append(_answering(configuration))
        supervisor = Supervisor(state, configuration, commands, spare, log)
        await supervisor.run(workers, _listening(configuration, workers), _demonstration(config) if demo else None)
    log.info("ended")
    return 0


def _workers(configuration: Configuration) -> int:
    """None where nothing is received."""
    if not configuration.listeners:
        return 0
    return configuration.node.workers or max(1, len(os.sched_getaffinity(0)) - 1)


def _state_dir(config: Path) -> Path:
    """Where the state is, before anything else of the configuration is looked at."""
    draft = read_files(config)
    refused = ConfigError(draft.findings)
    if refused.errors:
        raise refused
    return Path(draft.configuration().node.state_dir)


async def _prepare(config: Path, state: StateDirectory, log: Log) -> Configuration:
    """Compiles the next generation and puts it into force."""
    generation = state.next_generation()
    result = await CompilerProcess(config, state)(generation, None, progress=True)
    if result.errors:
        raise ConfigError(result.findings)
    for finding in result.warnings:
        log.warning("configuration", file=finding.file, key=finding.key, why=finding.why)
    state.activate(generation)
    return state.configuration(generation)


def _commands(
    config: Path,
    state: StateDirectory,
    sockets: Sequence[Sequence[socket.socket]],
    admin: socket.socket,
    lifeline: int,
    log: Log,
) -> tuple[list[Command], Spare | None]:
    """Control first, then the workers; and their spare, None without workers."""
    place = ("--state-dir", str(state.path), "--lifeline", str(lifeline))
    clock_offset_us = (time.time_ns() - time.monotonic_ns()) // 1000
    control = ("-m", "proxy.control", "--config", str(config), "--workers", str(len(sockets)))
    commands = [
        Command("control", (*control, "--admin-fd", str(admin.fileno()), *place), (admin.fileno(), lifeline)),
    ]
    quarantine = shared_memory("quarantine", QUARANTINE_BYTES)
    blame = Blame(Quarantine(quarantine), state.deadly, log)
    watched = [shared_memory(f"in flight {worker}", IN_FLIGHT_BYTES) for worker in range(len(sockets))]
    bound = [end.fileno() for ends in sockets for end in ends]
    spare = Spare((*bound, lifeline, quarantine, *watched), log) if sockets else None
    for worker, (ends, in_flight) in enumerate(zip(sockets, watched, strict=True)):
        fds = tuple(end.fileno() for end in ends)
        guard = Guard(InFlight(in_flight), blame, state.stack(worker), log.bind(child=f"worker-{worker}"))
        server = (*WORKER, "--worker", str(worker), "--workers", str(len(sockets)))
        given = ("--fds", ",".join(map(str, fds)), "--clock-offset", str(clock_offset_us))
        shared = ("--in-flight", str(in_flight), "--quarantine", str(quarantine))
        inherited = (*fds, lifeline, in_flight, quarantine)
        commands.append(Command(f"worker-{worker}", (*server, *given, *shared, *place), inherited, guard, spare))
    return commands, spare


def _answering(configuration: Configuration) -> Command:
    """The softswitch of a demonstration: it answers where the first gateway's first target is."""
    address = configuration.gateways[0].targets[0].address
    return Command("softswitch", ("-m", "proxy.answering", "--address", address))


def _demonstration(config: Path) -> Command:
    return Command("demonstration", ("-m", "proxy.demo", "--config", str(config)))


def _listening(configuration: Configuration, workers: int) -> str:
    metrics = f"metrics on http://{configuration.admin.address}/metrics"
    if not workers:
        return f"control for other SIP servers; {metrics}"
    addresses = ", ".join(f"{listener.transport} {listener.address}" for listener in configuration.listeners)
    count = f"{workers} worker{'s' if workers > 1 else ''}"
    return f"SIP on {addresses}; {count}; {metrics}"
