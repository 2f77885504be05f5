"""What can be wrong with a policy: names, dates, limits and thresholds checked against each other.

`check_rules` looks at what is written, without its numbers; what needs the entries is in `engine.lint_entries`.
"""

from __future__ import annotations

import re
from calendar import monthrange, timegm
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from engine import rules
from engine._dial_plan import DialPlan
from engine.packs import BUILTIN_DIAL_PLANS
from engine.policy_names import BUILTIN_RULES

MAX_RULES = 4096
MAX_NAMED = {"label": 255, "hours": 200, "divert": 64}
MAX_LIMITS_PER_TRUNK = 16
MAX_LABEL_BYTES = 64
MAX_POINTS = 1000
MAX_WEIGHT = 10
MAX_INTERVAL_US = 1 << 60  # what the rate limiter can hold
MICROSECONDS = 1_000_000
DAY_S = 86_400
EPOCH_YEAR = 1970


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong: the key as an operator would look for it, `list[deny].until`, and why."""

    severity: Literal["error", "warning"]
    key: str
    why: str


class Named(Protocol):
    @property
    def name(self) -> str: ...


RuleOfAny = rules.NumberList | rules.PrefixRule | rules.Rule | rules.Limit


def error(key: str, why: str) -> Finding:
    return Finding("error", key, why)


def warning(key: str, why: str) -> Finding:
    return Finding("warning", key, why)


def check_rules(policy: rules.PolicySet, now_us: int | None) -> Iterator[Finding]:
    yield from _check_names(policy)
    yield from _check_references(policy)
    for label in policy.labels:
        yield from _check_label(label)
    for plan in policy.dial_plans:
        yield from _check_plan(plan)
    for number_list in policy.lists:
        yield from _check_list(number_list, now_us)
    for rule in policy.prefix_rules:
        yield from _check_prefix_rule(rule)
    for other in policy.rules:
        yield from _check_points(f"rule[{other.name}]", other)
    for limit in policy.limits:
        yield from _check_limit(limit)
    for each in policy.policies:
        yield from _check_policy(each)
    for trunk in policy.trunks:
        yield from _check_trunk(trunk)
    yield from _check_reputation(policy.reputation)
    yield from _check_use(policy)


def key_of(rule: RuleOfAny) -> str:
    return f"{KIND_NAMES[type(rule)]}[{rule.name}]"


KIND_NAMES: dict[type[RuleOfAny], str] = {
    rules.NumberList: "list",
    rules.PrefixRule: "prefix_rule",
    rules.Rule: "rule",
    rules.Limit: "limit",
}


def all_rules(policy: rules.PolicySet) -> tuple[RuleOfAny, ...]:
    """The operator's rules in the order of their indices in an image, which follow the built-in ones."""
    return (*policy.lists, *policy.prefix_rules, *policy.rules, *policy.limits)


def takes_part(rule: RuleOfAny, policy: rules.Policy) -> bool:
    match rule:
        case rules.NumberList():
            chosen = policy.lists
        case rules.PrefixRule():
            chosen = policy.prefix_rules
        case rules.Rule():
            chosen = policy.rules
        case _:
            chosen = policy.limits
    return not chosen or rule.name in chosen


def in_force(rule: RuleOfAny, trunk: rules.TrunkPolicy, policies: dict[str, rules.Policy]) -> bool:
    """Whether a rule speaks on a trunk: its own choice of trunks and the choice of the trunk's policy."""
    return (not rule.trunks or trunk.name in rule.trunks) and takes_part(rule, policies[trunk.policy])


def end_of_day_us(text: str) -> int:
    """The first microsecond after an ISO date (UTC). ValueError if it is none."""
    parts = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)", text, re.ASCII)
    year, month, day = map(int, parts.groups()) if parts else (0, 0, 0)
    if not (year >= EPOCH_YEAR and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]):
        raise ValueError(f"{text!r} is no date such as 2027-06-30")
    return (timegm((year, month, day, 0, 0, 0)) + DAY_S) * MICROSECONDS


def windows_of(limit: rules.Limit) -> tuple[rules.Window, ...]:
    """A limit's windows, also of one that is written without `windows`."""
    if limit.windows or limit.calls is None or limit.period_s is None:
        return limit.windows
    return (rules.Window(calls=limit.calls, period_s=limit.period_s, burst=limit.burst),)


def window_times_us(window: rules.Window) -> tuple[int, int]:
    """(increment, tolerance) of a window as GCRA counts it."""
    increment = round(window.period_s * MICROSECONDS / window.calls)
    return increment, increment * ((window.calls if window.burst is None else window.burst) - 1)


# --- names and references --------------------------------------------------------------------------------------------


def _duplicates(kind: str, items: Iterable[Named]) -> Iterator[Finding]:
    seen: set[str] = set()
    for item in items:
        if item.name in seen:
            yield error(f"{kind}[{item.name}].name", "another one has this name")
        if not item.name:
            yield error(f"{kind}[].name", "is empty")
        seen.add(item.name)


def _check_names(policy: rules.PolicySet) -> Iterator[Finding]:
    yield from _duplicates("label", policy.labels)
    yield from _duplicates("policy", policy.policies)
    yield from _duplicates("trunk", policy.trunks)
    yield from _duplicates("dial_plan", policy.dial_plans)
    yield from _duplicates("hours", policy.hours)
    yield from _duplicates("divert", policy.diverts)
    owner: dict[str, str] = dict.fromkeys(BUILTIN_RULES, "a built-in rule")
    for rule in all_rules(policy):
        if not rule.name:
            yield error(f"{key_of(rule)}.name", "is empty")
        if rule.name in owner:
            yield error(f"{key_of(rule)}.name", f"verdicts name rules, and {owner[rule.name]} has this name")
        owner[rule.name] = key_of(rule)
    if len(all_rules(policy)) > MAX_RULES:
        yield error("list", f"{len(all_rules(policy))} lists, rules and limits, at most {MAX_RULES}")
    for kind, count in (("label", len(policy.labels)), ("hours", len(policy.hours)), ("divert", len(policy.diverts))):
        if count > MAX_NAMED[kind]:
            yield error(kind, f"there are {count}, at most {MAX_NAMED[kind]}")


def unknown(key: str, names: Iterable[str | None], known: Iterable[Named], kind: str) -> Iterator[Finding]:
    defined = {item.name for item in known}
    for name in names:
        if name is not None and name not in defined:
            yield error(key, f"no {kind} is called {name!r}")


def _check_references(policy: rules.PolicySet) -> Iterator[Finding]:
    for rule in all_rules(policy):
        yield from unknown(f"{key_of(rule)}.label", [rule.label], policy.labels, "label")
        yield from unknown(f"{key_of(rule)}.divert", [rule.divert], policy.diverts, "divert")
        yield from unknown(f"{key_of(rule)}.trunks", rule.trunks, policy.trunks, "trunk")
    for each in policy.policies:
        key = f"policy[{each.name}]"
        yield from unknown(f"{key}.label", [each.label], policy.labels, "label")
        yield from unknown(f"{key}.lists", each.lists, policy.lists, "list")
        yield from unknown(f"{key}.prefix_rules", each.prefix_rules, policy.prefix_rules, "prefix_rule")
        yield from unknown(f"{key}.rules", each.rules, policy.rules, "rule")
        yield from unknown(f"{key}.limits", each.limits, policy.limits, "limit")
        yield from unknown(f"{key}.divert", [each.divert], policy.diverts, "divert")
    plans = (*policy.dial_plans, *BUILTIN_DIAL_PLANS.values())
    for trunk in policy.trunks:
        yield from unknown(f"trunk[{trunk.name}].policy", [trunk.policy], policy.policies, "policy")
        yield from unknown(f"trunk[{trunk.name}].dial_plan", [trunk.dial_plan], plans, "dial_plan")


# --- one table each --------------------------------------------------------------------------------------------------


def _check_label(label: rules.Label) -> Iterator[Finding]:
    key = f"label[{label.name}].text"
    if len(label.text.encode()) > MAX_LABEL_BYTES:
        yield error(key, f"{len(label.text.encode())} bytes of UTF-8, at most {MAX_LABEL_BYTES}")
    if not label.text.isprintable():
        yield error(key, "holds a control character: it is written into SIP headers")


def _check_plan(plan: rules.DialPlan) -> Iterator[Finding]:
    key = f"dial_plan[{plan.name}]"
    try:
        DialPlan(plan)
    except ValueError as fault:
        yield error(key, str(fault))
    if plan.min_national_digits > plan.max_national_digits:
        yield error(f"{key}.min_national_digits", "is above max_national_digits: no national number is valid")
    for code in plan.short_codes:
        if not len(code.prefix) <= code.max_digits or code.min_digits > code.max_digits:
            digits = f"{code.min_digits} to {code.max_digits} digits"
            yield error(f"{key}.short_codes", f"{code.prefix}: no number that begins so has {digits}")


def _check_list(number_list: rules.NumberList, now_us: int | None) -> Iterator[Finding]:
    key = f"list[{number_list.name}]"
    if number_list.action is rules.ListAction.ALLOW:
        if not number_list.owner:
            yield error(f"{key}.owner", "an allow list needs an owner who answers for it")
        if not number_list.until:
            yield error(f"{key}.until", "an allow list needs an end date")
    if number_list.until:
        try:
            end_us = end_of_day_us(number_list.until)
        except ValueError as fault:
            yield error(f"{key}.until", str(fault))
        else:
            if now_us is not None and end_us <= now_us:
                yield warning(f"{key}.until", f"expired: {number_list.until} is over, the list has no effect any more")
    if not number_list.numbers and not number_list.file:
        yield warning(key, "has neither numbers nor a file: it can never fire")


def _check_points(key: str, rule: rules.PrefixRule | rules.Rule | rules.Limit) -> Iterator[Finding]:
    if abs(rule.points) > MAX_POINTS:
        yield error(f"{key}.points", f"{rule.points}: expected -{MAX_POINTS} to {MAX_POINTS}")
    if rule.outcome is rules.Outcome.SCORE and rule.points == 0:
        yield warning(f"{key}.points", "outcome is score and points are 0: it has no effect")
    if rule.outcome is not rules.Outcome.SCORE and rule.points:
        yield warning(f"{key}.points", f"has no effect: outcome is {rule.outcome.value}")


def _check_prefix_rule(rule: rules.PrefixRule) -> Iterator[Finding]:
    yield from _check_points(f"prefix_rule[{rule.name}]", rule)
    if not rule.prefixes:
        yield warning(f"prefix_rule[{rule.name}].prefixes", "is empty: it can never fire")


def _check_limit(limit: rules.Limit) -> Iterator[Finding]:
    key = f"limit[{limit.name}]"
    yield from _check_points(key, limit)
    alone = (limit.calls, limit.period_s, limit.burst)
    if limit.windows and alone != (None, None, None):
        yield error(f"{key}.windows", "calls, period_s and burst stand in its windows, not beside them")
        return
    if not windows_of(limit):
        yield error(f"{key}.calls", "calls and period_s are missing, or several of them in windows")
    if len({window.period_s for window in limit.windows}) < len(limit.windows):
        yield error(f"{key}.windows", "two have the same period_s: the wider one would never decide")
    for place, window in enumerate(windows_of(limit)):
        yield from _check_window(f"{key}.windows[{place}]" if limit.windows else key, window)


def _check_window(key: str, window: rules.Window) -> Iterator[Finding]:
    if window.calls < 1:
        yield error(f"{key}.calls", f"{window.calls}: expected at least 1")
    if not window.period_s > 0:
        yield error(f"{key}.period_s", f"{window.period_s}: expected more than 0")
    if window.burst is not None and window.burst < 1:
        yield error(f"{key}.burst", f"{window.burst}: no call would ever pass")
    if window.calls < 1 or not window.period_s > 0:
        return
    increment, tolerance = window_times_us(window) if window.period_s < MAX_INTERVAL_US else (MAX_INTERVAL_US, 0)
    if not 0 < increment < MAX_INTERVAL_US or tolerance >= MAX_INTERVAL_US:
        yield error(f"{key}.period_s", f"{window.calls} calls in {window.period_s} s cannot be counted in microseconds")
    if window.burst is not None and window.burst > window.calls:
        yield warning(f"{key}.burst", f"{window.burst} at once are more than the {window.calls} a period may have")


def _check_policy(policy: rules.Policy) -> Iterator[Finding]:
    key = f"policy[{policy.name}]"
    yield from _check_thresholds(f"{key}.thresholds", policy.thresholds)
    for name in ("reputation", "block_reputation"):
        weight = getattr(policy.weights, name)
        if not 0 <= weight <= MAX_WEIGHT:
            yield error(f"{key}.weights.{name}", f"{weight}: expected 0 to {MAX_WEIGHT}")
    for name, value in (("invalid_points", policy.invalid_points), ("mismatch_points", policy.mismatch_points)):
        if abs(value) > MAX_POINTS:
            yield error(f"{key}.{name}", f"{value}: expected -{MAX_POINTS} to {MAX_POINTS}")
    if policy.invalid is rules.Outcome.SCORE and policy.invalid_points == 0:
        yield warning(f"{key}.invalid_points", "invalid is score and the points are 0: it has no effect")


def _check_thresholds(key: str, thresholds: rules.Thresholds) -> Iterator[Finding]:
    if thresholds.tag >= thresholds.reject:
        yield error(f"{key}.tag", f"{thresholds.tag} is not below reject ({thresholds.reject})")
    if thresholds.divert is not None and not thresholds.tag <= thresholds.divert < thresholds.reject:
        yield error(f"{key}.divert", f"{thresholds.divert} is not between tag and reject")
    for name in ("tag", "divert", "reject"):
        value = getattr(thresholds, name)
        if value is not None and value < 1:
            yield error(f"{key}.{name}", f"{value}: every call would reach it")
        elif value is not None and value > MAX_POINTS:
            yield warning(f"{key}.{name}", f"{value} can never be reached: scores end at {MAX_POINTS}")


def _check_trunk(trunk: rules.TrunkPolicy) -> Iterator[Finding]:
    if trunk.thresholds is not None:
        yield from _check_thresholds(f"trunk[{trunk.name}].thresholds", trunk.thresholds)
    for basis, status in msgspec.structs.asdict(trunk.status).items():
        key = f"trunk[{trunk.name}].status.{basis}"
        if not 400 <= status <= 699:
            yield error(key, f"{status}: a rejection is answered with 400 to 699")
        elif status == 503 and basis != "overload":
            yield error(key, "503 says that this element is out: clients stop sending all calls (RFC 3261 21.5.4)")
        elif status == 484:
            yield error(key, "484 starts overlap dialling (RFC 3261 21.4.22)")


def _check_reputation(reputation: rules.Reputation) -> Iterator[Finding]:
    if not reputation.half_life_days > 0:
        yield error("reputation.half_life_days", f"{reputation.half_life_days}: expected more than 0")
    if not 0 <= reputation.block_share <= 1:
        yield error("reputation.block_share", f"{reputation.block_share}: expected 0 to 1")
    for name in ("refused_points", "complaint_points"):
        value = getattr(reputation, name)
        if not 0 <= value <= MAX_POINTS:
            yield error(f"reputation.{name}", f"{value}: expected 0 to {MAX_POINTS}")


# --- use -------------------------------------------------------------------------------------------------------------


def _check_use(policy: rules.PolicySet) -> Iterator[Finding]:
    """Rules that speak on no trunk, and trunks with more limits than a decision can hold."""
    policies = {each.name: each for each in policy.policies}
    trunks = [trunk for trunk in policy.trunks if trunk.policy in policies]
    if len(trunks) < len(policy.trunks) or not trunks:
        return
    for rule in all_rules(policy):
        if not any(in_force(rule, trunk, policies) for trunk in trunks):
            yield warning(key_of(rule), _unused(rule, policy.policies))
    for trunk in trunks:
        count = sum(len(windows_of(limit)) for limit in policy.limits if in_force(limit, trunk, policies))
        if count > MAX_LIMITS_PER_TRUNK:
            yield error(f"trunk[{trunk.name}]", f"{count} limits count on it, at most {MAX_LIMITS_PER_TRUNK}")


def _unused(rule: RuleOfAny, policies: Sequence[rules.Policy]) -> str:
    if not any(takes_part(rule, each) for each in policies):
        return "no policy uses it: it can never fire"
    return "none of its trunks has a policy that uses it: it can never fire"
