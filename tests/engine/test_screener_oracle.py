"""The order of decision: random policies and calls, held against the plain version."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import Action, Attempt, Outcome, OutcomeKind, Tables, Verdict, parse_entry, rules
from engine._subscriber_lists import ListEntry
from engine._subscribers import Preferences
from engine.decision import Category
from engine.subscribers import Subscribers
from tests.engine.test_screener import NOW_US, SECOND, number_list, screener_of
from tests.oracle_calls import Call, Wishes
from tests.oracle_conditions import HOURS
from tests.oracle_screener import OracleScreener

HALF_HOUR = 1800 * SECOND

NUMBERS = [
    "+8613800138000",
    "+8613800138001",
    "+8613800138100",
    "+8617012345678",
    "+8613800138",
    "+14155550100",
    "US:95588",
    "CN:95071666",
    "CN:4008123123",
    "CN:110",
]
CALLERS = [*NUMBERS, "anonymous", "", "invalid"]
ENTRIES_OF_CALLERS = [*NUMBERS, "+86*", "+86138*", "+8613800138*", "+1*", "US:955*"]
ENTRIES = [*NUMBERS, "+86*", "+86138*", "+8613800138*", "+8613800138000*", "+1*", "US:955*", "US:95588*"]
TRUNKS = ("carrier", "other")

entries = st.lists(st.sampled_from(ENTRIES), min_size=1, max_size=3, unique=True).map(tuple)
trunk_choice = st.sampled_from([(), (), ("carrier",), ("other",)])
labels = st.sampled_from([None, "a", "b"])
points = st.integers(-300, 1000)
diverts = st.sampled_from([None, "ivr", "announcement"])
bases = st.sampled_from(["analytics", "dno", "invalid", "policy", "security"])
some_classes = st.sampled_from(["mobile", "mvno", "cc95x", "svc400", "foreign", "anonymous", "invalid", "unallocated"])
hours = st.sampled_from([None, None, "office", "night", "calling-hours"])


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    """Few enough that rules often hold."""
    caller = draw(st.lists(some_classes, max_size=3, unique=True)) if draw(st.integers(0, 2)) == 0 else []
    callee = draw(st.lists(some_classes, max_size=3, unique=True)) if draw(st.integers(0, 3)) == 0 else []
    within, outside = draw(hours), draw(hours)
    return {
        "classes": tuple(caller),
        "callee_classes": tuple(each for each in callee if each != "anonymous"),
        "hours": within,
        "outside_hours": outside if outside != within else None,
        "trunks": draw(trunk_choice),
    }


windows = st.builds(
    rules.Window, calls=st.integers(1, 3), period_s=st.just(2.0), burst=st.sampled_from([None, 1, 2, 5])
)


@st.composite
def spans(draw: st.DrawFn) -> dict[str, Any]:
    """One window of a limit, or several."""
    one = rules.Window(
        calls=draw(st.integers(1, 3)),
        period_s=draw(st.sampled_from([0.5, 1, 10])),
        burst=draw(st.sampled_from([None, 1, 2, 5])),
    )
    if draw(st.booleans()):
        return {"windows": (one, draw(windows))}
    return {"calls": one.calls, "period_s": one.period_s, "burst": one.burst}


def thresholds(draw: st.DrawFn) -> rules.Thresholds:
    tag = draw(st.integers(1, 900))
    reject = draw(st.integers(tag + 1, 1000))
    divert = draw(st.one_of(st.none(), st.integers(tag, reject - 1)))
    return rules.Thresholds(tag=tag, divert=divert, reject=reject)


@st.composite
def policies(draw: st.DrawFn) -> rules.PolicySet:
    lists = tuple(
        rules.NumberList(
            name=f"list{n}",
            action=draw(st.sampled_from(rules.ListAction)),
            numbers=draw(entries),
            label=draw(labels),
            divert=draw(diverts),
            trunks=draw(trunk_choice),
            owner="noc",
            until=draw(st.sampled_from(["2026-11-17", "2026-11-18", "2027-01-01"])),
            observe=draw(st.booleans()),
        )
        for n in range(draw(st.integers(0, 6)))
    )
    prefix_rules = tuple(
        rules.PrefixRule(
            name=f"prefix{n}",
            prefixes=draw(entries),
            outcome=draw(st.sampled_from(rules.Outcome)),
            points=draw(points),
            label=draw(labels),
            divert=draw(diverts),
            basis=draw(bases),
            observe=draw(st.booleans()),
            **draw(conditions()),
        )
        for n in range(draw(st.integers(0, 4)))
    )
    free_rules = tuple(
        rules.Rule(
            name=f"rule{n}",
            outcome=draw(st.sampled_from(rules.Outcome)),
            points=draw(points),
            label=draw(labels),
            divert=draw(diverts),
            basis=draw(bases),
            observe=draw(st.booleans()),
            **(draw(conditions()) | {"trunks": TRUNKS}),
        )
        for n in range(draw(st.integers(0, 3)))
    )
    limits = tuple(
        rules.Limit(
            name=f"limit{n}",
            key=draw(st.sampled_from(rules.LimitKey)),
            outcome=draw(st.sampled_from(rules.Outcome)),
            points=draw(points),
            label=draw(labels),
            divert=draw(diverts),
            basis=draw(bases),
            observe=draw(st.booleans()),
            **draw(conditions()),
            **draw(spans()),
        )
        for n in range(draw(st.integers(0, 3)))
    )
    policy = rules.Policy(
        name="default",
        thresholds=thresholds(draw),
        weights=draw(st.sampled_from([rules.Weights(), rules.Weights(reputation=0.25, block_reputation=2.0)])),
        lists=draw(st.sampled_from([(), tuple(each.name for each in lists[:2])])),
        anonymous=draw(st.sampled_from(rules.AnonymousAction)),
        invalid=draw(st.sampled_from(rules.Outcome)),
        invalid_points=draw(points),
        mismatch_points=draw(points),
        label=draw(labels),
        divert="ivr",
        observe=draw(st.integers(0, 4)) == 0,
        origin=rules.Mode.OFF,  # tests/engine/test_origin.py
        subscribers=draw(st.sampled_from([*rules.Mode, rules.Mode.ENFORCE, rules.Mode.ENFORCE])),
    )
    return rules.PolicySet(
        trunks=(
            rules.TrunkPolicy(name="carrier", policy="default", dial_plan="cn"),
            rules.TrunkPolicy(
                name="other",
                policy="default",
                dial_plan="cn",
                thresholds=thresholds(draw) if draw(st.booleans()) else None,
            ),
        ),
        policies=(policy,),
        lists=lists,
        prefix_rules=prefix_rules,
        rules=free_rules,
        hours=HOURS,
        diverts=(rules.Divert(name="ivr", route="ivr"), rules.Divert(name="announcement", route="ivr")),
        limits=limits,
        labels=(rules.Label(name="a", text="A"), rules.Label(name="b", text="B")),
        subscribers=rules.Subscribers(
            time_zone=draw(st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York", "Asia/Kathmandu"])),
            high_frequency=(1, 2, 3, 4),
            high_frequency_s=10,
            pair_points=draw(st.sampled_from([0, 50, 100, 200])),
        ),
    )


own_entries = st.builds(
    ListEntry,
    allow=st.booleans(),
    deny=st.booleans(),
    consent=st.booleans(),
    consent_categories=st.sampled_from([0, 1, 1 << Category.SALES]),
)
preferences = st.builds(
    Preferences,
    refused_categories=st.sampled_from([0, 0, 1 << Category.FRAUD, 1 << Category.SALES]),
    refused_segments=st.integers(0, 63),
    do_not_call=st.booleans(),
    high_frequency=st.sampled_from([None, None, 0, 1, 3]),
    quiet=st.sampled_from([None, None, (0, 14), (44, 14), (20, 20)]),
)
wishes = st.builds(Wishes, preferences, st.dictionaries(st.sampled_from(ENTRIES_OF_CALLERS), own_entries, max_size=4))
subscribers = st.dictionaries(st.sampled_from(NUMBERS), wishes, max_size=3)
reputations = st.dictionaries(st.sampled_from(NUMBERS), st.sampled_from(Category), max_size=3)


def settle_wishes(tables: Tables, oracle: OracleScreener, known: dict[str, Wishes]) -> None:
    """The same subscribers in the tables and in the plain version."""
    store = Subscribers(tables)
    for callee, wanted in known.items():
        store.set(callee, wanted.preferences)
        for entry, says in wanted.own.items():
            store.set_entry(callee, entry, says)
    oracle.wishes = known


def settle_categories(tables: Tables, oracle: OracleScreener, known: dict[str, Category], now_us: int) -> None:
    for caller, category in known.items():
        tables.reputation.add(parse_entry(caller)[0], now_us, 900, complaint=False, category=category)
        oracle.points[caller] = 900
        oracle.categories[caller] = category


calls = st.builds(
    Call,
    caller=st.sampled_from(CALLERS),
    callee=st.sampled_from(NUMBERS),
    trunk=st.sampled_from(TRUNKS),
    source=st.sampled_from(["", "192.0.2.1", "192.0.2.2"]),
    emergency=st.integers(0, 9).map(lambda n: n == 0),
    privacy=st.integers(0, 5).map(lambda n: n == 0),
    mismatch=st.integers(0, 3).map(lambda n: n == 0),
    fingerprint=st.sampled_from(["", "a", "b"]),
)
starts = st.integers(0, 14 * 24).map(lambda half_hours: NOW_US + half_hours * HALF_HOUR)
steps = st.lists(st.tuples(calls, st.integers(0, 2 * SECOND), st.sampled_from([0, 0, 60, 150])), max_size=25)


def attempt_of(each: Call) -> Attempt:
    return Attempt(
        each.caller,
        each.callee,
        each.trunk,
        each.source,
        each.emergency,
        each.privacy,
        each.mismatch,
        each.fingerprint,
    )


FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FUZZ
@given(policies(), starts, steps, subscribers, reputations)
def test_against_the_plain_version(
    policy: rules.PolicySet,
    now_us: int,
    story: list[tuple[Call, int, int]],
    known: dict[str, Wishes],
    categories: dict[str, Category],
) -> None:
    oracle = OracleScreener(policy)
    with tempfile.TemporaryDirectory() as name:
        screener = screener_of(policy, Path(name))
        settle_wishes(screener.tables, oracle, known)
        settle_categories(screener.tables, oracle, categories, now_us)
        for each, later_us, points_of_refusal in story:
            now_us += later_us
            explained = screener.explain(attempt_of(each), now_us).verdict
            verdict = screener.screen(attempt_of(each), now_us)
            expected = oracle.screen(each, now_us)
            assert (verdict.action, verdict.basis, verdict.status) == (expected.action, expected.basis, expected.status)
            assert (verdict.rule, verdict.score, verdict.label) == (expected.rule, expected.score, expected.label)
            assert list(verdict.reasons) == expected.reasons[:8]
            assert (verdict.observed, verdict.observed_rule) == (expected.observed, expected.observed_rule)
            assert verdict.divert == expected.divert
            assert (verdict.redress_id is None) == (verdict.action is Action.ACCEPT)
            assert same_but_redress(explained, verdict)
            if points_of_refusal:
                kind = OutcomeKind.COMPLAINT if points_of_refusal == 150 else OutcomeKind.REFUSED
                screener.observe(Outcome(each.caller, each.callee, each.trunk, kind), now_us)
                oracle.refuse(each.caller, each.callee, points_of_refusal)


def same_but_redress(explained: Verdict, screened: Verdict) -> bool:
    pairs = ((getattr(explained, name), getattr(screened, name)) for name in Verdict.__slots__ if name != "redress_id")
    return all(one == other for one, other in pairs)


@FUZZ
@given(policies(), st.lists(calls, max_size=20))
def test_who_must_not_be_rejected_never_is(policy: rules.PolicySet, attempts: list[Call]) -> None:
    shielded = (
        number_list("shield-callee", "never-block", "+14155550100"),
        number_list("shield-caller", "protected", "US:95588"),
    )
    others = tuple(each for each in policy.lists if each.action is not rules.ListAction.ORDER)
    default = rules.Policy(name="default", divert="ivr")
    policy = msgspec.structs.replace(policy, policies=(default,), lists=(*others, *shielded))
    with tempfile.TemporaryDirectory() as name:
        screener = screener_of(policy, Path(name))
        for each in attempts:
            verdict = screener.screen(attempt_of(each), NOW_US)
            if each.emergency or each.callee in ("CN:110", "+14155550100"):
                assert verdict.action is Action.ACCEPT
            elif each.caller == "US:95588":
                assert verdict.action <= Action.TAG
