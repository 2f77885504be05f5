"""A reload: compile beside, put into force at one point, or keep the old and say why."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from engine.config_errors import ConfigFinding
from proxy.control.compile import CompileResult
from proxy.control.intake import EventIntake
from proxy.logs import Log
from proxy.state_directory import StateDirectory

_SWAP_TIMEOUT_S = 30.0

Compiler = Callable[[int, int], Awaitable[CompileResult]]  # (generation, sealed)


class ReloadOutcome(msgspec.Struct, frozen=True):
    """generation: the one in force afterwards."""

    generation: int
    errors: list[ConfigFinding]
    warnings: list[ConfigFinding]

    @property
    def succeeded(self) -> bool:
        return not self.errors


class Reloader:
    def __init__(self, config: Path, state: StateDirectory, intake: EventIntake, compiler: Compiler, log: Log) -> None:
        self._config = config
        self._state = state
        self._intake = intake
        self._compiler = compiler
        self._log = log
        self._one_at_a_time = asyncio.Lock()
        self.succeeded = 0
        self.failed = 0
        self.last_success_s = time.time()

    async def reload(self) -> ReloadOutcome:
        async with self._one_at_a_time:
            outcome = await self._reload()
        if outcome.succeeded:
            self.succeeded += 1
            self.last_success_s = time.time()
        else:
            self.failed += 1
        self._report(outcome)
        return outcome

    async def _reload(self) -> ReloadOutcome:
        before = self._intake.current
        generation = max(self._state.next_generation(), before + 1)
        result = await self._compiler(generation, before)
        if result.errors:
            return ReloadOutcome(before, result.errors, result.warnings)
        self._state.activate(generation)
        answers = await self._intake.swap(generation, _SWAP_TIMEOUT_S)
        file = str(self._config)
        refusals = [
            ConfigFinding(file, "", f"worker {worker} refused it: {answer.error}")
            for worker, answer in answers.items()
            if answer is not None and answer.error is not None
        ]
        if not refusals:
            late = [
                ConfigFinding(file, "", f"worker {worker} has not answered yet", "warning")
                for worker, answer in answers.items()
                if answer is None
            ]
            return ReloadOutcome(generation, [], result.warnings + late)
        # One generation for all: what one worker cannot run, none does.
        self._state.activate(before)
        await self._intake.swap(before, _SWAP_TIMEOUT_S)
        return ReloadOutcome(before, refusals, result.warnings)

    def _report(self, outcome: ReloadOutcome) -> None:
        for finding in outcome.warnings:
            self._log.warning("configuration", file=finding.file, key=finding.key, why=finding.why)
        for finding in outcome.errors:
            self._log.error("configuration", file=finding.file, key=finding.key, why=finding.why)
        if outcome.succeeded:
            self._log.info("reloaded", generation=outcome.generation)
        else:
            self._log.error("reload failed, the old configuration stays", generation=outcome.generation)


class CompilerProcess:
    """Runs proxy.control.compile as a child, so that the loop lives on."""

    def __init__(self, config: Path, state: StateDirectory) -> None:
        self._config = config
        self._state = state

    async def __call__(self, generation: int, sealed: int | None, *, progress: bool = False) -> CompileResult:
        arguments = ["--config", str(self._config), "--state-dir", str(self._state.path)]
        arguments += ["--generation", str(generation)]
        arguments += [] if sealed is None else ["--sealed", str(sealed)]
        arguments += ["--progress"] if progress else []
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "proxy.control.compile",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            output, _ = await child.communicate()
        finally:
            if child.returncode is None:
                child.kill()
        try:
            return msgspec.json.decode(output, type=CompileResult)
        except msgspec.DecodeError:
            why = f"the compiler ended with status {child.returncode} and no result"
            return CompileResult((ConfigFinding(str(self._config), "", why),))
