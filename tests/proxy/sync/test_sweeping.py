"""The sweep goes through a shard in pieces: all of it is met, however the tables change meanwhile."""

from __future__ import annotations

from itertools import count, islice

from proxy.control.sync.decay import DAY_MS, LANDMARK_MS, UNIT
from proxy.control.sync.evidence import EvidenceTable
from proxy.control.sync.key_set import KeySet
from proxy.control.sync.keys import place_of
from proxy.control.sync.log_sums import q_of
from proxy.control.sync.metrics import Metric, slot_of, steps_now
from proxy.control.sync.score import Band, Judgement, Why
from proxy.control.sync.sweeping import PLACES_AT_ONCE, Piece, Sweeping
from proxy.control.sync.verdicts import VerdictTable

NOW_MS = LANDMARK_MS + 300 * DAY_MS
SHARD = 7
CALLS = slot_of(Metric.CALLS)
ONE_EVENT = q_of(UNIT, steps_now(NOW_MS)[CALLS])
KEYS = list(islice((key for key in count(1 << 60 | 1_000_000) if place_of(key)[0] == SHARD), 9000))


class Tables:
    """Of one shard; every third key was seen so long ago that nothing is left of it."""

    def __init__(self, keys: list[int]) -> None:
        self.evidence, self.verdicts, self.changed = EvidenceTable(), VerdictTable(), KeySet()
        self.sweeping = Sweeping(self.evidence, self.verdicts, self.changed)
        self.old = set(keys[::3])
        for key in keys:
            self.add(key)

    def add(self, key: int) -> None:
        self.evidence.merge(key, 1, 1, 0, [CALLS, 1 if key in self.old else ONE_EVENT])
        self.verdicts.merge(key, Judgement(900, Band.BLOCK, Why.COMPLAINTS), NOW_MS // 1000 + 60, 1, 1, 1)

    def pieces(self) -> list[Piece]:
        return list(iter(self.sweeping.next_piece, None))


def test_all_is_met_once_in_pieces() -> None:
    tables = Tables(KEYS)
    tables.sweeping.begin(SHARD, NOW_MS)
    pieces = tables.pieces()
    assert len(pieces) > 2
    assert all(len(piece.verdicts) <= PLACES_AT_ONCE for piece in pieces)
    assert {key for piece in pieces for key in piece.gone} == tables.old
    assert sorted(key for piece in pieces for key in piece.evidence) == sorted(set(KEYS) - tables.old)
    assert sorted(key for piece in pieces for key in piece.verdicts) == KEYS
    assert tables.pieces() == []


def test_what_grows_meanwhile_is_met_all_the_same() -> None:
    tables = Tables(KEYS[:5000])
    tables.sweeping.begin(SHARD, NOW_MS)
    met: set[int] = set()
    more = iter(KEYS[5000:])
    while (piece := tables.sweeping.next_piece()) is not None:
        met.update(piece.evidence, piece.gone)
        for key in islice(more, 2000):
            tables.add(key)
    assert len(met.intersection(KEYS[:5000])) > 4950  # a few may have moved behind the walk: the next sweep meets them


def test_an_unfinished_sweep_is_finished_before_the_next_one() -> None:
    tables = Tables(KEYS)
    tables.sweeping.begin(SHARD, NOW_MS)
    first = tables.sweeping.next_piece()
    tables.sweeping.begin(SHARD, NOW_MS + 30_000)
    assert first is not None
    met = [key for piece in [first, *tables.pieces()] for key in piece.verdicts]
    assert sorted(met) == sorted(2 * KEYS)
