"""Limits of the whole fleet where calls meet them: what control counts is what the engine counts, and shares hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import Action, Attempt, Screener, Tables, compile_policy, rules
from engine._shares import WHOLE, ShareTable
from engine.lint import check_rules
from engine.number_words import number
from engine.policy_rows import name_hash
from proxy.config import Configuration, Trunk
from proxy.control.limit_shares import LimitShares, limits_by_trunk
from proxy.control.sync.borrowing import Borrower
from proxy.control.sync.lease_terms import FleetLimit
from proxy.events import EventBatch, EventRecord

NOW_MS = 1_795_000_000_000
NOW_US = NOW_MS * 1000
CALLER, CALLEE = "+8613800138000", "+862088886666"
SALT = b"salt of the test"


def limit(key: rules.LimitKey = rules.LimitKey.CALLER) -> rules.Limit:
    return rules.Limit(name="caller-minute", key=key, calls=10, period_s=60, fleet=True)


def configuration(*limits: rules.Limit) -> Configuration:
    return Configuration(
        trunks=(Trunk(name="carrier", dial_plan="cn", policy="default"),),
        policies=(rules.Policy(name="default"),),
        limits=limits,
    )


class Counted(Borrower):
    """Keeps the words of attempts."""

    def __init__(self) -> None:
        super().__init__(1, SALT, 10)
        self.words: list[int] = []

    def attempt(self, limit: FleetLimit, word: int) -> None:
        self.words.append(word)
        super().attempt(limit, word)


def screener_of(policy: rules.Limit, directory: Path) -> Screener:
    trunk = rules.TrunkPolicy(name="carrier", policy="default", dial_plan="cn")
    policies = rules.PolicySet(trunks=(trunk,), policies=(rules.Policy(name="default"),), limits=(policy,))
    tables = Tables.open(directory, reputation=4096, rate_limiter=4096, half_life_days=10_000)
    return Screener(compile_policy(policies, base_dir=directory, generation=1), tables, bytes(range(16)))


@pytest.mark.parametrize(
    "key", [rules.LimitKey.CALLER, rules.LimitKey.CALLEE, rules.LimitKey.TRUNK, rules.LimitKey.BLOCK_100]
)
def test_what_is_lent_for_a_counted_call_holds_for_the_next_one(tmp_path: Path, key: rules.LimitKey) -> None:
    screener = screener_of(limit(key), tmp_path)
    shares = LimitShares(screener.tables.shares, lambda _: configuration(limit(key)))
    borrower = Counted()
    record = EventRecord(1, NOW_US, 1, caller=number(CALLER), callee=number(CALLEE))
    shares.take(EventBatch(record.pack()), borrower)
    shares.apply(borrower, NOW_MS)
    assert len(borrower.words) == 1
    attempt = Attempt(CALLER, CALLEE, "carrier")
    assert [screener.screen(attempt, NOW_US).action for _ in range(3)] == [Action.ACCEPT, *[Action.REJECT] * 2]
    screener.tables.shares.lend(borrower.words[0], WHOLE // 2, NOW_MS // 1000 + 10)
    later_us = NOW_US + 60_000_000
    screener.tables.shares.lend(borrower.words[0], WHOLE // 2, NOW_MS // 1000 + 70)
    assert [screener.screen(attempt, later_us).action for _ in range(6)] == [*[Action.ACCEPT] * 5, Action.REJECT]


def test_a_node_in_no_fleet_has_the_whole_limit(tmp_path: Path) -> None:
    screener = screener_of(limit(), tmp_path)
    attempt = Attempt(CALLER, CALLEE, "carrier")
    assert [screener.screen(attempt, NOW_US).action for _ in range(11)] == [*[Action.ACCEPT] * 10, Action.REJECT]


def test_limits_of_one_node_are_not_told(tmp_path: Path) -> None:
    alone = rules.Limit(name="mine", key=rules.LimitKey.CALLER, calls=10, period_s=60)
    assert [limits for _, limits in limits_by_trunk(configuration(alone))] == [[]]


def test_words_of_one_node_cannot_be_divided() -> None:
    trunk = rules.TrunkPolicy(name="carrier", policy="default", dial_plan="cn")
    wrong = rules.PolicySet(
        trunks=(trunk,), policies=(rules.Policy(name="default"),), limits=(limit(rules.LimitKey.SOURCE),)
    )
    assert any(finding.key == "limit[caller-minute].fleet" for finding in check_rules(wrong, None))


def test_the_trunk_of_a_call_is_known_once_its_batch_was_taken(tmp_path: Path) -> None:
    shares = LimitShares(ShareTable(tmp_path / "shares.tbl", 64), lambda generation: configuration())
    record = EventRecord(1, NOW_US, 1, generation=3)
    assert shares.trunk_of(record) == 0
    shares.take(EventBatch(record.pack()), Counted())
    assert shares.trunk_of(record) == name_hash("carrier")
    assert shares.trunk_of(record._replace(trunk=7)) == 0
