"""One process of another SIP server that screens with a node: opens its state, keeps up with it, reports to control.

A fault of ours never reaches that server: a call that cannot be judged is treated as `node.on_internal_error` says, and
the fault is logged, at most once a second. Where no node has run yet calls go on unscreened until one has.
"""

from __future__ import annotations

import os
import socket
import time
import traceback
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from engine import Action, Engine, Screener
from engine._table import TableError
from proxy.config import Configuration, Gateway, InternalErrorAction
from proxy.event_channel import Beside, EventSender
from proxy.plugin_divert import divert_targets
from proxy.plugin_screening import Judged, PluginScreening
from proxy.state_directory import StateDirectory
from proxy.trunks import Routing, build_routing

FIRST_NUMBER = 256  # beyond all workers
TICK_US = 1_000_000
_FAULT = Judged(Action.REJECT, "", None, 500, "Server Internal Error", "", "", None, None, b"")


class Plugin:
    """number: of this process among those of the server; program: its name. log: takes what an operator should know.

    clock: Unix time in microseconds that never goes back; None: the clock on the wall as it was when this began.
    """

    def __init__(
        self,
        state_dir: Path | str,
        number: int,
        program: str,
        log: Callable[[str], None],
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._state = StateDirectory(Path(state_dir))
        self._number = FIRST_NUMBER + number
        self._program = program
        self._log = log
        self._clock = clock or steady_clock()
        self._sender = EventSender(self._state.events_socket, self._number)
        self._engine: Engine | None = None
        self._screening: PluginScreening | None = None
        self._screener: Screener | None = None
        self._end: socket.socket | None = None
        self._told_generation = 0
        self._ticked_us = 0
        self._said = ("", 0)
        self._open_on_error = True

    def judge(self, message: bytes, source: tuple[str, int]) -> Judged | None:
        """Screens a new INVITE and tells control; None: it goes on unscreened, as one of no trunk does."""
        try:
            now_us = self._clock()
            screening = self._ready(now_us)
            if screening is None:
                return None
            judged = screening.judge(message, source, now_us)
            self._flush(screening)
            return judged
        except Exception:  # whatever it is, the other server's call is not lost by it
            self._fault(traceback.format_exc())
            return None if self._open_on_error else _FAULT

    def ringing(self, record: str) -> None:
        """The first 18x has come to the call that `record_text` names, told once."""
        self._learn(record, lambda screening, call, now_us: screening.ringing(call, now_us))

    def answered(self, record: str) -> None:
        """The callee has answered the call that `record_text` names."""
        self._learn(record, lambda screening, call, now_us: screening.answered(call, now_us))

    def unwanted(self, record: str) -> None:
        """The callee said that the call was unwanted: Reason: SIP;cause=607 in a BYE (RFC 8197 section 4)."""
        self._learn(record, lambda screening, call, now_us: screening.unwanted(call, now_us))

    def ended(self, record: str, status: int, released_by: int, *, rang_us: int = 0, answered_us: int = 0) -> None:
        """The call is over, told once. released_by: 0 unknown, 1 caller, 2 callee. rang_us, answered_us: 0 = never."""

        def tell(screening: PluginScreening, call: bytes, now_us: int) -> None:
            screening.ended(call, status, released_by, rang_us, answered_us, now_us)

        self._learn(record, tell)

    def now_us(self) -> int:
        return self._clock()

    def _learn(self, record: str, tell: Callable[[PluginScreening, bytes, int], None]) -> None:
        try:
            now_us = self._clock()
            screening = self._ready(now_us)
            if screening is not None:
                tell(screening, urlsafe_b64decode(record), now_us)
                self._flush(screening)
        except Exception:  # as above
            self._fault(traceback.format_exc())

    # --- keeping up --------------------------------------------------------------------------------------------------

    def _ready(self, now_us: int) -> PluginScreening | None:
        if abs(now_us - self._ticked_us) >= TICK_US:
            self._ticked_us = now_us
            self._tick()
        return self._screening

    def _tick(self) -> None:
        if self._engine is None:
            self._engine = self._attached()
        if self._engine is None:
            return
        self._engine.refresh()
        if self._engine.screener is not self._screener:
            self._configure(self._engine)
        self._connect()

    def _attached(self) -> Engine | None:
        try:
            return Engine.attach(self._state.path)
        except (OSError, TableError, ValueError) as why:
            self._fault(f"calls go on unscreened: {why}")
            return None

    def _configure(self, engine: Engine) -> None:
        configuration = self._state.configuration(engine.generation)
        if self._screening is None:
            self._screening = PluginScreening(self._number, self._state.screening_key())
        routing = plugin_routing(configuration, engine.generation)
        self._screening.configure(routing, engine.screener, divert_targets(configuration))
        self._screener = engine.screener
        self._open_on_error = configuration.node.on_internal_error is InternalErrorAction.OPEN

    # --- control -----------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        """Control may be away: what it is to be told waits, up to a limit."""
        generation = self._screening.generation if self._screening is not None else 0
        if not self._sender.connected:
            if self._end is not None:
                self._end.close()
            self._end = self._sender.connect()
            self._told_generation = 0
        if generation != self._told_generation and self._sender.note(
            Beside(self._program, self._number, os.getpid(), generation)
        ):
            self._told_generation = generation

    def _flush(self, screening: PluginScreening) -> None:
        while events := screening.take():
            self._sender.add(events)
        self._sender.flush()

    def _fault(self, text: str) -> None:
        """Not every call says the same again."""
        said, said_us = self._said
        now_us = self._clock()
        if text != said or abs(now_us - said_us) >= 60 * TICK_US:
            self._said = (text, now_us)
            self._log(text)


def steady_clock() -> Callable[[], int]:
    """Unix microseconds by CLOCK_MONOTONIC: limits follow the time that passes, whatever is done to the wall clock."""
    offset_ns = time.time_ns() - time.monotonic_ns()
    return lambda: (time.monotonic_ns() + offset_ns) // 1000


def record_text(judged: Judged) -> str:
    """What the server keeps with the call, to name it later."""
    return urlsafe_b64encode(judged.record).decode("ascii")


def plugin_routing(configuration: Configuration, generation: int) -> Routing:
    """Trunks as the proxy has them, on any listener; of gateways only how calls are labelled."""
    style = Gateway(name="plugin", targets=(), tags=configuration.plugin.tags)
    trunks = tuple(replace(trunk, listeners=(), route=None, compat=None) for trunk in configuration.trunks)
    only = replace(configuration, trunks=trunks, gateways=(style,), routes=(), diverts=())
    return build_routing(only, generation)
