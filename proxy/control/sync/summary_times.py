"""When a node tells its summary: with every tick of the grid, and oftener in the minute after it has connected.

A broker that was away has forgotten its sessions: what the first to come back tell, those who come later miss. It takes
two summaries that differ to ask for it.
"""

from __future__ import annotations

OFTEN_MS = 10_000
MINUTE_MS = 60_000


class SummaryTimes:
    """Beside those of the grid."""

    def __init__(self) -> None:
        self._next_ms = self._end_ms = 0

    def connected(self, now_ms: int) -> None:
        self._next_ms = now_ms + OFTEN_MS
        self._end_ms = now_ms + MINUTE_MS

    def is_due(self, now_ms: int) -> bool:
        if not self._next_ms <= now_ms <= self._end_ms:
            return False
        self._next_ms = now_ms + OFTEN_MS
        return True
