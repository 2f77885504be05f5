"""Several judges, one of whom may lie: while they disagree about a key, the milder word counts.

Judges are replicas of one pure function, so two honest ones say the same, a moment apart. A judge that is there and has
said nothing of a key thinks what stands. A disagreement that outlasts two rounds of digests is an alarm: one of them
lies, or has lost what the other knows.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from proxy.control.sync.score import Judgement

MAX_DISPUTES = 100_000
LASTING_MS = 60_000


@dataclass(slots=True)
class _Dispute:
    """said: of each judge its latest word, with the stamp that it came under."""

    since_ms: int
    said: dict[int, tuple[int, Judgement]] = field(default_factory=dict)


class Opinions:
    def __init__(self) -> None:
        self._disputes: OrderedDict[int, _Dispute] = OrderedDict()

    def __len__(self) -> int:
        return len(self._disputes)

    def weigh(
        self, key: int, judge: int, hlc: int, word: Judgement, standing: Judgement, judges: frozenset[int], now_ms: int
    ) -> Judgement:
        """What counts after a judge's word. judges: those that are there. standing: what counted before."""
        others = judges - {judge}
        dispute = self._disputes.get(key)
        if not others or (dispute is None and word.band == standing.band):
            return word
        if dispute is None:
            dispute = self._disputes[key] = _Dispute(now_ms, dict.fromkeys(others, (0, standing)))
            if len(self._disputes) > MAX_DISPUTES:
                self._disputes.popitem(last=False)
        if hlc >= dispute.said.get(judge, (0, word))[0]:
            dispute.said[judge] = hlc, word
        present = [said for origin, (_, said) in dispute.said.items() if origin in judges or origin == judge]
        if len({said.band for said in present}) == 1:
            del self._disputes[key]
        return min(present, key=lambda said: (said.band, said.score))

    def disputed(self, key: int) -> bool:
        return key in self._disputes

    def lasting(self, now_ms: int) -> int:
        """Disagreements older than two rounds."""
        lasting = 0
        for dispute in self._disputes.values():
            if now_ms - dispute.since_ms < LASTING_MS:
                break
            lasting += 1
        return lasting

    def without(self, judges: frozenset[int]) -> dict[int, Judgement]:
        """Settles what is no dispute any more among the judges that are left: what counts now, by key."""
        settled = {}
        for key, dispute in list(self._disputes.items()):
            present = [said for origin, (_, said) in dispute.said.items() if origin in judges]
            if present and len({said.band for said in present}) == 1:
                settled[key] = present[0]
                del self._disputes[key]
        return settled
