"""What fails in callbacks of an event loop, where nobody catches it: into the log, as far as that can take it."""

from __future__ import annotations

import asyncio
import errno
from typing import Any

from proxy.logs import Log

_ONE_LINE_S = 1.0  # at most one line in this time


class FaultLog:
    """An event loop's exception handler."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._quiet_until_s = 0.0
        self._unsaid = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if loop.time() < self._quiet_until_s:
            self._unsaid += 1
            return
        self._quiet_until_s = loop.time() + _ONE_LINE_S
        fault = context.get("exception")
        if isinstance(fault, OSError) and fault.errno == errno.EBADF:
            # A socket was closed before the wish to wait for it was heard, as aiomqtt's is when the broker goes away
            # while it connects. It finds out by itself: the line names the callback, a stack would say no more.
            self._log.warning(context["message"], why=str(fault), unsaid_before=self._unsaid)
        else:
            self._log.error(context["message"], exc_info=fault, unsaid_before=self._unsaid)
        self._unsaid = 0
