"""The fleet's tables as plain dictionaries, slow and obvious: what the native ones are checked against.

Digests are made of the whole state each time, by the standard library's BLAKE2b.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from struct import pack

from proxy.control.sync.keys import BUCKETS, SHARDS, place_of
from proxy.control.sync.verdicts import LANDMARK_S, TTL_S


def digest_of(entries: Iterable[tuple[int, bytes]]) -> list[list[int]]:
    """entries: (key, what is hashed). [shard][bucket]."""
    buckets = [[0] * BUCKETS for _ in range(SHARDS)]
    for key, entry in entries:
        shard, bucket = place_of(key)
        buckets[shard][bucket] ^= int.from_bytes(blake2b(entry, digest_size=8).digest())
    return buckets


class PlainVerdicts:
    """state: key -> (trust, hlc, reducer, score, band, why, expiry)."""

    def __init__(self) -> None:
        self.state: dict[int, tuple[int, int, int, int, int, int, int]] = {}
        self.changed: list[int] = []

    def merge(self, key: int, score: int, band: int, why: int, ttl_s: int, now_s: int, stamp: tuple[int, int, int]):
        expiry = min(max(now_s + min(ttl_s, TTL_S) - LANDMARK_S, 0), 0xFFFF_FFFF)
        new = (*stamp, score, band, why, expiry)
        old = self.state.get(key)
        if old is None or new > old:
            self.state[key] = new
            if (old is None or old[3:6] != new[3:6]) and key not in self.changed:
                self.changed.append(key)

    def digest(self) -> list[list[int]]:
        return digest_of((key, pack(">QI", key, s << 19 | b << 16 | w)) for key, (*_, s, b, w, _) in self.state.items())
