"""What can be wrong with the conditions of rules, the hours they name, and where they divert calls to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine import rules
from engine.hours import CALLING_HOURS, PACK_HOURS, days_since_1970, week_words
from engine.lint import Finding, RuleOfAny, all_rules, error, in_force, key_of, unknown, warning
from engine.origin import pack_of
from engine.packs import BUILTIN_DIAL_PLANS, CLASSES, NumberClass

WITHOUT_PACK = (NumberClass.ANONYMOUS, NumberClass.INVALID)  # classes that are known on every trunk
MAX_HOLIDAYS = 366
ConditionalRule = rules.PrefixRule | rules.Rule | rules.Limit


def check_conditions(policy: rules.PolicySet) -> Iterator[Finding]:
    for hours in policy.hours:
        yield from _check_hours(hours, policy)
    for rule in conditional_rules(policy):
        yield from _check_rule(rule, policy)
    yield from _check_diverts(policy)


def conditional_rules(policy: rules.PolicySet) -> tuple[ConditionalRule, ...]:
    return (*policy.prefix_rules, *policy.rules, *policy.limits)


def trunks_of(rule: RuleOfAny, policy: rules.PolicySet) -> list[rules.TrunkPolicy]:
    """The trunks that a rule is in force on."""
    policies = {each.name: each for each in policy.policies}
    return [trunk for trunk in policy.trunks if trunk.policy in policies and in_force(rule, trunk, policies)]


def pack_by_trunk(policy: rules.PolicySet) -> dict[str, str | None]:
    plans = BUILTIN_DIAL_PLANS | {plan.name: plan for plan in policy.dial_plans}
    return {trunk.name: pack_of(trunk, plans[trunk.dial_plan]) for trunk in policy.trunks if trunk.dial_plan in plans}


def _check_hours(hours: rules.Hours, policy: rules.PolicySet) -> Iterator[Finding]:
    key = f"hours[{hours.name}]"
    if hours.name == CALLING_HOURS:
        yield error(f"{key}.name", "is the name of the calling hours of a trunk's country")
    try:
        week_words(hours.open)
    except ValueError as fault:
        yield error(f"{key}.open", str(fault))
    if not hours.open:
        yield error(f"{key}.open", "is empty: no time would be within it")
    yield from _check_holidays(f"{key}.holidays", hours.holidays)
    if hours.time_zone is not None:
        try:
            ZoneInfo(hours.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            yield error(f"{key}.time_zone", f"no time zone is called {hours.time_zone!r}: expected as Asia/Shanghai")
    if not any(hours.name in (rule.hours, rule.outside_hours) for rule in conditional_rules(policy)):
        yield warning(key, "no rule asks for it")


def _check_holidays(key: str, holidays: tuple[str, ...]) -> Iterator[Finding]:
    for day in holidays:
        try:
            days_since_1970(day)
        except ValueError as fault:
            yield error(key, str(fault))
    for day, count in Counter(holidays).items():
        if count > 1:
            yield warning(key, f"{day} stands there {count} times")
    if len(holidays) > MAX_HOLIDAYS:
        yield error(key, f"{len(holidays)} days, at most {MAX_HOLIDAYS}")


def _check_rule(rule: ConditionalRule, policy: rules.PolicySet) -> Iterator[Finding]:
    key = key_of(rule)
    classes = {"classes": rule.classes, "callee_classes": rule.callee_classes}
    for name, written in classes.items():
        for each in written:
            if each not in CLASSES or (each == NumberClass.ANONYMOUS and name == "callee_classes"):
                yield error(f"{key}.{name}", f"{each!r} is no class of numbers; docs/policy.md lists them")
    known = (*policy.hours, rules.Hours(name=CALLING_HOURS, open=()))
    yield from unknown(f"{key}.hours", [rule.hours], known, "hours")
    yield from unknown(f"{key}.outside_hours", [rule.outside_hours], known, "hours")
    if rule.hours and rule.hours == rule.outside_hours:
        yield error(f"{key}.outside_hours", "is the same as hours: it can never fire")
    conditions = (*rule.classes, *rule.callee_classes, rule.hours, rule.outside_hours, *rule.trunks)
    if isinstance(rule, rules.Rule) and not any(conditions):
        yield error(key, "has no condition: it would speak of every call")
    yield from _check_packs(rule, policy)


def _check_packs(rule: ConditionalRule, policy: rules.PolicySet) -> Iterator[Finding]:
    """Conditions that no trunk of the rule can meet, because nothing is known of its country."""
    packs = {pack_by_trunk(policy).get(trunk.name) for trunk in trunks_of(rule, policy)}
    if not packs:
        return
    needs_pack = [each for each in (*rule.classes, *rule.callee_classes) if each not in WITHOUT_PACK]
    if needs_pack and packs == {None}:
        yield warning(f"{key_of(rule)}.classes", "none of its trunks has a pack that classes numbers: set trunk.pack")
    if CALLING_HOURS in (rule.hours, rule.outside_hours) and not packs & set(PACK_HOURS):
        known = ", ".join(PACK_HOURS)
        yield warning(
            f"{key_of(rule)}.hours", f"calling hours are known of {known} alone, and none of its trunks is theirs"
        )


# --- diverts ---------------------------------------------------------------------------------------------------------


def _diverts(rule: RuleOfAny) -> bool:
    if isinstance(rule, rules.NumberList):
        return rule.action is rules.ListAction.DIVERT
    return rule.outcome is rules.Outcome.DIVERT


def _check_diverts(policy: rules.PolicySet) -> Iterator[Finding]:
    policies = {each.name: each for each in policy.policies}
    for rule in all_rules(policy):
        homeless = [trunk.policy for trunk in trunks_of(rule, policy) if policies[trunk.policy].divert is None]
        if rule.divert is not None and not _diverts(rule):
            yield warning(f"{key_of(rule)}.divert", "has no effect: it does not divert")
        elif _diverts(rule) and rule.divert is None and homeless:
            yield error(f"{key_of(rule)}.divert", f"is missing here and in policy[{homeless[0]}]")
    for each in policy.policies:
        yield from _check_policy_diverts(each, policy)
    used = {rule.divert for rule in all_rules(policy)} | {each.divert for each in policy.policies}
    for divert in policy.diverts:
        if divert.name not in used:
            yield warning(f"divert[{divert.name}]", "nothing diverts to it")


def _check_policy_diverts(each: rules.Policy, policy: rules.PolicySet) -> Iterator[Finding]:
    if each.divert is not None:
        return
    thresholds = [trunk.thresholds for trunk in policy.trunks if trunk.policy == each.name and trunk.thresholds]
    reasons = {
        'anonymous = "divert"': each.anonymous is rules.AnonymousAction.DIVERT,
        'invalid = "divert"': each.invalid is rules.Outcome.DIVERT,
        "thresholds.divert": any(one.divert is not None for one in (each.thresholds, *thresholds)),
        "an [[origin]] that diverts": any(
            getattr(row, trunk.trunk_class, None) is rules.OriginAction.DIVERT
            for row in policy.origin
            for trunk in policy.trunks
            if trunk.policy == each.name and each.origin is rules.Mode.ENFORCE
        ),
    }
    for reason, holds in reasons.items():
        if holds:
            yield error(f"policy[{each.name}].divert", f"is missing, and {reason} needs it")
