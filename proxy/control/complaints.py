"""Complaints, from whoever reports them to the reputation of the caller: stored first, weighed, then counted.

A complaint weighs what its source, its reporter and its call are worth:

    weight of the source * weight of the reporter * (1 if this node knows the call, else unbound_weight)

A reporter's first complaint of a caller counts, the same reporter's others are kept. One who complains of many callers
counts less, and beyond the daily quota nothing. Who had agreed to be called cannot complain of having been. Reporters
are known by a keyed hash alone.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from hashlib import blake2b
from pathlib import Path

from engine._numbers import block_of
from engine._reputation import ReputationCache
from engine.decision import Category
from engine.rules import Reputation
from proxy import config_complaints as config
from proxy.control.call_index import CallIndex, KnownCall
from proxy.control.complaint import Complaint
from proxy.control.complaint_store import StoredComplaint
from proxy.control.store import Store
from proxy.control.store_thread import StoreThread, StoreUnavailable

DAY_US = 86_400_000_000
_REPORTER_SPAN_US = 30 * DAY_US
_CALLERS_IN_FULL = 5  # of one reporter in that span; of n callers each counts 5 / n
_CALL_ID_BYTES = 96  # that events keep of a Call-ID
_HALF_LIVES_REPLAYED = 6
_BLOCK_DIGITS = 2
_CONSTANT_BYTES = 128  # of a table's header, before what changes
_TABLE = "reputation-table"  # which one has all that the store knows
OPERATOR = "operator"
IN_BAND = "sip-607"


class Taken(Enum):
    NEW = "new"
    REPEATED = "repeated"  # the source's id is known: nothing happened again
    SAME_CALL = "same call"  # this reporter has complained of this call
    OVER_QUOTA = "over quota"  # kept, and counts nothing


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a complaint. weight: 0 to 1."""

    taken: Taken
    case_id: int
    weight: float


@dataclass(frozen=True, slots=True)
class Counted:
    """One that counted, for the fleet: caller is a number word, complainant a keyed hash."""

    caller: int
    category: Category
    weight: float
    complainant: int
    time_s: float


OnCounted = Callable[[Counted], None]


class Complaints:
    """sources: those that may report. key: 16 bytes, the node's own. now_s: Unix seconds."""

    def __init__(
        self,
        thread: StoreThread,
        reputation: ReputationCache,
        calls: CallIndex,
        settings: config.Complaints,
        points: Reputation,
        sources: tuple[config.ComplaintSource, ...],
        key: bytes,
        now_s: Callable[[], float],
    ) -> None:
        self._thread = thread
        self._reputation = reputation
        self._calls = calls
        self._settings = settings
        self._points = points
        self._sources = {source.name: source for source in sources}
        self._key = key
        self._now_s = now_s
        self._today = 0
        self._taken_today: Counter[str] = Counter()
        self._on_counted: list[OnCounted] = []
        self.counts: Counter[str] = Counter()  # by what became of them
        self.lost = 0  # refusals by callees that could not be stored

    def on_counted(self, tell: OnCounted) -> None:
        """tell: called with each complaint that counted, once it is durable."""
        self._on_counted.append(tell)

    def source_is_full(self, source: str) -> bool:
        """Whether the source has used up its day."""
        today = int(self._now_s() * 1_000_000) // DAY_US
        if today != self._today:
            self._today = today
            self._taken_today.clear()
        known = self._sources.get(source)
        return known is not None and self._taken_today[source] >= known.per_day

    async def take(self, source: str, complaint: Complaint) -> Receipt:
        """Stores and counts a complaint; StoreUnavailable if it is not stored."""
        self._taken_today[source] += 1
        call = self._call_of(complaint)
        weight = self._sources[source].weight if source in self._sources else 1.0
        if call is None:
            weight *= self._settings.unbound_weight
        if complaint.consented:
            weight = 0.0
        draft = StoredComplaint(
            case_id=0,
            received_us=int(self._now_s() * 1_000_000),
            time_us=int(complaint.time * 1_000_000),
            caller=complaint.number,
            category=complaint.kind,
            reporter=self._hash(complaint.reporter or f"{source}\0{complaint.id or complaint.call_id}"),
            source=source,
            request=complaint.id,
            call_id=complaint.call_id,
            call_us=call.time_us if call else 0,
            weight=round(weight * 1000),
            consented=complaint.consented,
            text_hash=complaint.text_hash,
        )
        return await self._count(draft, points=True)

    async def refused_by_callee(self, call_id: bytes, caller: int, callee: int, time_us: int) -> None:
        """A 607 of the callee's own: the worker has given its points already; the word of one who was called counts."""
        draft = StoredComplaint(
            case_id=0,
            received_us=int(self._now_s() * 1_000_000),
            time_us=time_us,
            caller=caller,
            category=Category.OTHER,
            reporter=self._hash(f"callee\0{callee}"),
            source=IN_BAND,
            request="",
            call_id=call_id.decode("utf-8", "replace"),
            call_us=time_us,
            weight=round(self._settings.refused_weight * 1000),
            consented=False,
            text_hash="",
        )
        try:
            await self._count(draft, points=False)
        except StoreUnavailable:
            self.lost += 1

    async def replay(self) -> int:
        """Gives a reputation table that never had them what complaints are still worth; how many there were."""
        identity = table_identity(Path(self._reputation.table.path))
        if await self._thread.do(lambda store: store.node.cursor(_TABLE)) == identity:
            return 0
        span_us = int(self._points.half_life_days * DAY_US * _HALF_LIVES_REPLAYED)
        since_us = int(self._now_s() * 1_000_000) - span_us
        known = await self._thread.do(lambda store: list(store.complaints.since(since_us)))
        for one in known:
            self._add_points(one, points=True)
        await self._thread.do(lambda store: store.node.set_cursor(_TABLE, identity))
        return len(known)

    async def _count(self, draft: StoredComplaint, *, points: bool) -> Receipt:
        quota = self._settings.per_reporter_per_day
        taken, stored = await self._thread.do(lambda store: _store(store, draft, quota))
        self.counts[taken.value] += 1
        if taken is Taken.NEW and stored.weight:
            self._add_points(stored, points=points)
            told = Counted(stored.caller, stored.category, stored.weight / 1000, stored.reporter, stored.time_us / 1e6)
            for tell in self._on_counted:
                tell(told)
        return Receipt(taken, stored.case_id, stored.weight / 1000)

    def _add_points(self, one: StoredComplaint, *, points: bool) -> None:
        worth = self._points.complaint_points * one.weight // 1000 if points else 0
        category = Category.NONE if one.source == IN_BAND else one.category
        if one.weight:
            self._reputation.add(one.caller, one.time_us, worth, True, category)
        block = block_of(one.caller, _BLOCK_DIGITS) if one.caller >> 60 == 1 else 0
        if block and worth:
            self._reputation.add(block, one.time_us, int(worth * self._points.block_share), True)

    def _call_of(self, complaint: Complaint) -> KnownCall | None:
        """The call that is complained of, if this node knows it and it was this caller's."""
        if not complaint.call_id:
            return None
        call = self._calls.find(complaint.call_id.encode()[:_CALL_ID_BYTES])
        return call if call is not None and call.caller == complaint.number else None

    def _hash(self, text: str) -> int:
        (hashed,) = struct.unpack("<Q", blake2b(text.encode(), digest_size=8, key=self._key).digest())
        return int(hashed)


def table_identity(path: Path) -> int:
    """Of a table's file: its header holds a secret made with it."""
    with path.open("rb") as file:
        return int.from_bytes(blake2b(file.read(_CONSTANT_BYTES), digest_size=7).digest(), "big")


def _store(store: Store, draft: StoredComplaint, quota: int) -> tuple[Taken, StoredComplaint]:
    """In one transaction: is it new, whose case is it, what does it weigh."""
    known = store.complaints.of_request(draft.source, draft.request)
    if known is not None:
        return Taken.REPEATED, known
    known = store.complaints.of_call(draft.call_id, draft.reporter)
    if known is not None:
        return Taken.SAME_CALL, known
    case = store.cases.open_of(draft.caller)
    if case is None:
        case = store.cases.open_new(draft.caller, draft.received_us, draft.category)
    within = store.complaints.taken_of(draft.reporter, draft.received_us - DAY_US) < quota
    weight = draft.weight if within and not store.complaints.has_counted(case.id, draft.reporter) else 0
    if weight:
        others = store.complaints.callers_of(draft.reporter, draft.received_us - _REPORTER_SPAN_US)
        weight = weight * _CALLERS_IN_FULL // max(others + 1, _CALLERS_IN_FULL)
    stored = replace(draft, case_id=case.id, weight=weight)
    store.complaints.add(stored)
    return (Taken.NEW if within else Taken.OVER_QUOTA), stored
