"""What is still to be told: a set of keys, not a queue. The latest state of a key replaces what was not sent of it.

So however long the broker is away, there is one entry a key. When the set is full, the shard of what has no room is
marked, and told again as a whole when there is room: nothing is lost.
"""

from __future__ import annotations

from proxy.control.sync.key_set import KeySet
from proxy.control.sync.keys import place_of
from proxy.control.sync.own import URGENCIES

MAX_KEYS = 2_000_000


class Outbox:
    """marked_shards: those of which something had no room."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._dirty = tuple(KeySet() for _ in range(URGENCIES))
        self.marked_shards: set[int] = set()

    def __len__(self) -> int:
        return sum(map(len, self._dirty))

    def mark(self, key: int, urgency: int) -> None:
        """urgency: 0 is sent first."""
        for sooner in self._dirty[: urgency + 1]:
            if key in sooner:
                return
        for later in self._dirty[urgency + 1 :]:
            later.discard(key)
        if len(self) >= self._max_keys:
            self.marked_shards.add(place_of(key)[0])
        else:
            self._dirty[urgency].add(key)

    def has(self, urgency: int) -> bool:
        return len(self._dirty[urgency]) > 0

    def take(self, limit: int, least_urgent: int = URGENCIES - 1) -> list[tuple[int, int]]:
        """The next keys with their urgency, most urgent first; they are no longer here."""
        taken: list[tuple[int, int]] = []
        for urgency, keys in enumerate(self._dirty[: least_urgent + 1]):
            taken += [(key, urgency) for key in keys.take(limit - len(taken))]
        return taken

    def next_marked_shard(self) -> int | None:
        """A shard to be told as a whole, once there is room for it."""
        return self.marked_shards.pop() if self.marked_shards and len(self) < self._max_keys // 2 else None
