"""Orders that close a trunk: all by it is rejected but whom an order or a list allows."""

from __future__ import annotations

from pathlib import Path

from engine import Action, Basis, Screener, rules
from engine._orders import ORDER_EPOCH_S
from engine.policy_rows import name_hash
from tests.engine.test_screener import CALLEE, CLEAN, NOW_US, call, number_list, policy_set, screener_of

BLOCK, OPERATOR = 1, 2
NOW_S = NOW_US // 1_000_000
TWO_TRUNKS = tuple(rules.TrunkPolicy(name=name, policy="default", dial_plan="cn") for name in ("carrier", "other"))


def close(screener: Screener, trunk: str = "carrier", **times: int) -> None:
    assert screener.tables.orders.set_trunk(name_hash(trunk), BLOCK, OPERATOR, **times)


def test_a_closed_trunk_is_rejected_by_basis_and_explained(tmp_path: Path) -> None:
    screener = screener_of(policy_set(trunks=TWO_TRUNKS), tmp_path)
    close(screener)
    verdict = screener.screen(call(CLEAN), NOW_US)
    assert (verdict.action, verdict.basis, verdict.rule) == (Action.REJECT, Basis.POLICY, "trunk-order")
    assert screener.explain(call(CLEAN), NOW_US).verdict.rule == "trunk-order"
    assert screener.screen(call(CLEAN, trunk="other"), NOW_US).action is Action.ACCEPT
    assert screener.screen(call("anonymous"), NOW_US).action is Action.REJECT
    screener.tables.orders.clear_trunk(name_hash("carrier"))
    assert screener.screen(call(CLEAN), NOW_US).action is Action.ACCEPT


def test_emergency_calls_and_allowed_callers_pass_a_closed_trunk(tmp_path: Path) -> None:
    lists = (number_list("friends", "allow", CLEAN), number_list("bank", "protected", "CN:95588"))
    screener = screener_of(policy_set(lists=lists), tmp_path)
    close(screener)
    assert screener.screen(call("13900138000", "110"), NOW_US).action is Action.ACCEPT
    assert screener.screen(call(CLEAN), NOW_US).action is Action.ACCEPT
    assert screener.screen(call("95588"), NOW_US).action is Action.TAG
    assert screener.screen(call("13900138000"), NOW_US).action is Action.REJECT


def test_an_order_about_a_trunk_begins_and_ends(tmp_path: Path) -> None:
    screener = screener_of(policy_set(), tmp_path)
    assert NOW_S > ORDER_EPOCH_S
    close(screener, from_s=NOW_S + 10, until_s=NOW_S + 20)
    found = [screener.screen(call(CLEAN, CALLEE), NOW_US + after * 1_000_000).action for after in (0, 10, 20)]
    assert found == [Action.ACCEPT, Action.REJECT, Action.ACCEPT]
