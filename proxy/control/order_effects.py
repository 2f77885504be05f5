"""What the stored decisions come to in the table that calls are screened on: of each subject the one that holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine._orders import OrderTable
from engine.policy_rows import name_hash
from proxy.control.decisions import Act, Decision, Kind
from proxy.control.store import Store
from proxy.control.trunk_keys import TrunkKeys


@dataclass(frozen=True, slots=True)
class Effect:
    """decision: None = nothing is ordered of this subject."""

    kind: int
    key: int
    callee: bool
    decision: Decision | None


def effects_of(store: Store, subjects: Iterable[tuple[int, int]], now_s: float) -> list[Effect]:
    """subjects: (kind, key), each at most once."""
    found = []
    for kind, key in subjects:
        standing = store.decisions.effective(kind, key)
        for callee in (False, True):
            of_role = [one for one in standing if (one.act is Act.NEVER_BLOCK) == callee]
            found.append(Effect(kind, key, callee, _holding(of_role, now_s)))
    return found


def apply_effect(table: OrderTable, effect: Effect, trunks: TrunkKeys) -> bool:
    """False if the table has no room for it."""
    if effect.kind == Kind.TRUNK:
        return effect.callee or _apply_to_trunk(table, effect, trunks)
    decision = effect.decision
    if decision is None:
        table.clear(effect.key, callee=effect.callee)
        return True
    return table.set(effect.key, decision.act, decision.prio, decision.from_s, decision.until_s)


def _apply_to_trunk(table: OrderTable, effect: Effect, trunks: TrunkKeys) -> bool:
    name, decision = trunks.name_of(effect.key), effect.decision
    if name is None:
        return True  # no call comes by it here
    if decision is None:
        table.clear_trunk(name_hash(name))
        return True
    return table.set_trunk(name_hash(name), decision.act, decision.prio, decision.from_s, decision.until_s)


def _holding(standing: list[Decision], now_s: float) -> Decision | None:
    """The highest that is in force, else the next to begin. standing: highest first."""
    current = next((one for one in standing if one.in_force(now_s)), None)
    coming = (one for one in standing if one.from_s > now_s)
    return current or min(coming, key=lambda one: one.from_s, default=None)
