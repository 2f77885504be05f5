"""Caps on calls, shared by the workers of a node."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

def bytes_needed(limits: int, workers: int) -> int:
    """Size of the shared memory for so many limits."""

def open_limits(
    path: str | PathLike[str], limits: Sequence[tuple[str, float, int]], worker: int, workers: int
) -> CallLimits:
    """The caps of a generation in the file that its workers share; whoever comes first makes it."""

class CallLimits:
    """limits: (name, calls a second or 0, calls at once or 0) each. memory: of `bytes_needed`, for all workers."""

    count: int
    names: list[str]
    def __init__(
        self, limits: Sequence[tuple[str, float, int]], worker: int = 0, workers: int = 1, memory: Any = None
    ) -> None: ...
    def take_over(self, previous: CallLimits) -> list[int]:
        """These limits begin to count, those of known names where they stood: new index of each old one, or 0xFFFF."""
    def calls(self) -> dict[str, int]:
        """Calls in progress by the name of their limit, of all workers."""
