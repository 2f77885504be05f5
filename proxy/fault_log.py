"""What fails in callbacks of an event loop, where nobody catches it: into the log, as far as that can take it."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass
from typing import Any

from proxy.logs import Log

_ONE_LINE_S = 1.0  # at most one line of a kind in this time


@dataclass(slots=True)
class _Told:
    quiet_until_s: float = 0.0
    unsaid: int = 0


class FaultLog:
    """An event loop's exception handler."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._told: dict[type, _Told] = {}  # by the class of what was raised: no kind hides another

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        fault = context.get("exception")
        told = self._told.setdefault(type(fault), _Told())
        if loop.time() < told.quiet_until_s:
            told.unsaid += 1
            return
        told.quiet_until_s = loop.time() + _ONE_LINE_S
        if isinstance(fault, OSError) and fault.errno == errno.EBADF:
            # A socket was closed before the wish to wait for it was heard, as aiomqtt's is when the broker goes away
            # while it connects. It finds out by itself: the line names the callback, a stack would say no more.
            self._log.warning(context["message"], why=str(fault), unsaid_before=told.unsaid)
        else:
            self._log.error(context["message"], exc_info=fault, unsaid_before=told.unsaid)
        told.unsaid = 0
