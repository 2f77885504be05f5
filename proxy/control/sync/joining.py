"""Joining: a node that only takes verdicts asks for those that there are, a few shards at a time.

It asks again for a shard that nobody goes on with, and never for one of which a peer's digest is its own.
"""

from __future__ import annotations

from collections.abc import Iterable

AT_ONCE = 4  # shards: enough that none is waited for, few enough that little is asked twice
SILENT_MS = 10_000  # a shard of which nothing came for so long is asked for again


class Joining:
    """shards: those that are wanted."""

    def __init__(self, shards: Iterable[int]) -> None:
        self._wanted = dict.fromkeys(shards)
        self._heard_ms: dict[int, int] = {}  # of those asked for: when, or when something of it came last

    @property
    def is_done(self) -> bool:
        return not self._wanted

    def wants(self, shard: int) -> bool:
        return shard in self._wanted

    def heard(self, shard: int, now_ms: int) -> None:
        """A part of it has come. The others that were asked for wait behind it, so none of them is silent."""
        if shard in self._heard_ms:
            self._heard_ms = dict.fromkeys(self._heard_ms, now_ms)

    def has(self, shards: Iterable[int]) -> None:
        """These are here whole."""
        for shard in shards:
            self._wanted.pop(shard, None)
            self._heard_ms.pop(shard, None)

    def to_ask(self, now_ms: int) -> list[int]:
        """What is to be asked for now."""
        silent = [shard for shard, at in self._heard_ms.items() if abs(now_ms - at) >= SILENT_MS]
        fresh = [shard for shard in self._wanted if shard not in self._heard_ms]
        asked = silent + fresh[: max(0, AT_ONCE - len(self._heard_ms))]
        self._heard_ms.update(dict.fromkeys(asked, now_ms))
        return asked
