"""Frames of decisions that were read before: peers tell each other their logs, and most of each is known."""

from __future__ import annotations

from hashlib import blake2b

LIMIT = 100_000  # 10 MB


class KnownFrames:
    """The latest `LIMIT`, by digest."""

    def __init__(self) -> None:
        self._digests: dict[bytes, None] = {}

    def __contains__(self, raw: bytes) -> bool:
        return _digest(raw) in self._digests

    def add(self, raw: bytes) -> None:
        self._digests[_digest(raw)] = None
        if len(self._digests) > LIMIT:
            del self._digests[next(iter(self._digests))]


def _digest(raw: bytes) -> bytes:
    return blake2b(raw, digest_size=16).digest()
