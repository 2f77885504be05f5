"""Log lines on stderr: for people on a terminal, one JSON object a line otherwise.

The loop that says something must never wait for who reads it. A line that a pipe or socket does not take at once is
lost, and the next one that gets through tells how many were.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Callable
from typing import Any

import structlog
from structlog.typing import EventDict
from structlog.typing import FilteringBoundLogger as Log

__all__ = ["Log", "open_log"]

_STDERR = 2


class _Stderr:
    """A file of whole lines that never blocks, and never fails: a log that nobody reads must not end the process."""

    def __init__(self) -> None:
        self._put = _putter()
        self._lost = 0
        self._told = 0  # of them, in the line that is being written

    def write(self, line: str) -> int:
        data = line.encode("utf-8", "replace")
        try:
            taken = self._put(data) == len(data)
        except OSError:
            taken = False
        self._lost += -self._told if taken else 1
        self._told = 0
        return len(line)

    def flush(self) -> None: ...

    def tell_lost(self, _: object, __: str, event: EventDict) -> EventDict:
        """structlog's processor: names the lines lost before this one."""
        if self._lost:
            event["lost_lines"] = self._told = self._lost
        return event


def _putter() -> Callable[[bytes], int]:
    """Writes to stderr without waiting; how much was taken. The descriptor is shared, so its flags stay as they are."""
    kind = os.fstat(_STDERR).st_mode
    if stat.S_ISSOCK(kind):  # the journal
        end = socket.socket(fileno=os.dup(_STDERR))
        return lambda data: end.send(data, socket.MSG_DONTWAIT)
    if stat.S_ISFIFO(kind):
        own = os.open(f"/proc/self/fd/{_STDERR}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        return lambda data: os.write(own, data)
    return lambda data: os.write(_STDERR, data)


def open_log(process: str) -> Log:
    """The log of this process; `process` names it in every line."""
    on_terminal = sys.stderr.isatty()
    renderer: Any = structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer()
    time_format = "%H:%M:%S" if on_terminal else "iso"
    stderr = _Stderr()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt=time_format, utc=not on_terminal),
            structlog.processors.format_exc_info,
            stderr.tell_lost,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.WriteLoggerFactory(file=stderr),  # type: ignore[arg-type]
    )
    log: Log = structlog.get_logger().bind(process=process)
    return log
