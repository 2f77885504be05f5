"""What the fleet says, put into force here: decisions durably and through `Orders`, verdicts as points of reputation.

What blocks passes the circuit breaker first; what it holds waits here, that of each source by itself. What is in force
is changed a bounded number of keys at a time; the call path reads it from the tables and never waits.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Sequence
from itertools import compress

from engine._reputation import ReputationCache
from engine.policy_rows import name_hash
from proxy.control.decisions import Act, Decision, Kind
from proxy.control.orders import Orders
from proxy.control.store_thread import StoreUnavailable
from proxy.control.sync.breaker import OF_MACHINES, OF_PEOPLE, Breaker
from proxy.control.sync.key_set import KeySet
from proxy.control.sync.keys import KIND_SHIFT, KeyKind
from proxy.control.sync.recent_callers import RecentCallers
from proxy.control.sync.score import Band, Why
from proxy.control.sync.verdicts import VerdictTable
from proxy.control.verdict_points import VerdictPoints

DECISIONS_AT_ONCE = 500
POINTS = (0, 600, 700, 1000)  # by `Band`
COMPLAINTS, BEHAVIOUR = "complaints", "behaviour"  # the sources of verdicts
_FLOORS = {COMPLAINTS: OF_PEOPLE, BEHAVIOUR: OF_MACHINES}
_IS_BLOCK = bytes(band == Band.BLOCK for band in range(256))


class FleetEffects:
    """verdicts: those that are put into force. name_of: how a message names an authority by its origin."""

    def __init__(
        self,
        orders: Orders,
        reputation: ReputationCache,
        verdicts: VerdictTable,
        name_of: Callable[[int], str] = str,
    ) -> None:
        self.callers = RecentCallers()
        self.breaker = Breaker(self.callers)
        self._orders = orders
        self._points = VerdictPoints(reputation)
        self._verdicts = verdicts
        self._name_of = name_of
        self._decisions: deque[Decision] = deque()
        self._held_decisions: dict[str, dict[tuple[str, int, int], Decision]] = {}
        self._held_keys = {COMPLAINTS: KeySet(), BEHAVIOUR: KeySet()}
        self._released_keys: list[KeySet] = []

    # --- What came ----------------------------------------------------------------------------------------------------

    def take_decisions(self, decisions: Sequence[Decision], now_ms: int) -> None:
        """Those of others that now stand."""
        by_source: dict[str, list[Decision]] = {}
        for decision in decisions:
            for held in self._held_decisions.values():
                held.pop(decision.identity, None)
            if _blocks(decision):
                by_source.setdefault(f"orders of {self._name_of(decision.signer)}", []).append(decision)
            else:
                self._decisions.append(decision)
        for source, blocking in by_source.items():
            if self.breaker.passes(source, OF_MACHINES, self._hit_by_orders(blocking, now_ms), now_ms):
                self._decisions += blocking
            else:
                self._held_decisions.setdefault(source, {}).update({one.identity: one for one in blocking})

    def take_bands(self, keys: array[int], bands: bytearray, now_ms: int) -> None:
        """Verdicts in bulk: keys (format Q), and the `Band` of each."""
        hits: dict[str, list[int]] = {COMPLAINTS: [], BEHAVIOUR: []}
        for key in self.callers.among(compress(keys, bands.translate(_IS_BLOCK)), now_ms):
            hits[self._source_of(key)].append(key)
        held = {
            source
            for source, some in hits.items()
            if not self.breaker.passes(source, _FLOORS[source], self._hit_by_verdicts(some, now_ms), now_ms)
        }
        if self.breaker.holding:
            keys, bands = self._without_held(keys, bands, held)
        self._points.give_bands(keys, bands, POINTS, now_ms * 1000)

    def _without_held(self, keys: array[int], bands: bytearray, held: set[str]) -> tuple[array[int], bytearray]:
        """Those that may be put into force; of the others the newest word waits."""
        passing = bytearray(len(keys))
        for at, (key, band) in enumerate(zip(keys, bands, strict=True)):
            source = self._source_of(key) if band == Band.BLOCK else ""
            passing[at] = source not in held
            for of, waiting in self._held_keys.items():
                if of == source and not passing[at]:
                    waiting.add(key)
                else:
                    waiting.discard(key)
        return array("Q", compress(keys, passing)), bytearray(compress(bands, passing))

    def _source_of(self, key: int) -> str:
        return COMPLAINTS if self._verdicts.why(key) & Why.COMPLAINTS else BEHAVIOUR

    def _hit_by_verdicts(self, keys: list[int], now_ms: int) -> set[int]:
        prefixes = [key for key in keys if key >> KIND_SHIFT == KeyKind.PREFIX]
        return self.callers.clean(now_ms, keys, prefixes, ())

    def _hit_by_orders(self, decisions: list[Decision], now_ms: int) -> set[int]:
        of_kind = {kind: [one.key for one in decisions if one.kind is kind] for kind in Kind}
        names = [self._orders.trunks.name_of(key) for key in of_kind[Kind.TRUNK]]
        trunks = {name_hash(name) for name in names if name is not None}
        return self.callers.clean(now_ms, of_kind[Kind.EXACT], of_kind[Kind.PREFIX], trunks)

    # --- What is held -------------------------------------------------------------------------------------------------

    @property
    def held(self) -> dict[str, int]:
        """Orders and verdicts that are held, by source."""
        counts = {source: len(keys) for source, keys in self._held_keys.items()}
        counts |= {source: len(decisions) for source, decisions in self._held_decisions.items()}
        return {source: count for source, count in counts.items() if count}

    def release(self, now_ms: int) -> int:
        """All that was held; how much."""
        count = sum(self.held.values())
        self.breaker.release(now_ms)
        for decisions in self._held_decisions.values():
            self._decisions += decisions.values()
        self._held_decisions.clear()
        self._released_keys += self._held_keys.values()
        self._held_keys = {COMPLAINTS: KeySet(), BEHAVIOUR: KeySet()}
        return count

    def put_released(self, limit: int, now_ms: int) -> bool:
        """Puts verdicts that were released into force, as they are now; whether there are more."""
        if not self._released_keys:
            return False
        keys, bands = self._verdicts.take_changed(self._released_keys[-1], limit, now_ms // 1000)
        self._points.give_bands(keys, bands, POINTS, now_ms * 1000)
        if not self._released_keys[-1]:
            self._released_keys.pop()
        return bool(self._released_keys)

    # --- What is to be stored -----------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Decisions that are not yet durable and in force."""
        return len(self._decisions)

    async def store_decisions(self) -> None:
        """Those that wait; StoreUnavailable leaves them waiting."""
        while self._decisions:
            batch = [self._decisions.popleft() for _ in range(min(len(self._decisions), DECISIONS_AT_ONCE))]
            try:
                await self._orders.merge(batch)
            except StoreUnavailable:
                self._decisions.extendleft(reversed(batch))
                raise


def _blocks(decision: Decision) -> bool:
    return decision.act is Act.BLOCK and not decision.tomb
