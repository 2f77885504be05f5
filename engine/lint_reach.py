"""What can be wrong with rules by class, services that they hit and turns that they never get, and with thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine import rules
from engine.lint import Finding, all_rules, error, in_force, key_of, warning
from engine.lint_conditions import ConditionalRule, conditional_rules, pack_by_trunk, trunks_of
from engine.lint_entries import REJECTING
from engine.origin import OUTCOME, OriginCell, origin_cells
from engine.packs import CLASSES, NumberClass

MAX_POINTS = 1000

# Whose numbers they are that a rejection of the class would stop.
SERVICES = {
    NumberClass.SVC95: "banks, insurers, power and couriers (CN:95588, CN:95518, CN:95598, CN:95338)",
    NumberClass.SVC96: "banks and services of cities (CN:96110 is the anti-fraud police)",
    NumberClass.PUBLIC: "services of the state (CN:12345, CN:12321)",
    NumberClass.EMERGENCY: "police, fire and ambulance",
}


def check_reach(policy: rules.PolicySet) -> Iterator[Finding]:
    cells = _cells(policy)
    for rule in conditional_rules(policy):
        if not isinstance(rule, rules.Limit):
            yield from _check_services(rule, policy, cells)
        yield from _check_origin_first(rule, policy, cells)
    yield from _check_origin_rows(policy)
    yield from _check_shadows(policy)
    for trunk in policy.trunks:
        yield from _check_thresholds(trunk, policy)


def _cells(policy: rules.PolicySet) -> dict[str, list[OriginCell]]:
    """What each class means on each trunk whose policy is known."""
    packs, policies = pack_by_trunk(policy), {each.name: each for each in policy.policies}
    return {
        trunk.name: origin_cells(trunk, packs[trunk.name], policies[trunk.policy].origin, policy.origin)
        for trunk in policy.trunks
        if trunk.name in packs and trunk.policy in policies
    }


def _check_services(
    rule: rules.PrefixRule | rules.Rule, policy: rules.PolicySet, cells: dict[str, list[OriginCell]]
) -> Iterator[Finding]:
    """A rejection of whole classes that banks call from, on a trunk where their calls are not fakes anyway."""
    if rule.outcome not in REJECTING or (isinstance(rule, rules.PrefixRule) and rule.prefixes):
        return
    for number_class, whose in SERVICES.items():
        if number_class in rule.classes and any(
            not _is_rejected(cells.get(trunk.name), number_class) for trunk in trunks_of(rule, policy)
        ):
            yield error(f"{key_of(rule)}.classes", f"{number_class} is too wide: it hits {whose}")


def _check_origin_rows(policy: rules.PolicySet) -> Iterator[Finding]:
    """Of domestic interconnection; from abroad or from a subscriber such numbers are fakes."""
    for position, row in enumerate(policy.origin, start=1):
        whose = SERVICES.get(NumberClass(row.number_class)) if row.number_class in CLASSES else None
        if whose and row.carrier is rules.OriginAction.REJECT:
            yield warning(f"origin[#{position}].carrier", f"rejects all calls from {whose}")


def _is_rejected(cells: Sequence[OriginCell] | None, number_class: NumberClass) -> bool:
    return cells is not None and cells[CLASSES.index(number_class)].outcome == OUTCOME[rules.OriginAction.REJECT]


# --- rules that never get a turn -------------------------------------------------------------------------------------


def _check_origin_first(
    rule: ConditionalRule, policy: rules.PolicySet, cells: dict[str, list[OriginCell]]
) -> Iterator[Finding]:
    """Origin consistency is asked before prefix rules, rules and limits."""
    trunks, policies = trunks_of(rule, policy), {each.name: each for each in policy.policies}
    if not trunks or not rule.classes or not set(rule.classes) <= set(CLASSES):
        return
    if all(
        policies[trunk.policy].origin is rules.Mode.ENFORCE
        and all(_is_rejected(cells.get(trunk.name), NumberClass(each)) for each in rule.classes)
        for trunk in trunks
    ):
        yield warning(f"{key_of(rule)}.classes", "origin rules reject these on all its trunks: it can never fire")


def _check_shadows(policy: rules.PolicySet) -> Iterator[Finding]:
    """A [[rule]] that settles the call takes every other one its turn that asks for no less and does no more."""
    settling = [rule for rule in policy.rules if rule.outcome in REJECTING and not rule.observe]
    trunks = {rule.name: {trunk.name for trunk in trunks_of(rule, policy)} for rule in all_rules(policy)}
    laters: tuple[rules.Rule | rules.Limit, ...] = (*policy.rules, *policy.limits)
    for later in laters:
        for first in settling:
            if first is later or not trunks[later.name] or not trunks[later.name] <= trunks[first.name]:
                continue
            if _covers(first, later) and _is_asked_first(first, later, policy):
                yield warning(key_of(later), f"{key_of(first)} decides on all its calls: it can never decide")


def _is_asked_first(first: rules.Rule, later: rules.Rule | rules.Limit, policy: rules.PolicySet) -> bool:
    """Among rules the stronger decides, of equals the first."""
    if isinstance(later, rules.Limit) or later.outcome is rules.Outcome.SCORE:
        return True
    strength = (rules.Outcome.TAG, rules.Outcome.DIVERT, rules.Outcome.REJECT, rules.Outcome.DROP)
    one, other = strength.index(first.outcome), strength.index(later.outcome)
    return one > other or (one == other and policy.rules.index(first) < policy.rules.index(later))


def _covers(wide: rules.Conditions, narrow: rules.Conditions) -> bool:
    """Whether every call that meets the conditions of `narrow` meets those of `wide`."""
    return (
        _includes(wide.classes, narrow.classes)
        and _includes(wide.callee_classes, narrow.callee_classes)
        and wide.hours in (None, narrow.hours)
        and wide.outside_hours in (None, narrow.outside_hours)
    )


def _includes(wide: Sequence[str], narrow: Sequence[str]) -> bool:
    return not wide or (bool(narrow) and set(narrow) <= set(wide))


# --- thresholds ------------------------------------------------------------------------------------------------------


def _check_thresholds(trunk: rules.TrunkPolicy, policy: rules.PolicySet) -> Iterator[Finding]:
    """A threshold that all points of the trunk together do not reach."""
    policies = {each.name: each for each in policy.policies}
    if trunk.policy not in policies:
        return
    chosen = policies[trunk.policy]
    thresholds = trunk.thresholds or chosen.thresholds
    most = min(_most_points(trunk, chosen, policy), MAX_POINTS)
    key = f"trunk[{trunk.name}].thresholds" if trunk.thresholds else f"policy[{chosen.name}].thresholds"
    for name in ("tag", "divert", "reject"):
        value = getattr(thresholds, name)
        if value is not None and most < value <= MAX_POINTS:
            why = f"{value} can never be reached on trunk {trunk.name}: all weights together give {most}"
            yield warning(f"{key}.{name}", why)


def _most_points(trunk: rules.TrunkPolicy, chosen: rules.Policy, policy: rules.PolicySet) -> int:
    policies = {each.name: each for each in policy.policies}
    given = [
        rule.points
        for rule in conditional_rules(policy)
        if rule.outcome is rules.Outcome.SCORE and not rule.observe and in_force(rule, trunk, policies)
    ]
    given.append(chosen.mismatch_points)
    if chosen.invalid is rules.Outcome.SCORE:
        given.append(chosen.invalid_points)
    known = round(MAX_POINTS * chosen.weights.reputation) + round(MAX_POINTS * chosen.weights.block_reputation)
    return known + sum(points for points in given if points > 0)
