"""Digests: what two nodes compare to find where they differ. 64 shards of 256 buckets: each the XOR of hashes."""

from typing import final

ROOTS_BYTES: int
SHARD_BYTES: int

def entry_hash(entry: bytes) -> int:
    """BLAKE2b of 64 bits."""

@final
class Digest:
    """An entry that changes is taken out and put in again, so it is always current and costs two hashes a change."""

    def __init__(self) -> None: ...
    def toggle(self, place: tuple[int, int], entry: bytes) -> None:
        """Puts an entry in, or takes it out if it is in. place: (shard, bucket)."""
    def roots(self) -> bytes:
        """One word for each shard, as `sum` carries them."""
    def shard(self, shard: int) -> bytes:
        """One word for each bucket of a shard."""
    def different_shards(self, roots: bytes) -> list[int]: ...
    def different_buckets(self, shard: int, buckets: bytes) -> list[int]: ...

def total(digest: Digest) -> int:
    """One word for everything."""
