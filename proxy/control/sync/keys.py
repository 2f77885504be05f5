"""Keys: what evidence, verdicts and decisions are about, as one word, and where each has its place.

The kind stands in the top 4 bits. Numbers, prefixes and short codes are the engine's own words; names are keyed hashes
of 60 bits, by the salt of the fleet, so that only members can tell what they stand for.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b

KIND_SHIFT = 60
SHARDS = 64
GROUPS = 8
BUCKETS = 256
MAX_KEY = (1 << 64) - 1
_PAYLOAD = (1 << KIND_SHIFT) - 1


class KeyKind(IntEnum):
    NUMBER = 1
    PREFIX = 2
    SHORT_CODE = 3
    TRUNK = 4
    FINGERPRINT = 5
    CAMPAIGN = 6
    TRUNK_BLOCK = 7
    CALLER_HASH = 8
    LIMIT = 9  # a limit of the whole fleet, and whom it counts


NAMED_KINDS = frozenset(KeyKind) - {KeyKind.NUMBER, KeyKind.PREFIX, KeyKind.SHORT_CODE}


def named_key(kind: KeyKind, salt: bytes, *names: str) -> int:
    """The key of something that has names and no digits. salt: 16 bytes."""
    if kind not in NAMED_KINDS:
        raise ValueError(f"keys of kind {kind.name} are made of digits")
    digest = blake2b("\0".join(names).encode(), digest_size=8, key=salt, person=b"callsieve").digest()
    return kind << KIND_SHIFT | int.from_bytes(digest) & _PAYLOAD


def is_key(key: int) -> bool:
    return 0 < key <= MAX_KEY and KeyKind.NUMBER <= key >> KIND_SHIFT <= KeyKind.LIMIT


def place_of(key: int) -> tuple[int, int]:
    """(shard, bucket) of a key."""
    hashed = blake2b(key.to_bytes(8), digest_size=8).digest()
    return hashed[0] & SHARDS - 1, hashed[1]


def group_of(shard: int) -> int:
    """The last level of topics: eight of them, as mosquitto has ten aliases for each direction."""
    return shard >> 3


def digits_of(key: int) -> str:
    """The digits of a number, prefix or short code, "" for other kinds."""
    return str(key & _PAYLOAD)[1:] if key >> KIND_SHIFT <= KeyKind.SHORT_CODE else ""
