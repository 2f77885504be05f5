"""DNS records remembered: every name asked for once at a time, old answers served while new ones are fetched.

An answer lives for its TTL within bounds, a "there is none" for NEGATIVE_S, a failure for FAILURE_S. One that is too
old is still served for STALE_S while it is asked for again, and kept when that fails (RFC 8767). The least used go
first.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

MIN_TTL_S = 1.0
MAX_TTL_S = 3600.0
NEGATIVE_S = 30.0
FAILURE_S = 2.0
STALE_S = 3600.0


@dataclass(frozen=True, slots=True)
class RecordSet:
    """The data of all records of one name and type, empty if there is none; ttl_s: the shortest of theirs."""

    records: tuple[object, ...]
    ttl_s: float


class QueryError(Exception):
    """A question that nobody answered: time-out, SERVFAIL, refused, or too many at once."""


Query = Callable[[str, str], Awaitable[RecordSet]]  # (name, type); QueryError


@dataclass(slots=True)
class _Entry:
    found: RecordSet | None  # None: the last question failed
    fresh_until_s: float
    stale_until_s: float


class RecordCache:
    """query: asks a server. clock: seconds that never go back. entries: most kept. in_flight: most asked at once."""

    def __init__(self, query: Query, clock: Callable[[], float], *, entries: int = 4096, in_flight: int = 64) -> None:
        self._query = query
        self._clock = clock
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._limit = entries
        self._asking: dict[tuple[str, str], asyncio.Task[RecordSet]] = {}
        self._asking_limit = in_flight

    async def get(self, name: str, kind: str) -> RecordSet:
        """The records with what is left of their TTL; QueryError if nobody answers and nobody has answered before."""
        key = (name.rstrip(".").lower(), kind)
        entry = self._entries.get(key)
        now_s = self._clock()
        if entry is not None and now_s < entry.fresh_until_s:
            self._entries.move_to_end(key)
            return self._served(key, entry, now_s)
        if entry is not None and entry.found is not None and entry.found.records and now_s < entry.stale_until_s:
            self._ask(key)
            return RecordSet(entry.found.records, MIN_TTL_S)
        asking = self._ask(key)
        if asking is None:
            raise QueryError("too many questions at once")
        return await asyncio.shield(asking)

    def close(self) -> None:
        for task in self._asking.values():
            task.cancel()

    def _served(self, key: tuple[str, str], entry: _Entry, now_s: float) -> RecordSet:
        if entry.found is None:
            raise QueryError(f"{key[1]} of {key[0]}: no answer a moment ago")
        return RecordSet(entry.found.records, entry.fresh_until_s - now_s)

    def _ask(self, key: tuple[str, str]) -> asyncio.Task[RecordSet] | None:
        """The question under way for this key, begun if there is none; None: too many are."""
        if key not in self._asking:
            if len(self._asking) >= self._asking_limit:
                return None
            task = asyncio.create_task(self._fetch(key))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._done(key, done))
        return self._asking[key]

    def _done(self, key: tuple[str, str], task: asyncio.Task[RecordSet]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # seen: whoever waits has it, and a refresh in the background has nobody waiting

    async def _fetch(self, key: tuple[str, str]) -> RecordSet:
        try:
            found = await self._query(*key)
        except QueryError:
            self._keep_failure(key)
            raise
        lives_s = min(max(found.ttl_s, MIN_TTL_S), MAX_TTL_S) if found.records else NEGATIVE_S
        self._keep(key, found, lives_s)
        return RecordSet(found.records, lives_s)

    def _keep_failure(self, key: tuple[str, str]) -> None:
        now_s = self._clock()
        old = self._entries.get(key)
        if old is not None and old.found is not None and now_s < old.stale_until_s:
            old.fresh_until_s = now_s + FAILURE_S
        else:
            self._keep(key, None, FAILURE_S)

    def _keep(self, key: tuple[str, str], found: RecordSet | None, lives_s: float) -> None:
        now_s = self._clock()
        self._entries[key] = _Entry(found, now_s + lives_s, now_s + lives_s + STALE_S)
        self._entries.move_to_end(key)
        while len(self._entries) > self._limit:
            self._entries.popitem(last=False)
