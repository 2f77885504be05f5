"""Caps on calls, shared by the workers of a node."""

from collections.abc import Sequence
from typing import Any

def bytes_needed(limits: int, workers: int) -> int:
    """Size of the shared memory for so many limits."""

class CallLimits:
    """limits: (name, calls a second or 0, calls at once or 0) each. memory: of `bytes_needed`, shared by the workers."""

    count: int
    names: list[str]
    def __init__(
        self, limits: Sequence[tuple[str, float, int]], worker: int = 0, workers: int = 1, memory: Any = None
    ) -> None: ...
    def take_over(self, previous: CallLimits) -> list[int]:
        """Goes on where the limits of the same names stood: the new index of each old one, 0xFFFF if it has gone."""
    def calls(self) -> dict[str, int]:
        """Calls in progress by the name of their limit, of all workers."""
