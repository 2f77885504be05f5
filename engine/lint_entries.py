"""What can be wrong with the numbers of a policy: prefixes that cover too much, rules that can never fire."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from engine import rules
from engine._entries import EntrySet
from engine._numbers import number_text
from engine.lint import Finding, RuleOfAny, all_rules, error, in_force, key_of, warning
from engine.numbers import REGION_BY_CALLING_CODE

# Services that a blanket prefix must not cover: banks, insurers, power, couriers, police and hotlines of the state. A
# few of each head are enough to see the prefix that is too wide (MIIT 2020: 953, 955 and 956 are large enterprises).
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

REJECTING_LISTS = (rules.ListAction.ORDER, rules.ListAction.DENY, rules.ListAction.DROP, rules.ListAction.DNO)
REJECTING = (rules.Outcome.REJECT, rules.Outcome.DROP)
EXPLICIT_ACCEPT = (rules.ListAction.ALLOW, rules.ListAction.PROTECTED)

# Protected comes after order in effect: an order spares nobody.
RANK = {
    rules.ListAction.NEVER_BLOCK: 0,
    rules.ListAction.ORDER: 1,
    rules.ListAction.PROTECTED: 2,
    rules.ListAction.ALLOW: 2,
    rules.ListAction.DENY: 3,
    rules.ListAction.DIVERT: 3,
    rules.ListAction.DROP: 3,
    rules.ListAction.DNO: 4,
    rules.ListAction.TAG: 5,
    rules.ListAction.OWN: 6,
}

Content = tuple[tuple[int, int], ...]


def rejects(rule: RuleOfAny) -> bool:
    if isinstance(rule, rules.NumberList):
        return rule.action in REJECTING_LISTS
    return rule.outcome in REJECTING


def check_wide_prefixes(callers: EntrySet, rule_at: Callable[[int], RuleOfAny]) -> Iterator[Finding]:
    """Rejecting prefixes that hit public services, or the whole country of a trunk."""
    for index, number in callers.prefixes(short_codes=True, most_digits=WIDEST_SERVICE):
        rule = rule_at(index)
        prefix = number_text(number)
        covered = [text for text in PUBLIC_SERVICES if text.startswith(prefix) and text != prefix]
        hit = [f"{text} ({PUBLIC_SERVICES[text]})" for text in covered]
        if hit and rejects(rule):
            yield error(_entries_key(rule), f"{prefix}* is too wide: it hits {', '.join(hit)}")
    for index, number in callers.prefixes(short_codes=False, most_digits=LONGEST_CALLING_CODE):
        rule = rule_at(index)
        prefix = number_text(number)
        if rejects(rule) and any(f"+{code}".startswith(prefix) for code in REGION_BY_CALLING_CODE):
            yield warning(_entries_key(rule), f"{prefix}* rejects whole countries")


def _entries_key(rule: RuleOfAny) -> str:
    return f"{key_of(rule)}.{'prefixes' if isinstance(rule, rules.PrefixRule) else 'numbers'}"


def check_shadows(policy: rules.PolicySet, contents: Sequence[Content], first_rule: int) -> Iterator[Finding]:
    """Rules whose every entry lies under an order or a denial that decides before them."""
    operator_rules = all_rules(policy)
    policies = {each.name: each for each in policy.policies}
    trunks = [{t.name for t in policy.trunks if in_force(rule, t, policies)} for rule in operator_rules]
    shadows: dict[int, set[int]] = {}
    for content in contents:
        here = [index - first_rule for index, _ in content]
        spared = any(_accepts(operator_rules[index]) for index in here)
        first = [index for index in here if _decides_first(operator_rules[index], spared)]
        for index in here:
            found = {
                other
                for other in first
                if _comes_after(operator_rules[index], operator_rules[other]) and trunks[index] <= trunks[other]
            }
            shadows[index] = shadows.get(index, found) & found
    for index, by in sorted(shadows.items()):
        if trunks[index]:
            yield from (_shadowed(operator_rules[index], operator_rules[other]) for other in sorted(by))


def _shadowed(rule: RuleOfAny, by: RuleOfAny) -> Finding:
    if isinstance(rule, rules.NumberList) and rule.action is rules.ListAction.PROTECTED:
        return warning(key_of(rule), f"{key_of(by)} holds for all its numbers too, and an order spares nobody")
    return warning(key_of(rule), f"{key_of(by)} decides on all its numbers: it can never fire")


def _decides_first(rule: RuleOfAny, spared: bool) -> bool:
    """Whether a rule settles every call from a number that it holds, unless the number is also allowed or protected."""
    if not isinstance(rule, rules.NumberList) or rule.observe or rule.until:
        return False
    return rule.action is rules.ListAction.ORDER or (rule.action is rules.ListAction.DENY and not spared)


def _comes_after(rule: RuleOfAny, first: RuleOfAny) -> bool:
    """Whether the order of decision asks `rule` only after `first`."""
    if not isinstance(rule, rules.NumberList):
        return True
    assert isinstance(first, rules.NumberList)
    return RANK[rule.action] > RANK[first.action]


def _accepts(rule: RuleOfAny) -> bool:
    return isinstance(rule, rules.NumberList) and rule.action in EXPLICIT_ACCEPT
