"""Operators' orders, from whoever gives them to the calls they hold for: durable first, then in the table, then told.

A call meets an order as soon as its record is written; nothing is compiled and nobody waits. Where several orders speak
of one number, the table holds the one that is in force, and is set anew when one begins or ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from engine._orders import OrderTable
from proxy.control.decisions import Decision, Kind
from proxy.control.hybrid_clock import HybridClock, stamp_of
from proxy.control.order_effects import Effect, apply_effect, effects_of
from proxy.control.order_request import shown
from proxy.control.store import Store
from proxy.control.store_thread import StoreThread, StoreUnavailable
from proxy.control.trunk_keys import TrunkKeys
from proxy.logs import Log

_BATCH = 500  # records written before others have their turn
_TURN_S = 1.0
TOMBSTONES_KEPT_MS = 30 * 86_400_000

OnLocal = Callable[[Sequence[Decision]], None]


class Orders:
    """needs_second: whether an order counts only once a second authority of the fleet has given it too.

    now_s: Unix seconds. signer: origin of this node in its fleet, 0 while it has none."""

    def __init__(
        self, thread: StoreThread, table: OrderTable, trunks: TrunkKeys, now_s: Callable[[], float], log: Log
    ) -> None:
        self.trunks = trunks
        self._thread = thread
        self._table = table
        self._now_s = now_s
        self._log = log
        self._clock: HybridClock | None = None
        self._turned_s = 0.0
        self._in_order = asyncio.Lock()
        self._on_local: list[OnLocal] = []
        self.signer = 0
        self.needs_second: Callable[[Decision], bool] = lambda _: False
        self.no_room = 0  # orders that are stored, and not in the table

    def on_local(self, tell: OnLocal) -> None:
        """tell: called with this node's own orders once they are durable and in force."""
        self._on_local.append(tell)

    async def give(self, wanted: Sequence[Decision]) -> list[Decision]:
        """Stamps, stores and applies the operator's orders; StoreUnavailable if they are not stored."""
        await self.load()
        stamped = [msgspec.structs.replace(one, hlc=self._tick(), signer=self.signer) for one in wanted]
        held = [one for one in stamped if self.needs_second(one)]
        if held:
            await self._thread.do(lambda store: store.proposals.put(held))
        won = await self._merge([one for one in stamped if one not in held])
        for tell in self._on_local:
            tell(won + held)
        return won + held

    async def withdraw(self, namespace: str, subjects: Iterable[tuple[Kind, int]]) -> list[Decision]:
        """Ends the orders that a namespace has given about these; those that there were."""
        await self.load()
        keys = [(namespace, kind, key) for kind, key in subjects]

        def ordered(store: Store) -> list[Decision | None]:
            return [store.decisions.get(*key) or store.proposals.get(*key) for key in keys]

        found = await self._thread.do(ordered)
        standing = [one for one in found if one is not None and not one.tomb]
        return await self.give([msgspec.structs.replace(one, tomb=True) for one in standing])

    def shown(self, decision: Decision, *, just_given: bool = False) -> dict[str, Any]:
        """In words, as the API and the commands show it. just_given: it may wait for a second authority."""
        waits = just_given and self.needs_second(decision)
        words = shown(decision, self._now_s(), self.trunks)
        return words | ({"in_force": False, "waits": True} if waits else {})

    async def merge(self, decisions: Sequence[Decision]) -> list[Decision]:
        """Stores and applies what other nodes say; those that changed something. ValueError for a stamp far ahead."""
        await self.load()
        assert self._clock is not None
        for decision in decisions:
            self._clock.observe(decision.hlc, self._now_ms())
        return await self._merge(decisions)

    async def load(self) -> None:
        """Brings the table to what the store says, once."""
        if self._clock is not None:
            return
        self.trunks.refresh()
        now_s = self._now_s()
        mark, effects = await self._thread.do(lambda store: (store.node.hlc_mark(), _everything(store, now_s)))
        if self._clock is None:
            self._clock = HybridClock(mark)
            self._turned_s = now_s
            await self._apply(effects)

    async def run(self) -> None:
        """Until it is cancelled: sees to orders that begin or end, and to withdrawals long past."""
        while True:
            try:
                await self.load()
                await self.turn()
            except StoreUnavailable:
                pass  # the thread has told, and tells when it is over
            await asyncio.sleep(_TURN_S)

    async def turn(self) -> None:
        """Applies the orders that began or ended since the last time."""
        before_s, now_s = self._turned_s, self._now_s()
        oldest = stamp_of(max(self._now_ms() - TOMBSTONES_KEPT_MS, 0))

        new_trunks = self.trunks.refresh()

        def turning(store: Store) -> list[Effect]:
            store.decisions.forget_tombstones(oldest)
            turned = store.decisions.turning(before_s, now_s)
            turned += store.decisions.of_kind(Kind.TRUNK) if new_trunks else []
            return effects_of(store, {(one.kind, one.key) for one in turned}, now_s)

        await self._apply(await self._thread.do(turning))
        self._turned_s = now_s

    async def _merge(self, decisions: Sequence[Decision]) -> list[Decision]:
        assert self._clock is not None
        mark, now_s = self._clock.mark, self._now_s()

        def merge(store: Store) -> tuple[list[Decision], list[Effect]]:
            if mark > store.node.hlc_mark():
                store.node.save_hlc_mark(mark)
            won = store.decisions.merge(decisions)
            store.proposals.put(one for one in won if one.tomb)
            return won, effects_of(store, {(one.kind, one.key) for one in won}, now_s)

        won, effects = await self._thread.do(merge)
        await self._apply(effects)
        return won

    async def _apply(self, effects: Sequence[Effect]) -> None:
        """In the order in which they were stored: the lock is fair."""
        async with self._in_order:
            for start in range(0, len(effects), _BATCH):
                some = effects[start : start + _BATCH]
                refused = sum(not apply_effect(self._table, one, self.trunks) for one in some)
                if refused:
                    self.no_room += refused
                    self._log.error("capacity.orders is used up: orders are stored, and not in force", orders=refused)
                await asyncio.sleep(0)

    def _tick(self) -> int:
        assert self._clock is not None
        return self._clock.tick(self._now_ms())

    def _now_ms(self) -> int:
        return int(self._now_s() * 1000)


def _everything(store: Store, now_s: float) -> list[Effect]:
    """Of every subject that an order was ever given about, withdrawn ones too: what an earlier table may still hold."""
    subjects = {(one.kind, one.key) for one in store.decisions.all()}
    return effects_of(store, subjects, now_s)
