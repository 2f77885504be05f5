"""The latest calls that went on to a callee, found by Call-ID: what makes a complaint one about a call that took place.

A ring of fixed size in a file of the state directory, so that a restart forgets nothing. It is a memory of what the
decision log says, not more: an entry that is gone, or was torn by a crash, only makes a complaint weigh less.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from proxy.events import EventBatch

_ENTRY = struct.Struct("<QQQq")  # hash of the Call-ID, caller, callee, Unix microseconds
_WAYS = 4  # entries that a Call-ID may stand in; the oldest goes


@dataclass(frozen=True, slots=True)
class KnownCall:
    caller: int
    callee: int
    time_us: int


class CallIndex:
    """entries: how many calls are remembered, a multiple of four. key: 16 bytes, the node's own."""

    def __init__(self, path: Path, entries: int, key: bytes) -> None:
        self._buckets = entries // _WAYS
        self._key = key
        size = self._buckets * _WAYS * _ENTRY.size
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size != size:
                os.ftruncate(fd, 0)
                os.posix_fallocate(fd, 0, size)
            self._map = mmap.mmap(fd, size)
        finally:
            os.close(fd)

    def add(self, call_id: bytes, caller: int, callee: int, time_us: int) -> None:
        hashed, first = self._place(call_id)
        times = [self._at(first + way)[3] for way in range(_WAYS)]
        oldest = min(range(_WAYS), key=times.__getitem__)
        _ENTRY.pack_into(self._map, (first + oldest) * _ENTRY.size, hashed, caller, callee, time_us)

    def find(self, call_id: bytes) -> KnownCall | None:
        """The call of this Call-ID, as far as events keep it; the latest, if there were several."""
        hashed, first = self._place(call_id)
        found = [entry for way in range(_WAYS) if (entry := self._at(first + way))[0] == hashed]
        return KnownCall(*max(found, key=lambda entry: entry[3])[1:]) if found else None

    def _at(self, entry: int) -> tuple[int, int, int, int]:
        return _ENTRY.unpack_from(self._map, entry * _ENTRY.size)

    def _place(self, call_id: bytes) -> tuple[int, int]:
        digest = blake2b(call_id, digest_size=16, key=self._key).digest()
        hashed, place = struct.unpack("<QQ", digest)
        return hashed or 1, place % self._buckets * _WAYS


class CallWatch:
    """Batches of events read for what complaints need: calls that went on, and those that callees did not want."""

    def __init__(self, index: CallIndex, on_unwanted: Callable[[bytes, int, int, int], None]) -> None:
        self._index = index
        self._on_unwanted = on_unwanted

    def add(self, batch: EventBatch) -> None:
        for call_id, caller, callee, time_us, unwanted in batch.forwarded():
            if unwanted:
                self._on_unwanted(call_id, caller, callee, time_us)
            else:
                self._index.add(call_id, caller, callee, time_us)
