"""From what the regions say of a key to a score and a band.

The F largest contributions of all regions are subtracted, bad and good evidence alike; what is left gives the lower
bound of Wilson's interval (JASA 1927) for the share of the bad. All of it is a function of the state and of the tick,
in integers and in operations that IEEE 754 rounds in one way, so that every node comes to the same score.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from math import sqrt

from proxy.control.sync.decay import UNIT, difference_q, sum_q, worth
from proxy.control.sync.metrics import BAD_WEIGHTS, GOOD_WEIGHTS, Metric, slot_of, steps_now
from proxy.control.sync.records import Region
from proxy.control.sync.trust import Parameters

Z = 1.96  # 95 %, two-sided
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


_WHY = {
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


def judge(
    regions: Mapping[str, Iterable[Region]], parameters: Parameters, tick_ms: int, before: Band = Band.NONE
) -> Judgement:
    """regions: what each says of one key. before: the band it is in."""
    by_metric: dict[int, list[tuple[str, Region]]] = {}
    for name, records in regions.items():
        for record in records:
            by_metric.setdefault(record.metric, []).append((name, record))
    steps = steps_now(tick_ms)
    bad = {
        metric: weight * _trimmed(by_metric[metric], parameters.f, steps[metric])
        for metric, weight in BAD_WEIGHTS.items()
        if metric in by_metric
    }
    good = sum(
        weight * _trimmed(by_metric[metric], parameters.f, steps[metric])
        for metric, weight in GOOD_WEIGHTS.items()
        if metric in by_metric
    )
    score = wilson(sum(bad.values()), sum(bad.values()) + good)
    why = Why(0)
    for metric, share in bad.items():
        if share:
            why |= _WHY[metric]
    band = _band(score, parameters, before)
    if band is Band.BLOCK and _origins(by_metric) < parameters.origins_to_block:
        return Judgement(score, Band.TAG, why | Why.FEW_ORIGINS)
    return Judgement(score, band, why)


def wilson(bad: int, all_of: int) -> int:
    """0..1000. bad, all_of: in hundredths of 1/65,536 event."""
    if bad <= 0:
        return 0
    n = all_of / (100 * UNIT)
    p = bad / all_of
    z2 = Z * Z
    lower = (p + z2 / (2 * n) - Z * sqrt(p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(0, min(1000, int(1000 * lower)))


def _band(score: int, parameters: Parameters, before: Band) -> Band:
    thresholds = {Band.BLOCK: parameters.block, Band.CHALLENGE: parameters.challenge, Band.TAG: parameters.tag}
    for band, threshold in thresholds.items():
        if score >= (threshold - threshold // HYSTERESIS if band <= before else threshold):
            return band
    return Band.NONE


def _trimmed(records: list[tuple[str, Region]], f: int, now_steps: int) -> int:
    """Events, in units of 1/65,536, without the F largest contributions."""
    largest = sorted((q for _, record in records for _, q in record.largest), reverse=True)[:f]
    return worth(difference_q(sum_q(record.q for _, record in records), largest), now_steps)


def _origins(by_metric: Mapping[int, list[tuple[str, Region]]]) -> int:
    """How many distinct origins have seen anything bad."""
    seen: dict[str, int] = {}
    for metric in BAD_WEIGHTS:
        for name, record in by_metric.get(metric, ()):
            seen[name] = seen.get(name, 0) | record.origins
    return sum(bitmap.bit_count() for bitmap in seen.values())
