"""Where orders stand in the order of decision: above lists that match no longer, below the subscriber."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import Action, Basis, Screener, rules
from engine._orders import ORDER_EPOCH_S
from engine._subscriber_lists import ListEntry
from engine.number_words import caller_word
from engine.subscribers import Subscribers
from tests.engine.test_screener import CALLEE, CLEAN, NOW_US, call, number_list, policy_set, screener_of

BLOCK, ALLOW, NEVER_BLOCK = 1, 2, 3
TENANT, OPERATOR, REGULATOR = 1, 2, 3
NOW_S = NOW_US // 1_000_000


def order(screener: Screener, text: str, act: int, priority: int = OPERATOR, **more: int) -> None:
    assert screener.tables.orders.set(caller_word(text)[0], act, priority, **more)


@pytest.mark.parametrize("entry", ["+8613800138000", "+86138*"])
@pytest.mark.parametrize("priority, rule", [(1, "block-order"), (2, "block-order"), (3, "regulator-order")])
def test_a_block_rejects_with_the_next_call(tmp_path: Path, entry: str, priority: int, rule: str) -> None:
    screener = screener_of(policy_set(), tmp_path)
    assert screener.screen(call(CLEAN), NOW_US).action is Action.ACCEPT
    order(screener, entry, BLOCK, priority)
    verdict = screener.screen(call(CLEAN), NOW_US)
    assert (verdict.action, verdict.basis, verdict.status, verdict.rule) == (Action.REJECT, Basis.POLICY, 403, rule)
    assert [reason.name for reason in verdict.reasons] == [rule]
    assert verdict.redress_id
    assert screener.screen(call("+8613900138000"), NOW_US).action is Action.ACCEPT
    screener.tables.orders.clear(caller_word(entry)[0])
    assert screener.screen(call(CLEAN), NOW_US).action is Action.ACCEPT


@pytest.mark.parametrize(
    "ordered, act, listed, action, decides",
    [
        (CLEAN, BLOCK, "allow", CLEAN, "block-order"),
        (CLEAN, ALLOW, "deny", CLEAN, "allow-order"),
        ("+86138*", BLOCK, "allow", CLEAN, "listed"),
        ("+86138*", ALLOW, "deny", CLEAN, "listed"),
        (CLEAN, BLOCK, "allow", "+86138*", "block-order"),
        (CLEAN, ALLOW, "deny", "+86138*", "allow-order"),
        (CLEAN, ALLOW, "order", CLEAN, "listed"),
    ],
)
def test_of_lists_and_orders_the_longer_match_holds_and_of_equals_the_order(
    tmp_path: Path, ordered: str, act: int, listed: str, action: str, decides: str
) -> None:
    screener = screener_of(policy_set(lists=(number_list("listed", listed, action),)), tmp_path)
    order(screener, ordered, act)
    assert screener.screen(call(CLEAN), NOW_US).rule == decides


def test_a_regulator_allows_what_lists_deny_however_precisely(tmp_path: Path) -> None:
    screener = screener_of(policy_set(lists=(number_list("listed", "deny", CLEAN),)), tmp_path)
    order(screener, "+86138*", ALLOW, REGULATOR)
    verdict = screener.screen(call(CLEAN), NOW_US)
    assert (verdict.action, verdict.rule) == (Action.ACCEPT, "regulator-order")


@pytest.mark.parametrize("priority, action", [(OPERATOR, Action.TAG), (REGULATOR, Action.REJECT)])
def test_h10_a_protected_caller_is_tagged_unless_a_regulator_orders(
    tmp_path: Path, priority: int, action: Action
) -> None:
    screener = screener_of(policy_set(lists=(number_list("banks", "protected", "CN:955*"),)), tmp_path)
    order(screener, "CN:95588", BLOCK, priority)
    assert screener.screen(call("95588"), NOW_US).action is action


def test_h10_an_emergency_call_goes_on_whatever_was_ordered(tmp_path: Path) -> None:
    screener = screener_of(policy_set(), tmp_path)
    order(screener, CLEAN, BLOCK, REGULATOR)
    assert screener.screen(call(CLEAN, "110"), NOW_US).action is Action.ACCEPT


def test_calls_to_a_number_that_is_never_blocked_go_on(tmp_path: Path) -> None:
    screener = screener_of(policy_set(lists=(number_list("stop", "order", CLEAN),)), tmp_path)
    order(screener, "+8620888866*", NEVER_BLOCK)
    verdict = screener.screen(call(CLEAN, CALLEE), NOW_US)
    assert (verdict.action, verdict.rule) == (Action.ACCEPT, "never-block-order")
    assert screener.screen(call(CLEAN, "+862088887777"), NOW_US).action is Action.REJECT


def test_the_subscriber_stands_above_the_operator_and_below_the_regulator(tmp_path: Path) -> None:
    policies = (rules.Policy(name="default", subscribers=rules.Mode.ENFORCE),)
    screener = screener_of(policy_set(policies=policies), tmp_path)
    Subscribers(screener.tables).set_entry(CALLEE, CLEAN, ListEntry(allow=True))
    order(screener, CLEAN, BLOCK)
    assert screener.screen(call(CLEAN, CALLEE), NOW_US).rule == "subscriber-allow"
    order(screener, CLEAN, BLOCK, REGULATOR)
    assert screener.screen(call(CLEAN, CALLEE), NOW_US).rule == "regulator-order"


def test_an_order_ends_by_itself(tmp_path: Path) -> None:
    screener = screener_of(policy_set(), tmp_path)
    order(screener, CLEAN, BLOCK, from_s=NOW_S + 10, until_s=NOW_S + 20)
    actions = [screener.screen(call(CLEAN), (NOW_S + shift) * 1_000_000).action for shift in (9, 10, 19, 20)]
    assert actions == [Action.ACCEPT, Action.REJECT, Action.REJECT, Action.ACCEPT]
    assert NOW_S > ORDER_EPOCH_S


def test_who_withholds_the_number_is_no_number(tmp_path: Path) -> None:
    screener = screener_of(policy_set(), tmp_path)
    order(screener, CLEAN, BLOCK)
    assert screener.screen(call("anonymous"), NOW_US).rule != "block-order"


def test_explain_shows_the_order(tmp_path: Path) -> None:
    screener = screener_of(policy_set(), tmp_path)
    order(screener, CLEAN, BLOCK)
    assert [reason.name for reason in screener.explain(call(CLEAN), NOW_US).reasons] == ["block-order"]
