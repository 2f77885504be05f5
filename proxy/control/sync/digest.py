"""Digests: what two nodes compare to find where they differ. 64 shards of 256 buckets: each the XOR of hashes.

An entry that changes is taken out and put in again, so a digest is always current and costs two hashes a change.
"""

from __future__ import annotations

from array import array
from functools import reduce
from hashlib import blake2b
from operator import xor

from proxy.control.sync.keys import BUCKETS, SHARDS

ROOTS_BYTES = 8 * SHARDS
SHARD_BYTES = 8 * BUCKETS


def entry_hash(entry: bytes) -> int:
    return int.from_bytes(blake2b(entry, digest_size=8).digest())


class Digest:
    def __init__(self) -> None:
        self._buckets = [array("Q", bytes(SHARD_BYTES)) for _ in range(SHARDS)]
        self._roots = [0] * SHARDS

    def toggle(self, place: tuple[int, int], entry: bytes) -> None:
        """Puts an entry in, or takes it out if it is in."""
        shard, bucket = place
        hashed = entry_hash(entry)
        self._buckets[shard][bucket] ^= hashed
        self._roots[shard] ^= hashed

    def roots(self) -> bytes:
        """One word for each shard, as `sum` carries them."""
        return b"".join(root.to_bytes(8) for root in self._roots)

    def shard(self, shard: int) -> bytes:
        """One word for each bucket of a shard."""
        return b"".join(bucket.to_bytes(8) for bucket in self._buckets[shard])

    def different_shards(self, roots: bytes) -> list[int]:
        return _different(self.roots(), roots)

    def different_buckets(self, shard: int, buckets: bytes) -> list[int]:
        return _different(self.shard(shard), buckets)


def total(digest: Digest) -> int:
    """One word for everything."""
    return reduce(xor, (int.from_bytes(digest.roots()[at : at + 8]) for at in range(0, ROOTS_BYTES, 8)))


def _different(ours: bytes, theirs: bytes) -> list[int]:
    return [at // 8 for at in range(0, len(ours), 8) if ours[at : at + 8] != theirs[at : at + 8]]
