"""The fleet's tables as plain dictionaries, slow and obvious: what the native ones are checked against.

Digests are made of the whole state each time, by the standard library's BLAKE2b.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import reduce
from hashlib import blake2b
from operator import xor
from struct import pack, unpack

from proxy.control.sync.digest import Digest
from proxy.control.sync.keys import SHARDS, place_of
from proxy.control.sync.log_sums import worth
from proxy.control.sync.metrics import VANISHING, steps_now
from proxy.control.sync.verdicts import LANDMARK_S, TTL_S

Buckets = dict[tuple[int, int], int]


def digest_of(entries: Iterable[tuple[int, bytes]]) -> Buckets:
    """entries: (key, what is hashed). (shard, bucket) -> what is not 0."""
    buckets: Counter[tuple[int, int]] = Counter()
    for key, entry in entries:
        buckets[place_of(key)] ^= int.from_bytes(blake2b(entry, digest_size=8).digest())
    return {place: word for place, word in buckets.items() if word}


def buckets_of(digest: Digest) -> Buckets:
    """Of a native digest, whose roots must be the sums of its buckets."""
    buckets, roots = {}, digest.roots()
    for shard in range(SHARDS):
        octets = digest.shard(shard) if any(roots[8 * shard : 8 * shard + 8]) else b""
        words = unpack(f">{len(octets) // 8}Q", octets)
        buckets.update({(shard, bucket): word for bucket, word in enumerate(words) if word})
        assert reduce(xor, words, 0).to_bytes(8) == roots[8 * shard : 8 * shard + 8]
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

    def digest(self) -> Buckets:
        return digest_of((key, pack(">QI", key, s << 19 | b << 16 | w)) for key, (*_, s, b, w, _) in self.state.items())


class PlainEvidence:
    """slots: (key, origin, epoch) -> {metric: q}, of the generation in force."""

    def __init__(self) -> None:
        self.slots: dict[tuple[int, int, int], dict[int, int]] = {}
        self.generations: dict[int, int] = {}
        self.ahead = 0

    def merge(self, key: int, origin: int, epoch: int, gen: int, pairs: list[int]) -> bool:
        standing = self.generations.get(key, 0)
        if gen != standing:
            self.ahead += gen > standing
            return False
        before = self.slots.get((key, origin, epoch), {})
        after = dict(before)
        for metric, q in zip(pairs[::2], pairs[1::2], strict=True):
            if q > after.get(metric, 0):
                after[metric] = q
        if after:
            self.slots[key, origin, epoch] = after
        return after != before

    def raise_generation(self, key: int, gen: int) -> bool:
        if gen <= self.generations.get(key, 0):
            return False
        self.generations[key] = gen
        self._keep(lambda slot: slot[0] != key)
        return True

    def drop_origin(self, origin: int) -> set[int]:
        touched = {key for key, of, _ in self.slots if of == origin}
        self._keep(lambda slot: slot[1] != origin)
        return touched

    def sweep(self, shard: int, now_ms: int) -> set[int]:
        steps = steps_now(now_ms)
        worthy = {
            key
            for (key, _, _), values in self.slots.items()
            if any(worth(q, steps[metric]) >= VANISHING for metric, q in values.items())
        }
        gone = {key for key, _, _ in self.slots if key not in worthy and place_of(key)[0] == shard}
        self._keep(lambda slot: slot[0] not in gone)
        return gone

    def digest(self) -> Buckets:
        entries = []
        for (key, origin, epoch), values in self.slots.items():
            fields = [field for pair in sorted(values.items()) for field in pair]
            gen = self.generations.get(key, 0)
            entries.append((key, pack(f">QIII{len(fields)}I", key, gen, origin, epoch, *fields)))
        return digest_of(entries)

    def _keep(self, stays: Callable[[tuple[int, int, int]], bool]) -> None:
        self.slots = {slot: values for slot, values in self.slots.items() if stays(slot)}
