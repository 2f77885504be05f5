"""What a verdict says of a key: a score, a band, and what for. `judge` comes to it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag

from proxy.control.sync.metrics import Metric, slot_of

HYSTERESIS = 10  # a band that was reached is left a tenth of its threshold below it


class Band(IntEnum):
    NONE = 0
    TAG = 1
    CHALLENGE = 2
    BLOCK = 3


class Why(IntFlag):
    COMPLAINTS = 1
    TRAP_HITS = 2
    INVALID_CALLEE = 4
    SHORT_ANSWERED = 8
    UNANSWERED = 16
    FEW_ORIGINS = 256  # the score is that of a higher band, but too few have seen it


WHY = {
    slot_of(Metric.COMPLAINTS): Why.COMPLAINTS,
    slot_of(Metric.TRAP_HITS): Why.TRAP_HITS,
    slot_of(Metric.INVALID_CALLEE): Why.INVALID_CALLEE,
    slot_of(Metric.SHORT_ANSWERED): Why.SHORT_ANSWERED,
    slot_of(Metric.UNANSWERED): Why.UNANSWERED,
}


@dataclass(frozen=True, slots=True)
class Judgement:
    score: int
    band: Band
    why: Why


CLEAN = Judgement(0, Band.NONE, Why(0))
