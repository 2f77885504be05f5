"""The name by which `top` and `ps -o comm` show a process; its command line stays what it was started with."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def name_process(name: str) -> None:
    """Fifteen bytes of it (proc(5), /proc/pid/comm)."""
    with suppress(OSError):  # a system that does not let it is told nothing
        Path("/proc/self/comm").write_text(name)
