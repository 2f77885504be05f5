"""What can be wrong with the numbers of a policy: prefixes that cover too much, rules that others leave nothing to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from engine import rules
from engine._entries import EntrySet
from engine._numbers import number_text
from engine.lint import Finding, RuleOfAny, all_rules, error, in_force, key_of, warning
from engine.numbers import CALLING_CODE_BY_REGION

# Services that a blanket prefix must not cover: banks, insurers, power, couriers, police and the state's hotlines. A few
# of each head are enough to see the prefix that is too wide (MIIT 2020: 953, 955 and 956 are large enterprises).
PUBLIC_SERVICES: dict[str, str] = {
    "CN:95588": "ICBC",
    "CN:95533": "China Construction Bank",
    "CN:95566": "Bank of China",
    "CN:95599": "Agricultural Bank of China",
    "CN:95555": "China Merchants Bank",
    "CN:95511": "Ping An",
    "CN:95518": "PICC",
    "CN:95598": "State Grid",
    "CN:95338": "SF Express",
    "CN:95110": "coast guard police",
    "CN:96110": "anti-fraud police",
    "CN:12110": "police by message",
    "CN:12321": "spam complaints",
    "CN:12381": "anti-fraud warnings",
    "CN:12306": "railways",
    "CN:12345": "government hotline",
    "CN:110": "police",
    "CN:119": "fire",
    "CN:120": "ambulance",
    "CN:122": "traffic police",
}
WIDEST_SERVICE = max(len(text) for text in PUBLIC_SERVICES)
LONGEST_CALLING_CODE = 3

REJECTING_LISTS = (rules.ListAction.ORDER, rules.ListAction.DENY, rules.ListAction.DNO)
EXPLICIT_ACCEPT = (rules.ListAction.ALLOW, rules.ListAction.PROTECTED)

Content = tuple[tuple[int, int], ...]


def rejects(rule: RuleOfAny) -> bool:
    if isinstance(rule, rules.NumberList):
        return rule.action in REJECTING_LISTS
    return rule.outcome is rules.Outcome.REJECT


def check_wide_prefixes(policy: rules.PolicySet, callers: EntrySet, rule_at: Callable[[int], RuleOfAny]) -> Iterator[Finding]:
    """Rejecting prefixes that hit public services, or the whole country of a trunk."""
    for index, number in callers.prefixes(short_codes=True, most_digits=WIDEST_SERVICE):
        rule = rule_at(index)
        prefix = number_text(number)
        hit = [f"{text} ({name})" for text, name in PUBLIC_SERVICES.items() if text.startswith(prefix) and text != prefix]
        if hit and rejects(rule):
            yield error(_entries_key(rule), f"{prefix}* is too wide: it hits {', '.join(hit)}")
    codes = {f"+{plan.country_code}" for plan in policy.dial_plans} | {f"+{c}" for c in CALLING_CODE_BY_REGION.values()}
    for index, number in callers.prefixes(short_codes=False, most_digits=LONGEST_CALLING_CODE):
        rule = rule_at(index)
        prefix = number_text(number)
        if rejects(rule) and any(code.startswith(prefix) for code in codes):
            yield warning(_entries_key(rule), f"{prefix}* rejects whole countries")


def _entries_key(rule: RuleOfAny) -> str:
    return f"{key_of(rule)}.{'prefixes' if isinstance(rule, rules.PrefixRule) else 'numbers'}"


def check_shadows(policy: rules.PolicySet, contents: Sequence[Content], first_rule: int) -> Iterator[Finding]:
    """Rules whose every entry lies under an order or a denial that decides before them."""
    operator_rules = all_rules(policy)
    policies = {each.name: each for each in policy.policies}
    trunks = {
        rule.name: {trunk.name for trunk in policy.trunks if in_force(rule, trunk, policies)} for rule in operator_rules
    }
    shadows: dict[int, set[int]] = {}
    for content in contents:
        here = [operator_rules[index - first_rule] for index, _ in content]
        for index, _ in content:
            rule = operator_rules[index - first_rule]
            found = {
                operator_rules.index(other)
                for other in here
                if other is not rule and _decides_before(other, rule, here) and trunks[rule.name] <= trunks[other.name]
            }
            shadows[index] = shadows[index] & found if index in shadows else found
    for index, by in sorted(shadows.items()):
        rule = operator_rules[index - first_rule]
        for other in sorted(by):
            if _is_protected(rule):
                yield warning(key_of(rule), f"{key_of(operator_rules[other])} holds on all its numbers, and an order wins")
            elif trunks[rule.name]:
                yield warning(key_of(rule), f"{key_of(operator_rules[other])} decides on all its numbers: it can never fire")


def _is_protected(rule: RuleOfAny) -> bool:
    return isinstance(rule, rules.NumberList) and rule.action is rules.ListAction.PROTECTED


def _decides_before(other: RuleOfAny, rule: RuleOfAny, here: Sequence[RuleOfAny]) -> bool:
    """Whether `other` settles a call before `rule` is asked, given all that holds for the number."""
    if other.observe or other.label is None and not rejects(other) or not isinstance(other, rules.NumberList):
        return False
    if other.until or isinstance(rule, rules.NumberList) and rule.action is rules.ListAction.ORDER:
        return False
    if other.action is rules.ListAction.ORDER:
        return True
    if other.action is not rules.ListAction.DENY or any(_accepts(each) for each in here):
        return False
    return not (isinstance(rule, rules.NumberList) and rule.action is rules.ListAction.DENY)


def _accepts(rule: RuleOfAny) -> bool:
    return isinstance(rule, rules.NumberList) and rule.action in EXPLICIT_ACCEPT
