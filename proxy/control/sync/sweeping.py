"""The sweep: every 30 s one of the 64 shards is gone through, in pieces that the event loop does not notice.

A piece is a hundredth of a shard, or some thousands of its places if that is more: with a piece each tick a shard is
done before the next one is due, however large it is.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from proxy.control.sync.evidence import EvidenceTable
from proxy.control.sync.key_set import KeySet
from proxy.control.sync.keys import SHARDS
from proxy.control.sync.verdicts import VerdictTable

PLACES_AT_ONCE = 4000
PIECES = 100
END = 1 << 32  # of a shard, by whose parts a walk knows where it stands


@dataclass(slots=True)
class Piece:
    """What a piece has met: keys whose evidence is gone, keys that have some, keys that have a verdict."""

    gone: list[int]
    evidence: list[int]
    verdicts: list[int]


@dataclass(slots=True)
class _Walk:
    """now_ms: the same on all nodes, so that their digests stay comparable. evidence, verdicts: how far it is."""

    shard: int
    now_ms: int
    evidence: int = 0
    verdicts: int = 0


class Sweeping:
    """changed: gets the keys whose verdicts are worth less than they were."""

    def __init__(self, evidence: EvidenceTable, verdicts: VerdictTable, changed: KeySet) -> None:
        self._evidence = evidence
        self._verdicts = verdicts
        self._changed = changed
        self._walks: deque[_Walk] = deque(maxlen=SHARDS)

    def begin(self, shard: int, now_ms: int) -> None:
        """now_ms: of the grid. Those that were begun before are done first."""
        self._walks.append(_Walk(shard, now_ms))

    def next_piece(self) -> Piece | None:
        """None if all that was begun is done."""
        if not self._walks:
            return None
        walk, piece = self._walks[0], Piece([], [], [])
        if walk.evidence < END:
            places = self._places(len(self._evidence))
            piece.gone, piece.evidence, walk.evidence = self._evidence.sweep(
                walk.shard, walk.now_ms, walk.evidence, places
            )
        if walk.verdicts < END:
            places = self._places(len(self._verdicts))
            piece.verdicts, walk.verdicts = self._verdicts.expire(
                walk.shard, walk.now_ms // 1000, self._changed, walk.verdicts, places
            )
        if min(walk.evidence, walk.verdicts) == END:
            self._walks.popleft()
        return piece

    @staticmethod
    def _places(keys: int) -> int:
        """keys: of all shards. A table is at least half full once it is large."""
        return max(PLACES_AT_ONCE, 2 * keys // SHARDS // PIECES)
