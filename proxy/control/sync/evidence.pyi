"""Evidence slots: for each key what every origin has seen of it. Joined by the larger value, however often.

A slot is (key, origin, epoch, generation, metric) -> q. A key costs about 21 bytes, and 4 bytes for each of its origins
and each of its slots.
"""

from collections.abc import Collection, Sequence
from typing import final

from typing_extensions import Buffer

from proxy.control.sync.digest import Digest
from proxy.control.sync.key_set import KeySet

Slot = tuple[int, int, int, int]  # origin, epoch, metric, q

@final
class EvidenceTable:
    """ahead: records of a generation that this node has not heard of yet, and left. Keys are words, not 0."""

    ahead: int

    @property
    def digest(self) -> Digest: ...
    def __init__(self) -> None: ...
    def __len__(self) -> int: ...
    def __contains__(self, key: int) -> bool: ...
    def merge(self, key: int, origin: int, epoch: int, gen: int, pairs: Sequence[int]) -> bool:
        """Takes [metric, q, metric, q, ...] of an origin; whether anything became more."""
    def merge_records(self, records: Buffer, origin: int, epoch: int, touched: KeySet) -> int:
        """Takes the E records of a frame as they came; the keys of which something became more go to `touched`.

        How many these were. Refused for whatever `records.read_evidence` refuses; then nothing has changed.
        """
    def read(self, key: int) -> list[Slot]:
        """Every slot of a key."""
    def generation(self, key: int) -> int: ...
    def generations(self) -> list[tuple[int, int]]: ...
    def raise_generation(self, key: int, gen: int) -> bool:
        """Voids what is known of a key; False if that was done before."""
    def drop_origin(self, origin: int) -> list[int]:
        """Voids all that an origin ever said; the keys that it had spoken of."""
    def keys(self, shard: int, buckets: Collection[int] | None = None) -> list[int]:
        """Those of a shard, or of some of its buckets, ascending."""
    def sweep(self, shard: int, now_ms: int, start: int, places: int) -> tuple[list[int], list[int], int]:
        """Drops keys of a piece of a shard whose slots are all worth less than a hundredth of an event.

        (Keys that are gone, keys that are left, where the next piece starts). start: 0 to 2^32, which is the end.
        places: of the table, full or free, that the piece has at least. What grows between two pieces may let a few
        keys be passed over, or met twice.
        """
    @property
    def octets(self) -> int:
        """Memory in use."""
