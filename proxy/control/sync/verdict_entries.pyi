"""Verdicts as words, of which the larger by (trust, hlc, reducer, entry) stands. `verdicts` says what they mean."""

from array import array
from collections.abc import Collection, Sequence

from typing_extensions import Buffer

from proxy.control.sync.digest import Digest
from proxy.control.sync.key_set import KeySet

class VerdictEntries:
    """Keys are words of 64 bits, not 0. A verdict takes about 41 bytes."""

    @property
    def digest(self) -> Digest: ...
    def __init__(self) -> None: ...
    def __len__(self) -> int: ...
    def merge_entry(self, key: int, entry: int, trust: int, hlc: int, reducer: int) -> bool:
        """Whether score, band or reason have changed by it."""
    def merge_records(
        self,
        records: Buffer,
        now_s: int,
        longest_ttl_s: int,
        trust: int,
        hlc: int,
        reducer: int,
        changed: KeySet,
        standing: list[int] | None = None,
    ) -> int:
        """Takes the V records of a frame as they came; the keys of those that have changed something go to `changed`.

        How many records there were. now_s: seconds since 2026-01-01. standing: gets the keys that are in another
        band already, which are then left. Refused for whatever `records.read_keyed` refuses; then nothing has changed.
        """
    def entry(self, key: int) -> int | None: ...
    def stamp(self, key: int) -> int:
        """The hlc under which the verdict was given; 0 if there is none."""
    def keys(self, shard: int, buckets: Collection[int] | None = None) -> list[int]:
        """Those of a shard, or of some of its buckets, ascending."""
    def write_records(self, keys: Sequence[int], generations: Sequence[int], ttl_s: int) -> bytes:
        """V records of these keys, which ascend, each with its generation. Those without a verdict are left out."""
    def fade(
        self, shard: int, now_s: int, forgotten_s: int, changed: KeySet, start: int, places: int
    ) -> tuple[list[int], int]:
        """Forgets what ended `forgotten_s` ago; `changed` gets those keys, and those that are worth less than they say.

        Of a piece of a shard: (all keys of the piece, where the next one starts), as `EvidenceTable.sweep`.
        now_s: seconds since 2026-01-01.
        """
    def take_bands(self, changed: KeySet, limit: int, now_s: int, forgotten_s: int) -> tuple[array[int], bytearray]:
        """Up to so many keys out of `changed` (format Q), with the `Band` that each is worth now."""
    def forget(self, key: int) -> None: ...
    @property
    def octets(self) -> int:
        """Memory in use."""
