"""What the calls of this node say of their callers, as evidence for the fleet. No callee's number leaves the node."""

from __future__ import annotations

from collections.abc import Callable

from engine._numbers import block_of
from engine.decision import Action
from proxy.control.sync.keys import KIND_SHIFT, KeyKind
from proxy.control.sync.metrics import Metric
from proxy.control.sync.recent_callers import RecentCallers
from proxy.events import EventBatch, EventRecord

SCREENED, ENDED = 1, 2  # EventType of proxy/events.pxd
SHORT_MS = 6000
LONG_MS = 60_000
BLOCK_DIGITS = 2
_CALLERS = frozenset({KeyKind.NUMBER, KeyKind.SHORT_CODE})

Observe = Callable[[int, Metric, int], None]  # (key, metric, now_ms)
Called = Callable[[int, int, int], None]  # (caller, callee, now_ms)


def observe_calls(
    batch: EventBatch,
    observe: Observe,
    callers: RecentCallers,
    called: Called = lambda caller, callee, now_ms: None,
    trunk_of: Callable[[EventRecord], int] = lambda record: 0,
) -> None:
    """trunk_of: the hash of the name of the trunk by which a call came."""
    for record in batch:
        if record.caller >> KIND_SHIFT not in _CALLERS:
            continue
        now_ms = record.time_us // 1000
        if record.type == SCREENED:
            callers.add(record.caller, record.action >= Action.REJECT, now_ms, trunk_of(record))
        metric = metric_of(record)
        if metric is None:
            continue
        observe(record.caller, metric, now_ms)
        if metric is Metric.CALLS:
            called(record.caller, record.callee, now_ms)
        block = block_of(record.caller, BLOCK_DIGITS)
        if block:
            observe(block, metric, now_ms)


def metric_of(record: EventRecord) -> Metric | None:
    """What one event counts as; calls that were rejected here say nothing new of their caller."""
    if record.type == SCREENED:
        return Metric.CALLS if record.action < Action.REJECT else None
    if record.type != ENDED:
        return None
    if record.status >= 300 or not record.status:
        return Metric.UNANSWERED
    if record.talk_ms < SHORT_MS:
        return Metric.SHORT_ANSWERED
    return Metric.LONG_ANSWERED if record.talk_ms >= LONG_MS else None
