"""Contact limits of packs: how often one organisation may call one number, and on which calls that is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import Action, rules
from engine.contact_limits import with_contact_limits
from engine.packs import PACKS, NumberClass
from engine.policy import PolicyError, compile_policy
from engine.rules import LimitKey, Mode
from tests.engine.test_screener import NOW_US, SECOND, call, policy_set, screener_of

DAY = 86_400 * SECOND
SALES, SAME_BLOCK, OTHER_BLOCK = "+33162001234", "+33162001299", "+33162001301"
FRIEND, CALLEE, NEIGHBOUR = "+33612345678", "+33145678901", "+33145678902"
FRENCH = rules.TrunkPolicy(name="carrier", policy="default", dial_plan="fr")


def french(mode: Mode, **more: object) -> rules.PolicySet:
    policy = rules.Policy(name="default", contact_limits=mode, **more)  # type: ignore[arg-type]
    return policy_set(policies=(policy,), trunks=(FRENCH,))


def test_the_fifth_call_of_a_block_to_one_callee_is_tagged(tmp_path: Path) -> None:
    screener = screener_of(french(Mode.ENFORCE), tmp_path)
    callers = (SALES, SAME_BLOCK, SALES, SAME_BLOCK, SALES)
    verdicts = [screener.screen(call(caller, CALLEE), NOW_US + i * SECOND) for i, caller in enumerate(callers)]
    assert [verdict.action for verdict in verdicts] == [Action.ACCEPT] * 4 + [Action.TAG]
    assert verdicts[-1].rule == "fr:contact-limit"
    later = NOW_US + 10 * SECOND
    assert screener.screen(call(OTHER_BLOCK, CALLEE), later).action is Action.ACCEPT
    assert screener.screen(call(SALES, NEIGHBOUR), later).action is Action.ACCEPT
    # A quarter of 30 days makes room for one more.
    assert screener.screen(call(SALES, CALLEE), NOW_US + 8 * DAY).action is Action.ACCEPT


def test_who_does_not_show_a_number_for_sales_may_call_as_often_as_he_likes(tmp_path: Path) -> None:
    screener = screener_of(french(Mode.ENFORCE), tmp_path)
    assert {screener.screen(call(FRIEND, CALLEE), NOW_US).action for _ in range(20)} == {Action.ACCEPT}


def test_by_default_they_are_only_observed(tmp_path: Path) -> None:
    policy = rules.Policy(name="default", origin=Mode.OFF)
    screener = screener_of(policy_set(policies=(policy,), trunks=(FRENCH,)), tmp_path)
    *_, fifth = [screener.screen(call(SALES, CALLEE), NOW_US) for _ in range(5)]
    assert (fifth.action, fifth.observed, fifth.observed_rule) == (
        Action.ACCEPT, Action.TAG, "fr:contact-limit:observed"
    )


@pytest.mark.parametrize(
    "policy",
    [
        french(Mode.OFF),
        policy_set(),  # a Chinese trunk, whose pack knows of no such limit
        policy_set(trunks=(rules.TrunkPolicy(name="carrier", policy="default", dial_plan="generic"),)),
    ],
)
def test_where_nothing_is_asked_for_or_known_there_is_no_limit(policy: rules.PolicySet) -> None:
    assert with_contact_limits(policy).limits == ()


def test_a_policy_that_chooses_its_limits_has_those_of_the_pack_too(tmp_path: Path) -> None:
    own = (
        rules.Limit(name="chosen", key=LimitKey.CALLER, calls=100, period_s=10),
        rules.Limit(name="left-out", key=LimitKey.CALLER, calls=1, period_s=10),
    )
    policy = rules.Policy(name="default", contact_limits=Mode.ENFORCE, limits=("chosen",))
    screener = screener_of(policy_set(policies=(policy,), trunks=(FRENCH,), limits=own), tmp_path)
    *_, fifth = [screener.screen(call(SALES, CALLEE), NOW_US) for _ in range(5)]
    assert (fifth.action, fifth.rule) == (Action.TAG, "fr:contact-limit")


def test_trunks_of_one_policy_count_together_and_others_apart() -> None:
    policies = (
        rules.Policy(name="default", contact_limits=Mode.ENFORCE),
        rules.Policy(name="watched", contact_limits=Mode.OBSERVE),
    )
    trunks = (FRENCH, rules.TrunkPolicy(name="watched", policy="watched", dial_plan="fr"))
    limits = with_contact_limits(policy_set(policies=policies, trunks=trunks)).limits
    assert [(limit.name, limit.trunks, limit.observe) for limit in limits] == [
        ("fr:contact-limit", ("carrier",), False),
        ("fr:contact-limit:observed", ("watched",), True),
    ]


def test_they_count_toward_what_a_decision_can_hold(tmp_path: Path) -> None:
    own = tuple(rules.Limit(name=f"own-{i}", key=LimitKey.CALLER, calls=9, period_s=10) for i in range(16))
    with pytest.raises(PolicyError, match="17 limits count on it, at most 16"):
        compile_policy(policy_set(trunks=(FRENCH,), limits=own), base_dir=tmp_path, generation=1)


def test_every_pack_says_what_its_limits_follow() -> None:
    found = {name: pack.contact_limits for name, pack in PACKS.items() if pack.contact_limits}
    assert set(found) == {"fr"}
    for limits in found.values():
        (limit,) = limits  # one name a pack
        assert limit.clause
        assert not limit.unverified
        assert set(limit.classes) == {NumberClass.MARKETING}
        assert [(window.calls, window.days) for window in limit.windows] == [(4, 30)]


@pytest.mark.parametrize("number", ["162001234", "163001234", "270001234", "377001234", "424001234", "948001234"])
def test_the_numbers_that_it_tells_canvassing_by(tmp_path: Path, number: str) -> None:
    screener = screener_of(french(Mode.OFF), tmp_path)
    assert screener.screen(call(f"+33{number}", CALLEE), NOW_US).number_class == "marketing"
