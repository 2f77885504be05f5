"""[[test]] cases: kept expectations are silent, broken ones say what the policy does instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import compile_policy, rules
from engine.policy_tests import run_tests

NOW_US = 1_795_305_600_000_000  # 2026-11-22, 00:00 UTC
POLICY = rules.PolicySet(
    trunks=(rules.TrunkPolicy(name="carrier", policy="default", dial_plan="cn"),),
    policies=(rules.Policy(name="default", anonymous=rules.AnonymousAction.REJECT),),
    lists=(
        rules.NumberList(
            name="until-yesterday", action=rules.ListAction.DENY, numbers=("+8613800138000",), until="2026-11-21"
        ),
    ),
    limits=(rules.Limit(name="few", key=rules.LimitKey.CALLER, calls=3, period_s=60),),
)


def case(**more: object) -> rules.PolicyTest:
    parts = {"name": "t", "caller": "13800138000", "callee": "02088886666", "trunk": "carrier"} | more
    return rules.PolicyTest(**parts)  # type: ignore[arg-type]


KEPT = [
    case(action="accept", status=0),
    case(action="reject", rule="until-yesterday", status=403, at="2026-11-21T23:59"),
    case(action="accept", at="2026-11-22T00:00"),
    case(action="reject", at="2026-11-22T07:59+08:00"),
    case(action="reject", rule="anonymous", status=433, privacy=True),
    case(action="accept", calls=3),
    case(action="reject", rule="few", status=603, calls=4),
]
BROKEN = [
    (case(action="reject"), "test[t].action", "expected reject, the policy says action accept"),
    (case(calls=4, rule="many"), "test[t].rule", "expected many, the policy says action reject, rule few, status 603"),
    (case(calls=4, status=607), "test[t].status", "expected 607"),
    (case(trunk="no"), "test[t].trunk", "no trunk is called 'no'"),
    (case(at="soon"), "test[t].at", "expected a time"),
]


def findings(each: rules.PolicyTest) -> list[tuple[str, str]]:
    image = compile_policy(POLICY, base_dir=Path(), generation=1)
    return [(found.key, found.why) for found in run_tests(image, [each], NOW_US)]


@pytest.mark.parametrize("each", KEPT)
def test_a_kept_expectation_is_silent(each: rules.PolicyTest) -> None:
    assert findings(each) == []


@pytest.mark.parametrize(("each", "key", "why"), BROKEN)
def test_a_broken_expectation_says_what_happened(each: rules.PolicyTest, key: str, why: str) -> None:
    ((found_key, found_why),) = findings(each)
    assert found_key == key and why in found_why


def test_cases_do_not_count_for_each_other() -> None:
    image = compile_policy(POLICY, base_dir=Path(), generation=1)
    cases = [case(name=f"t{n}", action="accept", calls=3) for n in range(3)]
    assert list(run_tests(image, cases, NOW_US)) == []
