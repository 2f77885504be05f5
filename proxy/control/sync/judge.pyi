"""Judging: from evidence, or from what the regions say of it, to verdicts. Keys by the hundred thousand a second."""

from collections.abc import Iterable, Mapping

from proxy.control.sync.evidence import EvidenceTable
from proxy.control.sync.key_set import KeySet
from proxy.control.sync.records import Region
from proxy.control.sync.records import Verdict as VerdictRecord
from proxy.control.sync.regions import RegionTable
from proxy.control.sync.score import Band, Judgement
from proxy.control.sync.trust import Trust
from proxy.control.sync.verdict_entries import VerdictEntries

class Judge:
    """own: the origin that judges."""

    def __init__(self, own: int, evidence: EvidenceTable, verdicts: VerdictEntries, trust: Trust) -> None: ...
    def use(self, trust: Trust) -> None:
        """By this bundle from now on."""
    def reduce(self, key: int, tick_ms: int) -> dict[str, list[Region]]:
        """What each region says of a key, from the evidence that is here: a record of each metric."""
    def weigh(self, regions: Mapping[str, Iterable[Region]], tick_ms: int, before: Band) -> Judgement:
        """What follows from what the regions say of one key. before: the band it is in."""
    def weigh_evidence(self, key: int, tick_ms: int, before: Band) -> Judgement:
        """What follows from the evidence that is here."""
    def judge(
        self,
        keys: Iterable[int],
        regions: RegionTable | None,
        tick_ms: int,
        now_ms: int,
        hlc: int,
        changed: KeySet,
        again: KeySet,
    ) -> list[VerdictRecord]:
        """Comes to verdicts on keys; those that are to be told.

        regions: by what these say, None = by the evidence. changed: gets the keys whose judgement has changed. again:
        gets those whose band changes too soon after its last change.
        """
