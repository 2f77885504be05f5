"""Two small sketches of distinct people: who complained of a key on a day (K), whom a key called within an hour (H).

K keeps the 16 smallest keyed hashes (k minimum values: Bar-Yossef et al., RANDOM 2002): fewer than 16 are a count, with
16 the size of the whole follows from how far the 16th lies. H is a HyperLogLog (Flajolet et al., AofA 2007) of 64
registers of six bits: 13 % standard error in 48 bytes. Both merge, and neither says who anybody is.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from math import log
from typing import Any

from proxy.control.sync.records import COMPLAINANTS, REGISTERS_BYTES

REGISTERS = 64
_HASHES = 1 << 64
_ALPHA = 0.709  # for 64 registers
DAYS_KEPT = 2
HOURS_KEPT = 2


def complainant_hash(salt: bytes, complainant: str, key: int, day: int) -> int:
    """Another one each day and for each key, so that nobody can be followed."""
    text = f"{complainant}\0{key:x}\0{day}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8, key=salt, person=b"complainant").digest())


def union(ours: Iterable[int], theirs: Iterable[int]) -> list[int]:
    """The 16 smallest of both, sorted."""
    return sorted({*ours, *theirs})[:COMPLAINANTS]


def distinct_complainants(hashes: list[int]) -> float:
    """How many people: exact below 16."""
    return len(hashes) if len(hashes) < COMPLAINANTS else (COMPLAINANTS - 1) * _HASHES / max(hashes[-1], 1)


def callee_hash(salt: bytes, callee: int, key: int, hour: int) -> int:
    """Another one each hour and for each caller: no sketch says whom anybody called."""
    text = f"{callee:x}\0{key:x}\0{hour}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8, key=salt, person=b"callee").digest())


def no_callees() -> bytes:
    return bytes(REGISTERS_BYTES)


def add_callee(registers: bytes, hashed: int) -> bytes:
    """hashed: 64 bits of the called number under the fleet's salt."""
    index, rest = hashed >> 58, hashed & (1 << 58) - 1
    rank = 58 - rest.bit_length() + 1
    values = _unpacked(registers)
    values[index] = max(values[index], rank)
    return _packed(values)


def larger(ours: bytes, theirs: bytes) -> bytes:
    """Register by register."""
    return ours if ours == theirs else _packed(list(map(max, _unpacked(ours), _unpacked(theirs))))


def distinct_callees(registers: bytes) -> float:
    values = _unpacked(registers)
    estimate = _ALPHA * REGISTERS * REGISTERS / sum(1 / (1 << value) for value in values)
    empty = values.count(0)
    if estimate <= 2.5 * REGISTERS and empty:
        return REGISTERS * log(REGISTERS / empty)
    return estimate


def _unpacked(registers: bytes) -> list[int]:
    word = int.from_bytes(registers)
    return [word >> 6 * index & 63 for index in range(REGISTERS)]


def _packed(values: list[int]) -> bytes:
    return sum(value << 6 * index for index, value in enumerate(values)).to_bytes(REGISTERS_BYTES)


class Sketches:
    """K and H of keys; of each the two latest periods."""

    def __init__(self) -> None:
        self._complainants: dict[int, dict[tuple[int, int], list[int]]] = {}
        self._callees: dict[int, dict[tuple[int, int], bytes]] = {}

    def merge_complainants(self, key: int, gen: int, day: int, hashes: Iterable[int]) -> bool:
        days = self._complainants.setdefault(key, {})
        before = days.get((gen, day), [])
        days[gen, day] = union(before, hashes)
        changed = days[gen, day] != before
        _keep_latest(days, DAYS_KEPT)
        return changed and (gen, day) in days

    def merge_callees(self, key: int, gen: int, hour: int, registers: bytes) -> bool:
        hours = self._callees.setdefault(key, {})
        before = hours.get((gen, hour), no_callees())
        hours[gen, hour] = larger(before, registers)
        changed = hours[gen, hour] != before
        _keep_latest(hours, HOURS_KEPT)
        return changed and (gen, hour) in hours

    def complainants(self, key: int, gen: int) -> dict[int, list[int]]:
        """By day."""
        return {day: hashes for (of, day), hashes in self._complainants.get(key, {}).items() if of == gen}

    def callees(self, key: int, gen: int) -> dict[int, bytes]:
        """By hour."""
        return {hour: registers for (of, hour), registers in self._callees.get(key, {}).items() if of == gen}

    def forget(self, key: int) -> None:
        self._complainants.pop(key, None)
        self._callees.pop(key, None)


def _keep_latest(periods: dict[tuple[int, int], Any], kept: int) -> None:
    for stale in sorted(periods)[:-kept]:
        del periods[stale]
