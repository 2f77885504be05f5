"""What can be wrong with the origin rules of a policy: classes, trunks, labels and packs that there are none of."""

from __future__ import annotations

from collections.abc import Iterator

from engine import rules
from engine.lint import Finding, error, unknown, warning
from engine.origin import pack_of
from engine.packs import BUILTIN_DIAL_PLANS, CLASSES, HOME, PACKS, NumberClass

TRUNK_CLASSES = ("subscriber", "enterprise", "carrier", "transit", "intl", "callcentre", "test")


def check_origin(policy: rules.PolicySet) -> Iterator[Finding]:
    for trunk in policy.trunks:
        yield from _check_trunk(trunk)
    for position, row in enumerate(policy.origin, start=1):
        yield from _check_row(f"origin[#{position}]", row, policy)


def _check_trunk(trunk: rules.TrunkPolicy) -> Iterator[Finding]:
    if trunk.pack is not None and trunk.pack not in HOME:
        known = f"{', '.join(sorted(set(PACKS) & set(HOME)))}, and the others by country, as in de"
        yield error(f"trunk[{trunk.name}].pack", f"no pack is called {trunk.pack!r}; known are {known}")
    if trunk.trunk_class not in TRUNK_CLASSES:
        yield error(f"trunk[{trunk.name}].class", f"{trunk.trunk_class!r}: expected {', '.join(TRUNK_CLASSES)}")


def _check_row(key: str, row: rules.OriginRow, policy: rules.PolicySet) -> Iterator[Finding]:
    if row.number_class not in CLASSES or row.number_class == NumberClass.ANONYMOUS:
        classes = [each.value for each in CLASSES if each is not NumberClass.ANONYMOUS]
        yield error(f"{key}.class", f"{row.number_class!r} is no class of numbers; known are {', '.join(classes)}")
    yield from unknown(f"{key}.trunks", row.trunks, policy.trunks, "trunk")
    yield from unknown(f"{key}.label", [row.label], policy.labels, "label")
    if all(getattr(row, trunk_class) is None for trunk_class in TRUNK_CLASSES):
        yield warning(key, "says nothing for any class of trunk: it has no effect")
    elif not any(_screens_by(row, trunk, policy) for trunk in policy.trunks):
        yield warning(key, "no trunk is screened by it: none of its class has a pack and a policy with origin on")


def _screens_by(row: rules.OriginRow, trunk: rules.TrunkPolicy, policy: rules.PolicySet) -> bool:
    if (row.trunks and trunk.name not in row.trunks) or getattr(row, trunk.trunk_class, None) is None:
        return False
    plans = BUILTIN_DIAL_PLANS | {plan.name: plan for plan in policy.dial_plans}
    off = {each.name for each in policy.policies if each.origin is rules.Mode.OFF}
    plan = plans.get(trunk.dial_plan)
    return plan is not None and pack_of(trunk, plan) is not None and trunk.policy not in off
