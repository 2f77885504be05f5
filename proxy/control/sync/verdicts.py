"""Verdicts: what the fleet thinks of a key. Joined by the larger of two integers: a stamp above, the entry below.

    entry (64 bits) = score 10 | band 3 | why 16 | expiry 32 (s since 2026-01-01) | flags 3
    stamp           = trust 32 | hlc 64 | reducer 32
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from proxy.control.sync.decay import LANDMARK_MS
from proxy.control.sync.digest import Digest
from proxy.control.sync.keys import SHARDS, place_of
from proxy.control.sync.score import Band, Judgement, Why

LANDMARK_S = LANDMARK_MS // 1000
TTL_S = 6 * 3600  # a block that nobody renewed for so long becomes a label,
FORGOTTEN_S = 18 * 3600  # and nothing so much later

_ENTRY_BITS = 64


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


class VerdictTable:
    def __init__(self) -> None:
        self.digest = Digest()
        self._shards: list[dict[int, int]] = [{} for _ in range(SHARDS)]

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def merge(self, key: int, judgement: Judgement, expires_s: int, trust: int, hlc: int, reducer: int) -> bool:
        """Whether the judgement has changed by it."""
        place = place_of(key)
        shard = self._shards[place[0]]
        old = shard.get(key, 0)
        new = (trust << 96 | hlc << 32 | reducer) << _ENTRY_BITS | _packed(judgement, expires_s)
        if new <= old:
            return False
        shard[key] = new
        if old and _judgement(old) == judgement:
            return False
        if old:
            self.digest.toggle(place, _canonical(key, old))
        self.digest.toggle(place, _canonical(key, new))
        return True

    def get(self, key: int) -> Verdict | None:
        packed = self._shards[place_of(key)[0]].get(key)
        return None if packed is None else _unpacked(packed)

    def stamp(self, key: int) -> int:
        """The hlc under which the verdict was given; 0 if there is none."""
        return self._shards[place_of(key)[0]].get(key, 0) >> _ENTRY_BITS + 32 & (1 << 64) - 1

    def stamp_ms(self, key: int) -> int:
        """When the verdict was given, in Unix ms; 0 if there is none."""
        return self._shards[place_of(key)[0]].get(key, 0) >> _ENTRY_BITS + 48 & (1 << 48) - 1

    def items(self, shard: int) -> Iterator[tuple[int, Verdict]]:
        for key, packed in list(self._shards[shard].items()):
            yield key, _unpacked(packed)

    def forget(self, key: int) -> None:
        place = place_of(key)
        packed = self._shards[place[0]].pop(key, None)
        if packed is not None:
            self.digest.toggle(place, _canonical(key, packed))


def _packed(judgement: Judgement, expires_s: int) -> int:
    expiry = min(max(expires_s - LANDMARK_S, 0), 0xFFFF_FFFF)
    return judgement.score << 54 | judgement.band << 51 | judgement.why << 35 | expiry << 3


def _judgement(packed: int) -> Judgement:
    return Judgement(packed >> 54 & 0x3FF, Band(packed >> 51 & 7), Why(packed >> 35 & 0xFFFF))


def _unpacked(packed: int) -> Verdict:
    return Verdict(_judgement(packed), (packed >> 3 & 0xFFFF_FFFF) + LANDMARK_S)


def _canonical(key: int, packed: int) -> bytes:
    """Without the time at which it ends: that is renewed."""
    return (key << 32 | packed >> 35 & 0x1FFF_FFFF).to_bytes(12)
