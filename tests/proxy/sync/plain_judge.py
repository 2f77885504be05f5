"""The judge as the design has it, slow and obvious: what the native one is checked against, bit by bit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from math import sqrt

from proxy.control.evidence_slots import Slot
from proxy.control.sync.decay import DAY_MS, MAX_Q, MOST_WORTH, POWERS, STEPS, UNIT, floor_log2
from proxy.control.sync.metrics import BAD_WEIGHTS, GOOD_WEIGHTS, steps_now
from proxy.control.sync.records import Region
from proxy.control.sync.score import HYSTERESIS, WHY, Band, Judgement, Why
from proxy.control.sync.trust import Parameters

Z = 1.96
FRACTION_BITS = 63
SUM_DOUBLINGS = 80


def worth(q: int, now_steps: int) -> int:
    if not q:
        return 0
    doublings, fraction = divmod(q - now_steps, STEPS)
    shift = FRACTION_BITS - 16 - doublings
    return min(POWERS[fraction] >> shift if shift >= 0 else MOST_WORTH, MOST_WORTH)


def q_of(events: int, now_steps: int) -> int:
    return max(now_steps + floor_log2(events, -16), 1) if events > 0 else 0


def sum_q(parts: Iterable[int]) -> int:
    present = [q for q in parts if q]
    if len(present) < 2:
        return present[0] if present else 0
    base = (max(present) >> 10) - SUM_DOUBLINGS
    total = sum(POWERS[q & STEPS - 1] << (q >> 10) - base for q in present if q >> 10 >= base)
    return min(floor_log2(total, base - FRACTION_BITS), MAX_Q)


def difference_q(whole: int, parts: Iterable[int]) -> int:
    base = (whole >> 10) - SUM_DOUBLINGS
    total = POWERS[whole & STEPS - 1] << (whole >> 10) - base if whole else 0
    total -= sum(POWERS[q & STEPS - 1] << max((q >> 10) - base, 0) for q in parts if q and q >> 10 >= base)
    return max(floor_log2(total, base - FRACTION_BITS), 0) if total > 0 else 0


def reduce_key(
    key: int,
    gen: int,
    slots: Iterable[Slot],
    index_of: Callable[[int], int | None],
    parameters: Parameters,
    tick_ms: int,
) -> list[Region]:
    """A region's record of each metric. index_of: origin -> its index in the region, None if it does not count."""
    steps = steps_now(tick_ms)
    by_origin: dict[tuple[int, int], list[int]] = defaultdict(list)  # (metric, index): q of each epoch
    for origin, _, metric, q in slots:
        index = index_of(origin)
        if index is not None:
            by_origin[metric, index].append(q)
    by_metric: dict[int, list[tuple[int, int]]] = defaultdict(list)  # metric: (q, index)
    for (metric, index), qs in by_origin.items():
        by_metric[metric].append((min(sum_q(qs), q_of(parameters.cap * UNIT, steps[metric])), index))
    return [
        Region(
            key,
            gen,
            metric,
            sum_q(q for q, _ in contributed),
            tick_ms // DAY_MS,
            sum(1 << index for _, index in contributed),
            [(index, q) for q, index in sorted(contributed, reverse=True)[: parameters.f]],
        )
        for metric, contributed in sorted(by_metric.items())
    ]


def judge(regions: Mapping[str, Iterable[Region]], parameters: Parameters, tick_ms: int, before: Band) -> Judgement:
    by_metric: dict[int, list[tuple[str, Region]]] = {}
    for name, records in regions.items():
        for record in records:
            by_metric.setdefault(record.metric, []).append((name, record))
    steps = steps_now(tick_ms)
    left = {
        metric: weight * _trimmed(by_metric[metric], parameters.f, steps[metric])
        for metric, weight in (BAD_WEIGHTS | GOOD_WEIGHTS).items()
        if metric in by_metric
    }
    bad = sum(share for metric, share in left.items() if metric in BAD_WEIGHTS)
    score = wilson(bad, sum(left.values()))
    why = Why(0)
    for metric, share in left.items():
        if share and metric in BAD_WEIGHTS:
            why |= WHY[metric]
    band = _band(score, parameters, before)
    if band is Band.BLOCK and _origins(by_metric) < parameters.origins_to_block:
        return Judgement(score, Band.TAG, why | Why.FEW_ORIGINS)
    return Judgement(score, band, why)


def wilson(bad: int, all_of: int) -> int:
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
    seen: dict[str, int] = {}
    for metric in BAD_WEIGHTS:
        for name, record in by_metric.get(metric, ()):
            seen[name] = seen.get(name, 0) | record.origins
    return sum(bitmap.bit_count() for bitmap in seen.values())
