"""Rules by class and hours, limits of several windows, diverts, drops, weights: one case each, to be read."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from engine import Action, Basis, Reason, rules
from engine.hours import PACK_HOURS, ZONES, week_words, zone_of
from engine.policy import lint_policy
from engine.time_zones import offsets
from tests.engine.test_screener import CLEAN, NOW_US, SECOND, call, names, number_list, policy_set, screener_of, weights

RESALE, CALL_CENTRE, TOLL_FREE = "+8617012345678", "CN:95071666", "CN:4008123123"
CAPTCHA = (rules.Divert(name="captcha"), rules.Divert(name="announcement"))
HOUR = 3600 * SECOND


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


def rule(name: str = "rule", **more: object) -> rules.Rule:
    more.setdefault("outcome", rules.Outcome.TAG)
    return rules.Rule(name=name, **more)  # type: ignore[arg-type]


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * SECOND


# --- classes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "caller", "holds"),
    [
        (("mvno",), RESALE, True),
        (("mvno",), CLEAN, False),
        (("mobile", "cc95x"), CALL_CENTRE, True),
        (("foreign",), "+14152345678", True),
        (("anonymous",), "anonymous", True),
        (("invalid",), "alice", True),
        (("mobile",), "anonymous", False),
    ],
)
def test_rules_by_the_callers_class(directory: Path, classes: tuple[str, ...], caller: str, holds: bool) -> None:
    policy = rules.Policy(name="default", invalid=rules.Outcome.TAG)
    screener = screener_of(policy_set(rules=(rule(classes=classes),), policies=(policy,)), directory)
    assert ("rule" in names(screener.screen(call(caller), NOW_US))) == holds


def test_a_withheld_number_has_its_class_and_that_of_anonymous_callers(directory: Path) -> None:
    found = (rule("by-number", classes=("mvno",)), rule("withheld", classes=("anonymous",)))
    verdict = screener_of(policy_set(rules=found), directory).screen(call(RESALE, privacy=True), NOW_US)
    assert names(verdict) == ["anonymous", "by-number", "withheld"]


def test_rules_by_the_callees_class(directory: Path) -> None:
    found = rule(classes=("mobile",), callee_classes=("svc400", "svc800"), outcome=rules.Outcome.REJECT)
    screener = screener_of(policy_set(rules=(found,)), directory)
    assert screener.screen(call(CLEAN, TOLL_FREE), NOW_US).action is Action.REJECT
    assert screener.screen(call(CLEAN, "+8613900138000"), NOW_US).action is Action.ACCEPT
    assert screener.screen(call(RESALE, TOLL_FREE), NOW_US).action is Action.ACCEPT


def test_all_rules_that_hold_speak_and_the_strongest_decides(directory: Path) -> None:
    found = (
        rule("points", classes=("mvno",), outcome=rules.Outcome.SCORE, points=700),
        rule("tag", classes=("mvno",)),
        rule("reject", classes=("mvno",), outcome=rules.Outcome.REJECT, basis="analytics"),
        rule("watched", classes=("mvno",), outcome=rules.Outcome.DROP, observe=True),
    )
    verdict = screener_of(policy_set(rules=found), directory).screen(call(RESALE), NOW_US)
    assert (verdict.action, verdict.rule, verdict.basis, verdict.status) == (
        Action.REJECT, "reject", Basis.ANALYTICS, 603,
    )
    assert verdict.reasons == (
        Reason("tag", 0, Action.TAG),
        Reason("reject", 0, Action.REJECT),
        Reason("watched", 0, Action.DROP, observed=True),
    )
    assert (verdict.observed, verdict.observed_rule) == (Action.DROP, "watched")


def test_what_is_allowed_stays_allowed(directory: Path) -> None:
    policy = policy_set(
        lists=(number_list("good", "allow", RESALE),), rules=(rule(classes=("mvno",), outcome=rules.Outcome.DROP),)
    )
    verdict = screener_of(policy, directory).screen(call(RESALE), NOW_US)
    assert (verdict.action, verdict.rule, names(verdict)) == (Action.ACCEPT, "good", ["good", "rule"])


# --- hours -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "tagged"),
    [
        ("2026-11-23T08:59:59+08:00", True),
        ("2026-11-23T09:00:00+08:00", False),
        ("2026-11-23T11:59:59+08:00", False),
        ("2026-11-23T12:00:00+08:00", True),
        ("2026-11-22T19:59:00+08:00", False),
        ("2026-11-22T20:00:00+08:00", True),
    ],
)
def test_calling_hours_of_the_trunks_country(directory: Path, when: str, tagged: bool) -> None:
    found = rule(classes=("cc95x",), outside_hours="calling-hours")
    screener = screener_of(policy_set(rules=(found,)), directory)
    assert ("rule" in names(screener.screen(call(CALL_CENTRE), at(when)))) == tagged


@pytest.mark.parametrize(
    ("callee", "when", "tagged"),
    [
        ("+12125550123", "2026-11-23T08:30:00-05:00", False),  # New York, winter
        ("+14155550123", "2026-11-23T08:30:00-05:00", True),  # San Francisco: 05:30
        ("+14155550123", "2026-11-23T20:59:00-08:00", False),
        ("+16025550123", "2026-07-01T21:00:00-07:00", True),  # Arizona keeps no summer time
        ("+18085550123", "2026-11-23T08:00:00-10:00", False),  # Hawaii
        ("+17095550123", "2026-11-23T21:00:00-03:30", True),  # Newfoundland
    ],
)
def test_calling_hours_are_the_callees_own(directory: Path, callee: str, when: str, tagged: bool) -> None:
    trunk = rules.TrunkPolicy(name="carrier", policy="default", dial_plan="nanp")
    found = rule(outside_hours="calling-hours")
    screener = screener_of(policy_set(rules=(found,), trunks=(trunk,)), directory)
    assert ("rule" in names(screener.screen(call("+12125550199", callee), at(when)))) == tagged


def test_hours_of_ones_own_in_a_zone_of_ones_own(directory: Path) -> None:
    night = rules.Hours(
        name="night", open=("fri,sat 22:00-24:00", "sat-sun 00:00-06:30"), time_zone="America/New_York"
    )
    screener = screener_of(policy_set(rules=(rule(hours="night"),), hours=(night,)), directory)
    expected = {
        "2026-11-20T21:59:59-05:00": False,
        "2026-11-20T22:00:00-05:00": True,  # Friday
        "2026-11-21T06:29:59-05:00": True,
        "2026-11-21T06:30:00-05:00": False,
        "2026-11-22T23:00:00-05:00": False,  # Sunday
    }
    assert {when: "rule" in names(screener.screen(call(CLEAN), at(when))) for when in expected} == expected


def test_on_holidays_no_hour_is_open(directory: Path) -> None:
    days = ("2026-12-25", "2027-01-01")
    office = rules.Hours(name="office", open=("mon-fri 09:00-17:00",), holidays=days)
    other = rules.Hours(name="other", open=("daily 00:00-24:00",), holidays=("2026-12-24",))
    found = (rule(outside_hours="office"), rule("other", outside_hours="other"))
    screener = screener_of(policy_set(rules=found, hours=(office, other)), directory)
    expected = {
        "2026-12-24T10:00:00+08:00": ["other"],
        "2026-12-24T23:59:59+08:00": ["rule", "other"],
        "2026-12-25T10:00:00+08:00": ["rule"],
        "2026-12-25T16:59:00+08:00": ["rule"],
        "2026-12-28T10:00:00+08:00": [],
        "2027-01-01T10:00:00+08:00": ["rule"],
    }
    assert {when: names(screener.screen(call(CLEAN), at(when))) for when in expected} == expected


def test_a_holiday_is_the_callees_own_day(directory: Path) -> None:
    office = rules.Hours(name="office", open=("daily 00:00-24:00",), holidays=("2026-12-25",))
    screener = screener_of(policy_set(rules=(rule(outside_hours="office"),), hours=(office,)), directory)
    eve_in_california = at("2026-12-25T12:00:00+08:00")
    assert names(screener.screen(call(CLEAN, "+14155550123"), eve_in_california)) == []
    assert names(screener.screen(call(CLEAN), eve_in_california)) == ["rule"]


@pytest.mark.parametrize(
    ("holidays", "severity", "why"),
    [
        (("25.12.2026",), "error", "'25.12.2026' is no date such as 2026-12-25"),
        (("2026-02-30",), "error", "no month has such a day"),
        (("2026-12-25", "2026-12-25"), "warning", "2026-12-25 stands there 2 times"),
        (tuple(f"20{year:02}-01-{day:02}" for year in range(26, 39) for day in range(1, 32)), "error", "at most 366"),
    ],
)
def test_what_is_no_holiday_is_named(directory: Path, holidays: tuple[str, ...], severity: str, why: str) -> None:
    office = rules.Hours(name="office", open=("mon-fri 09:00-17:00",), holidays=holidays)
    found = lint_policy(policy_set(rules=(rule(hours="office"),), hours=(office,)), directory)
    assert [(each.key, each.severity) for each in found if why in each.why] == [("hours[office].holidays", severity)]


def test_two_conditions_must_both_be_true(directory: Path) -> None:
    found = rule(classes=("mvno",), outside_hours="calling-hours")
    screener = screener_of(policy_set(rules=(found,)), directory)
    night, day = at("2026-11-23T03:00:00+08:00"), at("2026-11-23T10:00:00+08:00")
    calls = ((RESALE, night), (RESALE, day), (CLEAN, night))
    assert [names(screener.screen(call(who), when)) for who, when in calls] == [["rule"], [], []]


def test_a_week_has_a_bit_for_each_half_hour() -> None:
    assert sum(word.bit_count() for word in week_words(["daily 00:00-24:00"])) == 336
    assert week_words(["mon 00:00-00:30"]) == (1, 0, 0, 0, 0, 0)
    assert week_words(["sun 23:30-24:00"]) == (0, 0, 0, 0, 0, 1 << (335 - 320))
    assert week_words(["sat-mon 00:00-24:00"]) == week_words(["sat,sun,mon 00:00-24:00"])


@pytest.mark.parametrize(
    "span", ["9-17", "mon 09:15-10:00", "mon 10:00-10:00", "mo 09:00-10:00", "xyz 09:00-10:00", "mon 22:00-06:00", ""]
)
def test_what_is_no_hours_is_named(span: str) -> None:
    with pytest.raises(ValueError, match=r"expected|before|days"):
        week_words([span])


def test_every_zone_and_every_countrys_hours_can_be_read() -> None:
    for zone in ZONES:
        assert offsets(zone.time_zone)
        assert all(prefix.isdigit() for prefix in zone.prefixes)
    prefixes = [prefix for zone in ZONES for prefix in zone.prefixes]
    assert len(prefixes) == len(set(prefixes))
    assert [zone_of(code) for code in ("86", "44", "33", "1", "1415", "49")] == [
        "Asia/Shanghai", "Europe/London", "Europe/Paris", "America/New_York", "America/Los_Angeles", None,
    ]
    assert all(each.clause and any(week_words(each.open)) for each in PACK_HOURS.values())


# --- limits ----------------------------------------------------------------------------------------------------------


def windows(*rows: tuple[int, float, int | None]) -> tuple[rules.Window, ...]:
    return tuple(rules.Window(calls=calls, period_s=period, burst=burst) for calls, period, burst in rows)


def test_every_window_of_a_limit_is_exact(directory: Path) -> None:
    limit = rules.Limit(name="few", key=rules.LimitKey.CALLER, windows=windows((2, 10, None), (3, 3600, None)))
    screener = screener_of(policy_set(limits=(limit,)), directory)
    seconds = (0, 0, 0, 20, 40, 60, 1300)
    actions = [screener.screen(call(CLEAN), NOW_US + second * SECOND).action for second in seconds]
    accept, reject = Action.ACCEPT, Action.REJECT
    # The third and the fifth call pass the window of ten seconds or of an hour; the hour has room again after 1,200 s.
    assert actions == [accept, accept, reject, reject, reject, reject, accept]


def test_a_limit_speaks_once_whatever_number_of_windows_is_passed(directory: Path) -> None:
    limit = rules.Limit(
        name="few",
        key=rules.LimitKey.CALLER,
        windows=windows((1, 10, None), (1, 3600, None)),
        outcome=rules.Outcome.SCORE,
        points=100,
    )
    screener = screener_of(policy_set(limits=(limit,)), directory)
    screener.screen(call(CLEAN), NOW_US)
    found = screener.explain(call(CLEAN), NOW_US)
    assert (weights(found.verdict), found.seen) == ([("few", 100)], (("limit few", 0), ("limit few, window 2", 0)))


def test_a_limit_counts_only_the_calls_that_it_is_for(directory: Path) -> None:
    limit = rules.Limit(name="few", key=rules.LimitKey.TRUNK, calls=1, period_s=10, classes=("mvno",))
    screener = screener_of(policy_set(limits=(limit,)), directory)
    callers = (CLEAN, RESALE, CLEAN, RESALE)
    assert [screener.screen(call(caller), NOW_US).rule for caller in callers] == [None, None, None, "few"]


def test_a_limit_by_fingerprint_follows_the_dialler(directory: Path) -> None:
    limit = rules.Limit(name="few", key=rules.LimitKey.FINGERPRINT, calls=2, period_s=10)
    screener = screener_of(policy_set(limits=(limit,)), directory)
    shapes = ["a", "a", "b", "a", "", "", ""]
    found = [screener.screen(call(f"+861380013800{n}", fingerprint=s), NOW_US).rule for n, s in enumerate(shapes)]
    assert found == [None, None, None, "few", None, None, None]


def test_a_windows_count_outlives_a_reload_that_adds_another(directory: Path) -> None:
    one = rules.Limit(name="few", key=rules.LimitKey.CALLER, windows=windows((1, 3600, None)))
    two = rules.Limit(name="few", key=rules.LimitKey.CALLER, windows=windows((5, 10, None), (1, 3600, None)))
    screener_of(policy_set(limits=(one,)), directory).screen(call(CLEAN), NOW_US)
    assert screener_of(policy_set(limits=(two,)), directory).screen(call(CLEAN), NOW_US).rule == "few"


# --- actions and weights ---------------------------------------------------------------------------------------------


def test_divert_goes_where_the_rule_says_or_the_policy(directory: Path) -> None:
    policy = policy_set(
        policies=(rules.Policy(name="default", divert="captcha", anonymous=rules.AnonymousAction.DIVERT),),
        prefix_rules=(rules.PrefixRule(name="resale", prefixes=("+86170",), outcome=rules.Outcome.DIVERT),),
        lists=(number_list("listed", "divert", CLEAN, divert="announcement"),),
        diverts=CAPTCHA,
    )
    screener = screener_of(policy, directory)
    found = [screener.screen(call(caller), NOW_US) for caller in (RESALE, CLEAN, "anonymous", "+8613900138000")]
    assert [verdict.divert for verdict in found] == ["captcha", "announcement", "captcha", None]
    assert [verdict.action for verdict in found] == [Action.DIVERT] * 3 + [Action.ACCEPT]
    assert found[0].status == 0 and found[0].redress_id is not None


def test_a_rejection_is_stronger_than_a_divert_and_a_drop_stronger_still(directory: Path) -> None:
    policy = policy_set(
        policies=(rules.Policy(name="default", divert="captcha"),),
        prefix_rules=(rules.PrefixRule(name="resale", prefixes=("+86170",), outcome=rules.Outcome.DIVERT),),
        limits=(rules.Limit(name="few", key=rules.LimitKey.CALLER, calls=1, period_s=10),),
        lists=(number_list("scanner", "drop", "+8617099999999"),),
        diverts=CAPTCHA,
    )
    screener = screener_of(policy, directory)
    found = [screener.screen(call(caller), NOW_US) for caller in (RESALE, RESALE, "+8617099999999")]
    assert [(verdict.action, verdict.rule, verdict.divert) for verdict in found] == [
        (Action.DIVERT, "resale", "captcha"),
        (Action.REJECT, "few", None),
        (Action.DROP, "scanner", None),
    ]
    assert [verdict.status for verdict in found] == [0, 603, 0]


def test_protected_callers_are_neither_diverted_nor_dropped(directory: Path) -> None:
    policy = policy_set(
        policies=(rules.Policy(name="default", divert="captcha"),),
        lists=(number_list("bank", "protected", "CN:95588"), number_list("bad", "drop", "CN:95588")),
        rules=(rule(classes=("svc95",), outcome=rules.Outcome.DIVERT),),
        diverts=CAPTCHA,
    )
    verdict = screener_of(policy, directory).screen(call("95588"), NOW_US)
    assert (verdict.action, verdict.divert) == (Action.TAG, None)


@pytest.mark.parametrize(
    ("points", "action"), [(399, Action.ACCEPT), (400, Action.TAG), (600, Action.DIVERT), (800, Action.REJECT)]
)
def test_the_highest_threshold_reached_names_the_action(directory: Path, points: int, action: Action) -> None:
    thresholds = rules.Thresholds(tag=400, divert=600, reject=800)
    policy = policy_set(
        policies=(rules.Policy(name="default", divert="captcha", thresholds=thresholds),),
        prefix_rules=(rules.PrefixRule(name="resale", prefixes=("+86170",), points=points),),
        diverts=CAPTCHA,
    )
    verdict = screener_of(policy, directory).screen(call(RESALE), NOW_US)
    assert (verdict.action, verdict.rule) == (action, "score" if action else None)


def test_a_trunk_may_have_thresholds_of_its_own(directory: Path) -> None:
    strict = rules.Thresholds(tag=100, reject=200)
    trunks = (
        rules.TrunkPolicy(name="carrier", policy="default", dial_plan="cn"),
        rules.TrunkPolicy(name="strict", policy="default", dial_plan="cn", thresholds=strict),
    )
    points = rules.PrefixRule(name="resale", prefixes=("+86170",), points=250)
    screener = screener_of(policy_set(trunks=trunks, prefix_rules=(points,)), directory)
    assert screener.screen(call(RESALE), NOW_US).action is Action.ACCEPT
    assert screener.screen(call(RESALE, trunk="strict"), NOW_US).action is Action.REJECT


def test_reputation_has_a_weight(directory: Path) -> None:
    policy = rules.Policy(name="default", weights=rules.Weights(reputation=0.5, block_reputation=0))
    screener = screener_of(policy_set(policies=(policy,)), directory)
    for digits in ("18613800138000", "18613800138"):
        kind = 1 if len(digits) > 12 else 2
        screener.tables.reputation.add(kind << 60 | int(digits), NOW_US, 600, complaint=False)
    found = screener.explain(call(CLEAN), NOW_US)
    assert weights(found.verdict) == [("reputation", 300)]
    assert dict(found.seen)["reputation.points"] == 600


# --- observe ---------------------------------------------------------------------------------------------------------


def test_each_reason_says_what_it_asked_for_in_vain(directory: Path) -> None:
    policy = policy_set(
        policies=(rules.Policy(name="default", observe=True),),
        prefix_rules=(rules.PrefixRule(name="resale", prefixes=("+86170",), points=900),),
        lists=(number_list("marked", "tag", RESALE, observe=True),),
        rules=(rule(classes=("mvno",), outcome=rules.Outcome.REJECT),),
    )
    screener = screener_of(policy, directory)
    expected = (Reason("rule", 0, Action.REJECT, observed=True),)
    assert screener.screen(call(RESALE), NOW_US).reasons == expected
    assert screener.explain(call(RESALE), NOW_US).reasons == expected


def test_points_that_are_only_observed_are_shown_and_not_counted(directory: Path) -> None:
    points = rules.PrefixRule(name="resale", prefixes=("+86170",), points=900, observe=True)
    verdict = screener_of(policy_set(prefix_rules=(points,)), directory).screen(call(RESALE), NOW_US)
    assert verdict.reasons == (Reason("resale", 900, observed=True),)
    assert (verdict.score, verdict.observed, verdict.observed_rule) == (0, Action.REJECT, "score")
