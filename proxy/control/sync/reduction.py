"""From evidence slots to what a region says of a key: capped sums, who contributed, and the largest contributions.

No origin counts for more than the cap, and those that judge subtract the F largest: F members that lie together add
nothing that an honest one has not said. A cap c * 2^((t - t0) / H) grows, and the smaller of two growing values grows,
so the sums are monotone and join by the larger value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from proxy.control.sync.decay import DAY_MS, UNIT, q_of, sum_q
from proxy.control.sync.evidence import Slot
from proxy.control.sync.metrics import steps_now
from proxy.control.sync.records import Region
from proxy.control.sync.trust import Parameters


def reduce_key(
    key: int,
    gen: int,
    slots: Iterable[Slot],
    index_of: Callable[[int], int | None],
    parameters: Parameters,
    tick_ms: int,
) -> list[Region]:
    """The region's record of each metric. index_of: origin -> its index in the region, None if it does not count."""
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


def join_regions(ours: Region, theirs: Region, f: int) -> Region:
    """Of two records of the same region, key, generation and metric: larger sum, all origins, the F largest."""
    largest = dict(ours.largest)
    for index, q in theirs.largest:
        largest[index] = max(largest.get(index, 0), q)
    ordered = sorted(largest.items(), key=lambda item: (-item[1], -item[0]))
    return Region(
        ours.key,
        ours.gen,
        ours.metric,
        max(ours.q, theirs.q),
        max(ours.day, theirs.day),
        ours.origins | theirs.origins,
        ordered[:f],
    )
