"""The latest decisions, kept as the JSON lines that the log gets, for the console and /v1/decisions."""

from __future__ import annotations

from collections import deque
from itertools import islice

KEPT = 500


class RecentDecisions:
    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._lines: deque[bytes] = deque(maxlen=kept)

    def add(self, lines: bytes) -> None:
        """Whole lines, oldest first; only the last ones are looked at."""
        self._lines.extend(lines.rstrip(b"\n").rsplit(b"\n", self._kept)[-self._kept :])

    def newest(self, limit: int) -> bytes:
        """A JSON array of at most `limit` decisions, newest first."""
        return b"[" + b",".join(islice(reversed(self._lines), limit)) + b"]"
