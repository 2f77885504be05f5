"""Evidence slots: for each key what every origin has seen of it. Joined by the larger value, however often.

A slot is (key, origin, epoch, generation, metric) -> q. All slots of a key lie in one string of 64-bit words, sorted:
the number of (origin, epoch) in this table, the metric, q. A key costs about 200 bytes with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from struct import pack, unpack

from proxy.control.sync.decay import worth
from proxy.control.sync.digest import Digest
from proxy.control.sync.keys import SHARDS, place_of
from proxy.control.sync.metrics import VANISHING, steps_now

Slot = tuple[int, int, int, int]  # origin, epoch, metric, q

_METRIC_SHIFT = 32
_SOURCE_SHIFT = 36
_Q = (1 << _METRIC_SHIFT) - 1


class EvidenceTable:
    """ahead: records of a generation that this node has not heard of yet, and left."""

    def __init__(self) -> None:
        self.digest = Digest()
        self.ahead = 0
        self._shards: list[dict[int, bytes]] = [{} for _ in range(SHARDS)]
        self._generations: dict[int, int] = {}
        self._sources: list[tuple[int, int]] = []  # (origin, epoch) by number
        self._numbers: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def __contains__(self, key: int) -> bool:
        return key in self._shards[place_of(key)[0]]

    def merge(self, key: int, origin: int, epoch: int, gen: int, pairs: Sequence[int]) -> bool:
        """Takes [metric, q, metric, q, ...] of an origin; whether anything became more."""
        if gen != self._generations.get(key, 0):
            self.ahead += gen > self._generations.get(key, 0)
            return False
        place = place_of(key)
        shard = self._shards[place[0]]
        old = shard.get(key, b"")
        words = unpack(f"{len(old) >> 3}Q", old)
        source = self._number(origin, epoch)
        before = {word >> _METRIC_SHIFT & 15: word & _Q for word in words if word >> _SOURCE_SHIFT == source}
        after = before.copy()
        for metric, q in zip(pairs[::2], pairs[1::2], strict=True):
            if q > after.get(metric, 0):
                after[metric] = q
        if after == before:
            return False
        if before:
            self.digest.toggle(place, _entry(key, gen, origin, epoch, before))
        self.digest.toggle(place, _entry(key, gen, origin, epoch, after))
        base = source << 4
        changed = [word for word in words if word >> _SOURCE_SHIFT != source]
        changed += [(base | metric) << _METRIC_SHIFT | q for metric, q in after.items()]
        shard[key] = pack(f"{len(changed)}Q", *sorted(changed))
        return True

    def read(self, key: int) -> list[Slot]:
        """Every slot of a key."""
        words = self._shards[place_of(key)[0]].get(key, b"")
        return [
            (*self._sources[word >> _SOURCE_SHIFT], word >> _METRIC_SHIFT & 15, word & _Q)
            for word in unpack(f"{len(words) >> 3}Q", words)
        ]

    def generation(self, key: int) -> int:
        return self._generations.get(key, 0)

    def generations(self) -> list[tuple[int, int]]:
        return list(self._generations.items())

    def raise_generation(self, key: int, gen: int) -> bool:
        """Voids what is known of a key; False if that was done before."""
        if gen <= self._generations.get(key, 0):
            return False
        self._remove(key, lambda origin, epoch: True)
        self._generations[key] = gen
        return True

    def drop_origin(self, origin: int) -> list[int]:
        """Voids all that an origin ever said; the keys that it had spoken of."""
        gone = {number for number, source in enumerate(self._sources) if source[0] == origin}
        touched = [
            key
            for shard in self._shards
            for key, words in shard.items()
            if any(word >> _SOURCE_SHIFT in gone for word in unpack(f"{len(words) >> 3}Q", words))
        ]
        for key in touched:
            self._remove(key, lambda whose, epoch: whose == origin)
        return touched

    def keys(self, shard: int, buckets: frozenset[int] | None = None) -> Iterator[int]:
        """Those of a shard, or of some of its buckets."""
        for key in list(self._shards[shard]):
            if buckets is None or place_of(key)[1] in buckets:
                yield key

    def sweep(self, shard: int, now_ms: int) -> list[int]:
        """Drops keys of a shard whose slots are all worth less than a hundredth of an event; which they were.

        Nodes sweep the same shard at the same tick, so that their digests stay comparable.
        """
        steps = steps_now(now_ms)
        gone = []
        for key in list(self._shards[shard]):
            slots = self.read(key)
            if all(worth(q, steps[metric]) < VANISHING for _, _, metric, q in slots):
                self._remove(key, lambda origin, epoch: True)
                gone.append(key)
        return gone

    def _remove(self, key: int, is_void: Callable[[int, int], bool]) -> None:
        place = place_of(key)
        gen = self._generations.get(key, 0)
        slots = self.read(key)
        kept = []
        for source in dict.fromkeys((origin, epoch) for origin, epoch, _, _ in slots):
            values = {metric: q for origin, epoch, metric, q in slots if (origin, epoch) == source}
            if is_void(*source):
                self.digest.toggle(place, _entry(key, gen, *source, values))
            else:
                base = self._numbers[source] << 4
                kept += [(base | metric) << _METRIC_SHIFT | q for metric, q in values.items()]
        if kept:
            self._shards[place[0]][key] = pack(f"{len(kept)}Q", *kept)
        else:
            self._shards[place[0]].pop(key, None)

    def _number(self, origin: int, epoch: int) -> int:
        number = self._numbers.setdefault((origin, epoch), len(self._sources))
        if number == len(self._sources):
            self._sources.append((origin, epoch))
        return number


def _entry(key: int, gen: int, origin: int, epoch: int, values: dict[int, int]) -> bytes:
    """What is hashed: the same on every node, whatever the order in which it came."""
    fields = [field for pair in sorted(values.items()) for field in pair]
    return pack(f">QIII{len(fields)}I", key, gen, origin, epoch, *fields)
