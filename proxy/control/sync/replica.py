"""A node's copy of what the fleet knows: every table, every join, and the judgement that follows from them.

It holds no protocol and no clock. What a join touched is judged later, a bounded number of keys at a time.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence

from proxy.control.decisions import Decision
from proxy.control.sync.decay import DAY_MS
from proxy.control.sync.decision_log import DecisionLog
from proxy.control.sync.evidence import EvidenceTable
from proxy.control.sync.judge import Judge
from proxy.control.sync.key_set import KeySet
from proxy.control.sync.keys import SHARDS, place_of
from proxy.control.sync.opinions import Opinions
from proxy.control.sync.records import Callees, Complainants, Evidence, Generation, Region, read_keyed
from proxy.control.sync.records import Verdict as VerdictRecord
from proxy.control.sync.region_bounds import RegionBounds
from proxy.control.sync.regions import RegionTable
from proxy.control.sync.score import CLEAN, Band, Judgement, Why
from proxy.control.sync.sketches import Sketches
from proxy.control.sync.sweeping import Sweeping
from proxy.control.sync.trust import Trust
from proxy.control.sync.verdicts import TTL_S, VerdictTable

TICK_MS = 30_000


class Replica:
    """own: the origin of this node. judges: it comes to verdicts itself. reduces: it sums up its region's evidence."""

    def __init__(
        self,
        own: int,
        trust: Trust,
        *,
        judges: bool,
        reduces: bool,
        is_protected: Callable[[Decision], bool] = lambda _: False,
    ) -> None:
        self.own = own
        self.trust = trust
        self.evidence = EvidenceTable()
        self.sketches = Sketches()
        self.regions = RegionTable()
        self.verdicts = VerdictTable()
        self.opinions = Opinions()
        self.judges_there: frozenset[int] = frozenset()
        self.decisions = DecisionLog(is_protected)
        self.changed_verdicts = KeySet()
        self.judges = judges
        self.reduces = reduces
        self._judge = Judge(own, self.evidence, self.verdicts, trust)
        self._bounds = RegionBounds(trust)
        self._touched = KeySet()
        self._sweeping = Sweeping(self.evidence, self.verdicts, self.changed_verdicts)
        self._retold: set[int] = set()  # keys of which the region's records are told again, changed or not

    # --- Joins --------------------------------------------------------------------------------------------------------

    def merge_evidence(self, origin: int, epoch: int, records: Iterable[Evidence]) -> int:
        """How many records brought something new."""
        news = 0
        for key, gen, pairs in records:
            if self.evidence.merge(key, origin, epoch, gen, pairs):
                self._touched.add(key)
                news += 1
        return news

    def take_evidence(self, origin: int, epoch: int, records: bytes) -> int:
        """Likewise of a frame's E records, as they came. Refused if they are not sound; then nothing has changed."""
        return self.evidence.merge_records(records, origin, epoch, self._touched)

    def merge_complainants(self, records: Iterable[Complainants]) -> None:
        for record in records:
            if record.gen == self.evidence.generation(record.key):
                self.sketches.merge_complainants(record.key, record.gen, record.day, record.hashes)

    def merge_callees(self, records: Iterable[Callees]) -> None:
        for record in records:
            if record.gen == self.evidence.generation(record.key):
                self.sketches.merge_callees(record.key, record.gen, record.hour, record.registers)

    def merge_regions(self, region: str, trust: int, records: list[Region], now_ms: int) -> None:
        """Refused if a region cannot have said one of them; then nothing has changed."""
        self._bounds.check(region, records, now_ms)
        for record in records:
            if record.gen == self.evidence.generation(record.key) and self.regions.merge(
                region, trust, record, self.trust.parameters.f
            ):
                self._touched.add(record.key)

    def merge_verdicts(self, judge: int, hlc: int, trust: int, records: bytes, now_s: int) -> None:
        """What a judge says, as it comes: V. Who judges itself takes nobody's word. Refused if it is not sound."""
        if self.judges:
            return
        if self.judges_there <= {judge} and not self.opinions:
            self.verdicts.take(records, now_s, trust, hlc, judge, self.changed_verdicts)
        else:
            self._take_words(read_keyed(records, VerdictRecord), judge, hlc, trust, now_s)

    def copy_verdicts(self, judge: int, hlc: int, trust: int, records: bytes, now_s: int) -> None:
        """A judge's whole table, for a node that has none: what is wrong in it the other's digest shows."""
        if self.judges:
            return
        if self.opinions:
            self._copy_beside_disputes(read_keyed(records, VerdictRecord), judge, hlc, trust, now_s)
            return
        standing = set(self.verdicts.take_new(records, now_s, trust, hlc, judge, self.changed_verdicts))
        if standing:
            told = [record for record in read_keyed(records, VerdictRecord) if record.key in standing]
            self._take_words(told, judge, hlc, trust, now_s)

    def _copy_beside_disputes(
        self, records: Iterable[VerdictRecord], judge: int, hlc: int, trust: int, now_s: int
    ) -> None:
        for record in records:
            if self.verdicts.get(record.key) is None and not self.opinions.disputed(record.key):
                expires_s = now_s + min(record.ttl_s, TTL_S)
                self._put_verdict(record.key, _judgement(record), expires_s, trust, hlc, judge)
            else:
                self._take_words([record], judge, hlc, trust, now_s)

    def _take_words(self, records: Iterable[VerdictRecord], judge: int, hlc: int, trust: int, now_s: int) -> None:
        for record in records:
            expires_s = now_s + min(record.ttl_s, TTL_S)
            self._take_word(record.key, judge, hlc, trust, _judgement(record), now_s, expires_s)

    def hear_silence(
        self, judge: int, hlc: int, trust: int, shard: int, buckets: frozenset[int], said: set[int], now_s: int
    ) -> None:
        """A judge told all it thinks of some buckets: of keys that it did not name it thinks nothing."""
        if self.judges:
            return
        for key, verdict in self.verdicts.items(shard):
            if place_of(key)[1] in buckets and key not in said and verdict.judgement.band is not Band.NONE:
                self._take_word(key, judge, hlc, trust, CLEAN, now_s, now_s + TTL_S)

    def set_judges(self, there: frozenset[int], trust: int, hlc: int, now_s: int) -> None:
        """Those that are connected; of one that has gone nobody waits to hear."""
        if there != self.judges_there:
            self.judges_there = there
            for key, judgement in self.opinions.without(there).items():
                self._put_verdict(key, judgement, now_s + TTL_S, trust, hlc, self.own)

    def _take_word(
        self, key: int, judge: int, hlc: int, trust: int, judgement: Judgement, now_s: int, expires_s: int
    ) -> None:
        standing = self.verdicts.get(key)
        before = CLEAN if standing is None else standing.judgement
        was_disputed = self.opinions.disputed(key)
        counts = self.opinions.weigh(key, judge, hlc, judgement, before, self.judges_there, now_s * 1000)
        if was_disputed or counts != judgement:
            if counts == before:
                return
            hlc = max(hlc, self.verdicts.stamp(key) + 1)
        self._put_verdict(key, counts, expires_s, trust, hlc, judge)

    def _put_verdict(self, key: int, judgement: Judgement, expires_s: int, trust: int, hlc: int, judge: int) -> None:
        if self.verdicts.merge(key, judgement, expires_s, trust, hlc, judge):
            self.changed_verdicts.add(key)

    def merge_generations(self, records: Sequence[Generation]) -> list[Generation]:
        """Those that were new. One step at a time: a key is forgiven once by each."""
        won = []
        for record in records:
            step = record.gen - self.evidence.generation(record.key)
            if step == 1 and self.evidence.raise_generation(record.key, record.gen):
                self._void(record.key)
                won.append(record)
        return won

    def replace_trust(self, trust: Trust) -> None:
        """A newer bundle: what members said that are none any more is void."""
        gone = {m.origin for m in self.trust.members} - {m.origin for m in trust.members}
        self.trust = trust
        self._judge.use(trust)
        self._bounds = RegionBounds(trust)
        for origin in gone | set(trust.bundle.revoked):
            touched = self.evidence.drop_origin(origin)
            self._touched.update(touched)
            self._retold.update(touched if self.reduces else ())
        self.tell_regions_again()

    def tell_regions_again(self, shards: Iterable[int] = range(SHARDS)) -> None:
        """What was lost on the way to those that judge heals by it."""
        if self.reduces:
            for shard in shards:
                self._tell_again(self.evidence.keys(shard))

    def _tell_again(self, keys: list[int]) -> None:
        self._touched.update(keys)
        self._retold.update(keys)

    def _void(self, key: int) -> None:
        self.sketches.forget(key)
        self.regions.forget(key)
        self._touched.add(key)

    # --- Judgement ----------------------------------------------------------------------------------------------------

    @property
    def untouched(self) -> bool:
        return not self._touched

    @property
    def keys_to_judge(self) -> int:
        """Keys that are still to be judged."""
        return len(self._touched)

    def judge_touched(self, now_ms: int, hlc: int, limit: int) -> tuple[list[Region], list[VerdictRecord]]:
        """Looks at up to `limit` keys again: the region records and the verdicts that are to be told."""
        regions: list[Region] = []
        verdicts: list[VerdictRecord] = []
        tick_ms = now_ms - now_ms % TICK_MS
        keys = self._touched.take(limit)
        if self.reduces:
            for key in keys:
                regions += self._reduce(key, tick_ms)
        if self.judges:
            said = self.regions if self.reduces or self.regions.is_used else None
            verdicts = self._judge.judge(keys, said, tick_ms, now_ms, hlc, self.changed_verdicts, self._touched)
        return regions, verdicts

    def begin_sweep(self, tick: int) -> None:
        """Once a tick of the grid: goes through one shard, piece by piece."""
        self._sweeping.begin(tick % SHARDS, tick * TICK_MS)

    def sweep(self) -> list[int]:
        """The next piece: drops what has decayed and looks at the rest again, since time alone changes it.

        The keys that are gone.
        """
        piece = self._sweeping.next_piece()
        if piece is None:
            return []
        for key in piece.gone:
            self.sketches.forget(key)
            self.regions.forget(key)
        self._touched.update(piece.gone)
        if self.reduces:
            self._tell_again(piece.evidence)
        if self.judges:
            self._touched.update(piece.verdicts)
        return piece.gone

    def take_changed_bands(self, limit: int, now_s: int) -> tuple[array[int], bytearray]:
        """Keys (format Q) whose verdicts are to be put into force, and the `Band` of each as it is now."""
        return self.verdicts.take_changed(self.changed_verdicts, limit, now_s)

    @property
    def _f(self) -> int:
        return self.trust.parameters.f

    def _reduce(self, key: int, tick_ms: int) -> list[Region]:
        """Sums up what the own evidence says of a key; what is to be told of it."""
        told: list[Region] = []
        for region, records in self._with_nothing_left(key, self._judge.reduce(key, tick_ms), tick_ms).items():
            changed = [r for r in records if self.regions.merge(region, self.trust.version, r, self._f)]
            told += records if key in self._retold else changed
        self._retold.discard(key)
        return told

    def _with_nothing_left(self, key: int, reduced: dict[str, list[Region]], tick_ms: int) -> dict[str, list[Region]]:
        """Says so too of metrics whose evidence was all of a revoked member: otherwise nobody would forget it."""
        gen = self.evidence.generation(key)
        for region, metrics in self.regions.outdated(key, self.trust.version).items():
            told = {record.metric for record in reduced.get(region, ())}
            left = [metric for metric in metrics if metric not in told]
            reduced.setdefault(region, []).extend(Region(key, gen, m, 0, tick_ms // DAY_MS, 0, []) for m in left)
        return reduced


def _judgement(record: VerdictRecord) -> Judgement:
    return Judgement(record.score, Band(record.band), Why(record.why))
