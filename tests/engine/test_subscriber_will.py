"""The subscriber's will, case by case; test_screener holds random wishes against the plain version."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine import Action, Attempt, Basis, Outcome, OutcomeKind, Screener, Tables, compile_policy, parse_entry, rules
from engine._subscriber_lists import ListEntry
from engine._subscribers import Preferences
from engine.decision import Category
from engine.subscribers import Subscribers

SECOND = 1_000_000
DAY = 86_400 * SECOND
MIDNIGHT_IN_CHINA = 1_795_276_800_000_000  # 2026-11-22 00:00 in Shanghai
NOON_US = MIDNIGHT_IN_CHINA + DAY // 2
CALLEE = "+862088886666"
MOBILE, RESALE, FOREIGN = "+8613800138000", "+8617012345678", "+12025551234"
CALL_CENTRE, SHARED_COST, BANK = "CN:95071666", "CN:4008123123", "CN:95588"


def policy_of(**more: object) -> rules.PolicySet:
    trunks = (
        rules.TrunkPolicy(name=name, policy="default", dial_plan="cn", trunk_class=name)
        for name in ("carrier", "callcentre")
    )
    parts = {"subscribers": rules.Subscribers(time_zone="Asia/Shanghai")} | more
    policy = parts.pop("policy", rules.Policy(name="default", origin=rules.Mode.OFF))
    return rules.PolicySet(trunks=tuple(trunks), policies=(policy,), **parts)  # type: ignore[arg-type]


def screener_of(directory: Path, policy: rules.PolicySet) -> Screener:
    tables = Tables.open(directory, reputation=4096, rate_limiter=4096, half_life_days=14)
    return Screener(compile_policy(policy, base_dir=directory, generation=1), tables, bytes(16))


@pytest.fixture
def screener(tmp_path: Path) -> Screener:
    return screener_of(tmp_path, policy_of())


def store(screener: Screener) -> Subscribers:
    return Subscribers(screener.tables)


def asked(
    screener: Screener, caller: str = MOBILE, trunk: str = "carrier", now_us: int = NOON_US, **more: object
) -> tuple[Action, int, str | None]:
    verdict = screener.screen(Attempt(caller, CALLEE, trunk, **more), now_us)  # type: ignore[arg-type]
    assert verdict.basis is (Basis.SUBSCRIBER if verdict.action is Action.REJECT else Basis.NONE)
    return verdict.action, verdict.status, verdict.rule


SEGMENTS = [
    (1, CALL_CENTRE, "subscriber-segment"),
    (2, SHARED_COST, "subscriber-segment"),
    (4, FOREIGN, "subscriber-segment"),
    (8, RESALE, "subscriber-segment"),
    (32, "+8615412345678", "subscriber-unknown"),  # in no block that is in use
]


@pytest.mark.parametrize(("segment", "caller", "rule"), SEGMENTS)
def test_a_segment_is_refused_and_no_other(screener: Screener, segment: int, caller: str, rule: str) -> None:
    store(screener).set(CALLEE, Preferences(refused_segments=segment))
    for _, other, _ in SEGMENTS:
        expected = (Action.REJECT, 607, rule) if other == caller else (Action.ACCEPT, 0, None)
        assert asked(screener, other) == expected
    assert asked(screener, BANK) == (Action.ACCEPT, 0, None)


def test_anonymous_callers_are_answered_433(screener: Screener) -> None:
    store(screener).set(CALLEE, Preferences(refused_segments=16))
    for caller, privacy in (("anonymous", False), ("", False), (MOBILE, True)):
        assert asked(screener, caller, privacy=privacy) == (Action.REJECT, 433, "subscriber-anonymous")
    assert asked(screener, MOBILE)[0] is Action.ACCEPT


def test_a_category_needs_more_than_one_voice(screener: Screener) -> None:
    store(screener).set(CALLEE, Preferences(refused_categories=1 << Category.LOAN))
    loans = parse_entry(MOBILE)[0]
    screener.tables.reputation.add(loans, NOON_US, 150, complaint=True, category=Category.LOAN)
    assert asked(screener)[0] is Action.ACCEPT
    screener.tables.reputation.add(loans, NOON_US, 400, complaint=True, category=Category.LOAN)
    assert asked(screener) == (Action.REJECT, 607, "subscriber-category")


def test_do_not_call_refuses_who_sells(screener: Screener) -> None:
    store(screener).set(CALLEE, Preferences(do_not_call=True))
    assert asked(screener)[0] is Action.ACCEPT
    assert asked(screener, BANK)[0] is Action.ACCEPT
    assert asked(screener, CALL_CENTRE) == (Action.REJECT, 607, "subscriber-do-not-call")
    assert asked(screener, MOBILE, "callcentre") == (Action.REJECT, 607, "subscriber-do-not-call")


@pytest.mark.parametrize(
    ("hour", "refused"), [(21.5, False), (22, True), (23.99, True), (0, True), (6.99, True), (7, False), (12, False)]
)
def test_quiet_hours_are_the_subscribers_own_time(screener: Screener, hour: float, refused: bool) -> None:
    store(screener).set(CALLEE, Preferences(quiet=(44, 14)))
    expected = (Action.REJECT, 607, "subscriber-quiet-hours") if refused else (Action.ACCEPT, 0, None)
    assert asked(screener, now_us=MIDNIGHT_IN_CHINA + int(hour * 3600 * SECOND)) == expected


def test_quiet_hours_follow_the_change_of_the_clock(tmp_path: Path) -> None:
    screener = screener_of(tmp_path, policy_of(subscribers=rules.Subscribers(time_zone="America/New_York")))
    store(screener).set(CALLEE, Preferences(quiet=(4, 6)))  # 02:00 to 03:00
    refused = {
        (day, hour): asked(screener, now_us=int(datetime(2026, *day, hour, 30, tzinfo=UTC).timestamp()) * SECOND)[0]
        for day in ((10, 31), (11, 2))
        for hour in (5, 6, 7, 8)
    }
    # Four hours behind UTC until the first Sunday of November, five after it.
    assert [each for each, action in refused.items() if action is Action.REJECT] == [((10, 31), 6), ((11, 2), 7)]


def test_protection_against_bursts_is_exact(screener: Screener) -> None:
    store(screener).set(CALLEE, Preferences(high_frequency=1))
    callers = [f"+86138001380{n:02}" for n in range(20)]
    actions = [asked(screener, caller)[2] for caller in callers]
    assert actions == [None] * 10 + ["subscriber-high-frequency"] * 10
    assert asked(screener, now_us=NOON_US + 60 * SECOND)[0] is Action.ACCEPT


def test_whom_the_callee_knows_gets_through_a_burst(screener: Screener) -> None:
    store(screener).set(CALLEE, Preferences(high_frequency=0, do_not_call=True))
    store(screener).set_entry(CALLEE, MOBILE, ListEntry(allow=True))
    store(screener).set_entry(CALLEE, CALL_CENTRE, ListEntry(consent=True))
    for _ in range(20):
        asked(screener, FOREIGN)
    assert asked(screener, MOBILE) == (Action.ACCEPT, 0, "subscriber-allow")
    assert asked(screener, CALL_CENTRE) == (Action.ACCEPT, 0, None)
    assert asked(screener, BANK)[2] == "subscriber-high-frequency"


OWN = [
    ({"+86138*": "deny"}, "subscriber-deny"),
    ({"+86138*": "deny", MOBILE: "allow"}, "subscriber-allow"),
    ({"+86138*": "allow", MOBILE: "deny"}, "subscriber-deny"),
    ({"+86138*": "allow", "+861380*": "deny"}, "subscriber-deny"),
    ({"+86138*": "deny", MOBILE: "consent"}, None),
    ({"+86138*": "consent", MOBILE: "deny"}, "subscriber-deny"),
    ({"+86139*": "deny"}, None),
    ({"CN:955*": "deny"}, None),
]


@pytest.mark.parametrize(("entries", "rule"), OWN)
def test_the_longest_own_entry_wins(screener: Screener, entries: dict[str, str], rule: str | None) -> None:
    for entry, says in entries.items():
        store(screener).set_entry(CALLEE, entry, ListEntry(**{says: True}))  # type: ignore[arg-type]
    assert asked(screener)[2] == rule


def test_prefixes_of_numbers_and_of_short_codes_are_kept_apart(screener: Screener) -> None:
    store(screener).set_entry(CALLEE, "+86*", ListEntry(deny=True))
    assert (asked(screener)[2], asked(screener, BANK)[2]) == ("subscriber-deny", None)
    store(screener).set_entry(CALLEE, "CN:955*", ListEntry(deny=True))
    assert (asked(screener, BANK)[2], asked(screener, CALL_CENTRE)[2]) == ("subscriber-deny", None)


def test_own_entries_end(screener: Screener) -> None:
    today = NOON_US // DAY
    store(screener).set_entry(CALLEE, MOBILE, ListEntry(deny=True, last_day=today))
    assert asked(screener)[2] == "subscriber-deny"
    assert asked(screener, now_us=NOON_US + DAY)[2] is None


def test_preferences_and_own_entries_are_kept_apart(screener: Screener) -> None:
    store(screener).set_entry(CALLEE, "+86138*", ListEntry(deny=True))
    store(screener).set(CALLEE, Preferences(do_not_call=True))
    assert asked(screener)[2] == "subscriber-deny"
    assert store(screener).get(CALLEE) == Preferences(do_not_call=True, own_lists=True, own_prefix_lengths=1 << 5)
    store(screener).set_entry(CALLEE, "+86138*", ListEntry())
    assert asked(screener)[2] is None


def test_a_refused_caller_is_spared_to_the_callee_and_only_to_it(screener: Screener) -> None:
    screener.observe(Outcome(MOBILE, CALLEE, "carrier", OutcomeKind.REFUSED), NOON_US)
    assert asked(screener)[2] is None
    screener.observe(Outcome(MOBILE, CALLEE, "carrier", OutcomeKind.REFUSED), NOON_US)
    neighbour, stranger = "+8613800138099", "+8613800138100"
    assert asked(screener) == asked(screener, neighbour) == (Action.REJECT, 607, "subscriber-pair")
    assert asked(screener, stranger)[2] is None
    assert screener.screen(Attempt(MOBILE, "+862088886667", "carrier"), NOON_US).rule is None
    assert asked(screener, now_us=NOON_US + 7 * DAY)[2] is None  # forgotten by half


def test_a_complaint_alone_is_enough_for_the_pair(screener: Screener) -> None:
    screener.observe(Outcome(BANK, CALLEE, "carrier", OutcomeKind.COMPLAINT), NOON_US)
    assert asked(screener, BANK)[2] == "subscriber-pair"
    assert asked(screener, "CN:95566")[2] is None  # short codes next to each other belong to strangers


def test_orders_stand_above_the_subscriber_and_the_operator_below(tmp_path: Path) -> None:
    order = rules.NumberList(name="order", action=rules.ListAction.ORDER, numbers=("+8613900000000",))
    deny = rules.NumberList(name="deny", action=rules.ListAction.DENY, numbers=(MOBILE,))
    screener = screener_of(tmp_path, policy_of(lists=(order, deny)))
    for caller in ("+8613900000000", MOBILE):
        store(screener).set_entry(CALLEE, caller, ListEntry(allow=True))
    assert screener.screen(Attempt("+8613900000000", CALLEE, "carrier"), NOON_US).rule == "order"
    assert asked(screener) == (Action.ACCEPT, 0, "subscriber-allow")


def test_protected_callers_are_at_most_tagged(tmp_path: Path) -> None:
    banks = rules.NumberList(name="banks", action=rules.ListAction.PROTECTED, numbers=(BANK,))
    screener = screener_of(tmp_path, policy_of(lists=(banks,)))
    store(screener).set_entry(CALLEE, BANK, ListEntry(deny=True))
    assert screener.screen(Attempt(BANK, CALLEE, "carrier"), NOON_US).action is Action.TAG


def test_a_policy_can_watch_or_ignore_it(tmp_path: Path) -> None:
    found = []
    for mode in rules.Mode:
        policy = rules.Policy(name="default", origin=rules.Mode.OFF, subscribers=mode)
        screener = screener_of(tmp_path / mode, policy_of(policy=policy))
        store(screener).set_entry(CALLEE, MOBILE, ListEntry(deny=True))
        verdict = screener.screen(Attempt(MOBILE, CALLEE, "carrier"), NOON_US)
        found.append((verdict.action, verdict.observed))
    assert found == [
        (Action.ACCEPT, Action.ACCEPT),
        (Action.ACCEPT, Action.REJECT),
        (Action.REJECT, Action.ACCEPT),
    ]


def test_consent_lifts_a_tag_by_origin(tmp_path: Path) -> None:
    policy = rules.Policy(name="default", origin=rules.Mode.ENFORCE)
    screener = screener_of(tmp_path, policy_of(policy=policy))
    assert asked_action(screener, CALL_CENTRE) is Action.TAG
    store(screener).set_entry(CALLEE, CALL_CENTRE, ListEntry(consent=True))
    assert asked_action(screener, CALL_CENTRE) is Action.ACCEPT


def asked_action(screener: Screener, caller: str) -> Action:
    return screener.screen(Attempt(caller, CALLEE, "carrier"), NOON_US).action
