"""Limits of the whole fleet as this node's calls meet them: who has called is counted here, shares are put into force.

The workers' events say who called; what is lent goes into a table that the workers read. An attempt that another rule
settled before its limit was asked is counted too: a share may be larger than it need be, never smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from engine._numbers import block_of
from engine._shares import ShareTable
from engine.lint import in_force, window_times_us, windows_of
from engine.policy_rows import limit_word, name_hash, window_name
from engine.rules import Limit, LimitKey
from proxy.config import Configuration
from proxy.config_load import policy_set
from proxy.control.sync.borrowing import Borrower
from proxy.control.sync.keys import KIND_SHIFT, KeyKind
from proxy.control.sync.lease_terms import MICRO, FleetLimit
from proxy.events import EventBatch, EventRecord

SCREENED = 1  # EventType of proxy/events.pxd
CHANGES_A_TICK = 1000
GENERATIONS_KEPT = 4
_US = 1_000_000
_NUMBERED = frozenset({KeyKind.NUMBER, KeyKind.SHORT_CODE})
_BLOCK_DIGITS = {LimitKey.BLOCK_10: 1, LimitKey.BLOCK_100: 2, LimitKey.BLOCK_1000: 3}

TrunkLimit = tuple[LimitKey, FleetLimit]


class LimitShares:
    """configuration_of: that of a generation; OSError or ValueError if it is not there any more."""

    def __init__(self, table: ShareTable, configuration_of: Callable[[int], Configuration]) -> None:
        self.no_room = 0
        self._table = table
        self._configuration_of = configuration_of
        self._generations: dict[int, tuple[tuple[int, list[TrunkLimit]], ...]] = {}
        self._left: dict[int, int] = {}  # parts of each limit that nothing need be lent for

    def take(self, batch: EventBatch, borrower: Borrower) -> None:
        generations = batch.generations()
        for generation in generations - self._generations.keys():
            self._learn(generation)
        if not any(limits for generation in generations for _, limits in self._generations[generation]):
            return
        for record in batch:
            if record.type == SCREENED:
                self._count(record, borrower)

    def apply(self, borrower: Borrower, now_ms: int) -> None:
        """Puts shares into force, a bounded number at a time."""
        parts = borrower.unlent_parts(now_ms)
        for word, left in self._left.items():
            if left != parts:
                self._left[word] = parts
                self.no_room += not self._table.leave(word, parts)
        for change in borrower.take_changes(CHANGES_A_TICK):
            if not change.parts:
                self._table.take_back(change.word)
            elif not self._table.lend(change.word, change.parts, -(-change.until_ms // 1000)):
                self.no_room += 1

    def learn(self, generation: int) -> None:
        """From its first call on a node has no more than its share."""
        if generation not in self._generations:
            self._learn(generation)

    def trunk_of(self, record: EventRecord) -> int:
        """The hash of the name of the trunk by which a call of a batch that was taken came; 0 if it is not known."""
        trunks = self._generations.get(record.generation, ())
        return trunks[record.trunk][0] if record.trunk < len(trunks) else 0

    def _learn(self, generation: int) -> None:
        try:
            self._generations[generation] = tuple(limits_by_trunk(self._configuration_of(generation)))
        except (OSError, ValueError, msgspec.DecodeError):
            self._generations[generation] = ()
        for _, limits in self._generations[generation]:
            self._left.update((limit.word, 0) for _, limit in limits if limit.word not in self._left)
        while len(self._generations) > GENERATIONS_KEPT:
            del self._generations[min(self._generations)]

    def _count(self, record: EventRecord, borrower: Borrower) -> None:
        trunks = self._generations.get(record.generation, ())
        if record.trunk >= len(trunks):
            return
        trunk, limits = trunks[record.trunk]
        for key, limit in limits:
            subject = _subject(key, record, trunk)
            if subject:
                borrower.attempt(limit, limit_word(limit.word, subject))


def limits_by_trunk(configuration: Configuration) -> Iterator[tuple[int, list[TrunkLimit]]]:
    """(hash of its name, limits of the whole fleet that count on it) of each trunk."""
    policy = policy_set(configuration)
    policies = {each.name: each for each in policy.policies}
    for trunk in policy.trunks:
        limits = [limit for limit in policy.limits if limit.fleet and in_force(limit, trunk, policies)]
        yield name_hash(trunk.name), [(limit.key, window) for limit in limits for window in _windows(limit)]


def _windows(limit: Limit) -> Iterator[FleetLimit]:
    for window in windows_of(limit):
        increment_us, tolerance_us = window_times_us(window)
        name = window_name(limit, window)
        burst = 1 + tolerance_us // increment_us
        yield FleetLimit(name, name_hash(name), max(MICRO * _US // increment_us, 1), burst)


def _subject(key: LimitKey, record: EventRecord, trunk: int) -> int:
    """Whom a limit counts this attempt for, as `_limits` has it; 0 = nobody."""
    if key is LimitKey.TRUNK:
        return trunk
    number = record.callee if key is LimitKey.CALLEE else record.caller
    if number >> KIND_SHIFT not in _NUMBERED:
        return 0
    if key in _BLOCK_DIGITS:
        return block_of(number, _BLOCK_DIGITS[key]) if number >> KIND_SHIFT == KeyKind.NUMBER else 0
    return number
