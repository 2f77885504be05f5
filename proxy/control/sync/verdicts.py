"""Verdicts: what the fleet thinks of a key. Joined by the larger of two integers: a stamp above, the entry below.

    entry (64 bits) = score 10 | band 3 | why 16 | expiry 32 (s since 2026-01-01) | flags 3
    stamp           = trust 32 | hlc 64 | reducer 32
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from proxy.control.sync.decay import LANDMARK_MS
from proxy.control.sync.key_set import KeySet
from proxy.control.sync.score import Band, Judgement, Why
from proxy.control.sync.verdict_entries import VerdictEntries

LANDMARK_S = LANDMARK_MS // 1000
TTL_S = 6 * 3600  # a block that nobody renewed for so long becomes a label,
FORGOTTEN_S = 18 * 3600  # and nothing so much later


@dataclass(frozen=True, slots=True)
class Verdict:
    """expires_s: Unix seconds."""

    judgement: Judgement
    expires_s: int

    def band_at(self, now_s: int) -> Band:
        """What it is worth now: nothing is blocked for ever because nobody took it back."""
        if now_s < self.expires_s:
            return self.judgement.band
        if now_s < self.expires_s + FORGOTTEN_S:
            return min(self.judgement.band, Band.TAG)
        return Band.NONE


class VerdictTable(VerdictEntries):
    """Times are Unix seconds."""

    def merge(self, key: int, judgement: Judgement, expires_s: int, trust: int, hlc: int, reducer: int) -> bool:
        """Whether the judgement has changed by it."""
        return self.merge_entry(key, _packed(judgement, expires_s), trust, hlc, reducer)

    def take(self, records: bytes, now_s: int, trust: int, hlc: int, reducer: int, changed: KeySet) -> int:
        """The V records of a frame; how many. `changed` gets the keys of those that changed a judgement."""
        return self.merge_records(records, now_s - LANDMARK_S, TTL_S, trust, hlc, reducer, changed)

    def get(self, key: int) -> Verdict | None:
        packed = self.entry(key)
        return None if packed is None else _unpacked(packed)

    def why(self, key: int) -> int:
        """What the verdict was given for, as `Why`; 0 if there is none."""
        return (self.entry(key) or 0) >> 35 & 0xFFFF

    def take_new(
        self, records: bytes, now_s: int, trust: int, hlc: int, reducer: int, changed: KeySet
    ) -> list[int]:
        """Likewise, but for keys that are in another band already: these are left as they are, and returned."""
        standing: list[int] = []
        self.merge_records(records, now_s - LANDMARK_S, TTL_S, trust, hlc, reducer, changed, standing)
        return standing

    def stamp_ms(self, key: int) -> int:
        """When the verdict was given, in Unix ms; 0 if there is none."""
        return self.stamp(key) >> 16

    def items(self, shard: int) -> Iterator[tuple[int, Verdict]]:
        for key in self.keys(shard):
            packed = self.entry(key)
            if packed is not None:
                yield key, _unpacked(packed)

    def expire(self, shard: int, now_s: int, changed: KeySet, start: int, places: int) -> tuple[list[int], int]:
        """Forgets those that are worth nothing any more; `changed` gets all that are worth less now.

        Of a piece of a shard: (all keys of the piece, where the next one starts), as `EvidenceTable.sweep`.
        """
        return self.fade(shard, now_s - LANDMARK_S, FORGOTTEN_S, changed, start, places)

    def take_changed(self, changed: KeySet, limit: int, now_s: int) -> tuple[array[int], bytearray]:
        """Up to so many keys out of `changed`, with the band that each is in now."""
        return self.take_bands(changed, limit, now_s - LANDMARK_S, FORGOTTEN_S)


def _packed(judgement: Judgement, expires_s: int) -> int:
    expiry = min(max(expires_s - LANDMARK_S, 0), 0xFFFF_FFFF)
    return judgement.score << 54 | judgement.band << 51 | judgement.why << 35 | expiry << 3


def _judgement(packed: int) -> Judgement:
    return Judgement(packed >> 54 & 0x3FF, Band(packed >> 51 & 7), Why(packed >> 35 & 0xFFFF))


def _unpacked(packed: int) -> Verdict:
    return Verdict(_judgement(packed), (packed >> 3 & 0xFFFF_FFFF) + LANDMARK_S)
