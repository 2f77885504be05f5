"""Log lines on stderr: for people on a terminal, one JSON object a line otherwise."""

from __future__ import annotations

import sys
from typing import Any

import structlog
from structlog.typing import FilteringBoundLogger as Log

__all__ = ["Log", "open_log"]


class _Stderr:
    """A log that nobody reads any more must not end the process."""

    def write(self, text: str) -> int:
        try:
            return sys.stderr.write(text)
        except OSError:
            return 0

    def flush(self) -> None:
        try:
            sys.stderr.flush()
        except OSError:
            return


def open_log(process: str) -> Log:
    """The log of this process; `process` names it in every line."""
    on_terminal = sys.stderr.isatty()
    renderer: Any = structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer()
    time_format = "%H:%M:%S" if on_terminal else "iso"
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt=time_format, utc=not on_terminal),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.PrintLoggerFactory(file=_Stderr()),  # type: ignore[arg-type]
    )
    log: Log = structlog.get_logger().bind(process=process)
    return log
