"""What a region can have said: a sum that its own members cannot add up to is a lie, and refused.

No member counts for more than the cap, and none but the F largest for more than the smallest of these. So who sums up
a region can make up no more than all its members together could say, and must show as many of them.
"""

from __future__ import annotations

from proxy.control.sync.decay import UNIT
from proxy.control.sync.log_sums import q_of, sum_q
from proxy.control.sync.metrics import steps_now
from proxy.control.sync.records import Refused, Region
from proxy.control.sync.trust import Trust

ROUNDING = 4  # steps of q that sums of up to 32 parts may differ by
AHEAD_MS = 30_000  # a sum is made at the tick of its reducer, whose clock may be ahead a little


class RegionBounds:
    """Of one trust bundle."""

    def __init__(self, trust: Trust) -> None:
        self._f = trust.parameters.f
        self._cap = trust.parameters.cap * UNIT
        self._tick_ms = -1
        self._caps: list[int] = []
        self._members: dict[str, int] = {}  # as bits, revoked ones too: records of before are on their way
        for member in trust.bundle.members:
            self._members[member.region] = self._members.get(member.region, 0) | 1 << member.index

    def check(self, region: str, records: list[Region], now_ms: int) -> None:
        """Refused if one of them cannot be."""
        tick_ms = now_ms - now_ms % AHEAD_MS + 2 * AHEAD_MS
        if tick_ms != self._tick_ms:
            self._tick_ms = tick_ms
            self._caps = [q_of(self._cap, steps) for steps in steps_now(tick_ms)]
        if not all(self._is_possible(record, self._members.get(region, 0)) for record in records):
            raise Refused("region")

    def _is_possible(self, record: Region, members: int) -> bool:
        count, cap = record.origins.bit_count(), self._caps[record.metric]
        indices = {index for index, _ in record.largest}
        if record.origins & ~members or len(indices) != min(self._f, count) or len(record.largest) != len(indices):
            return False
        if any(not record.origins >> index & 1 or q > cap for index, q in record.largest):
            return False
        shown = [q for _, q in record.largest]
        most = min([cap, *shown])
        return record.q <= sum_q([*shown, *[most] * (count - len(shown))]) + ROUNDING
