"""The order of decision: one table of cases to read, and random policies held against the plain version."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import (
    Action,
    Attempt,
    Basis,
    Outcome,
    OutcomeKind,
    PolicyImage,
    Reason,
    Screener,
    Tables,
    Verdict,
    compile_policy,
    rules,
)

NOW_US = 1_795_000_000_000_000  # 2026-11-18
SECOND = 1_000_000
KEY = bytes(range(16))
ALLOW = {"owner": "noc", "until": "2027-06-30"}

CLEAN = "+8613800138000"
CALLEE = "+862088886666"
OTHER_CALLEE = "+862088886667"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


def number_list(name: str, action: str, *numbers: str, **more: object) -> rules.NumberList:
    extra = ALLOW if action == "allow" else {}
    return rules.NumberList(name=name, action=rules.ListAction(action), numbers=numbers, **(extra | more))  # type: ignore[arg-type]


def policy_set(**parts: object) -> rules.PolicySet:
    parts.setdefault("trunks", (rules.TrunkPolicy(name="carrier", policy="default", dial_plan="cn"),))
    parts.setdefault("policies", (rules.Policy(name="default"),))
    return rules.PolicySet(**parts)  # type: ignore[arg-type]


def screener_of(policy: rules.PolicySet, directory: Path) -> Screener:
    image = compile_policy(policy, base_dir=directory, generation=1)
    return Screener(image, tables_in(directory), KEY)


def tables_in(directory: Path) -> Tables:
    return Tables.open(directory, reputation=4096, rate_limiter=4096, half_life_days=10_000)


def call(caller: str, callee: str = CALLEE, trunk: str = "carrier", **more: object) -> Attempt:
    return Attempt(caller, callee, trunk, **more)  # type: ignore[arg-type]


def names(verdict: Verdict) -> list[str]:
    return [reason.name for reason in verdict.reasons]


def weights(verdict: Verdict) -> list[tuple[str, int]]:
    return [(reason.name, reason.points) for reason in verdict.reasons]


# --- one rule at a time ----------------------------------------------------------------------------------------------


def test_a_clean_call_goes_on(directory: Path) -> None:
    verdict = screener_of(policy_set(), directory).screen(call(CLEAN), NOW_US)
    assert verdict == Verdict(Action.ACCEPT, Basis.NONE, 0, None, 0, None, (), None, Action.ACCEPT, "mobile")


@pytest.mark.parametrize(
    ("action", "expected", "basis", "status"),
    [
        ("order", Action.REJECT, Basis.POLICY, 403),
        ("deny", Action.REJECT, Basis.POLICY, 403),
        ("dno", Action.REJECT, Basis.DNO, 403),
        ("tag", Action.TAG, Basis.POLICY, 0),
    ],
)
@pytest.mark.parametrize("entry", ["+8613800138000", "+86138*"])
def test_lists(directory: Path, action: str, expected: Action, basis: Basis, status: int, entry: str) -> None:
    screener = screener_of(policy_set(lists=(number_list("bad", action, entry),)), directory)
    verdict = screener.screen(call("13800138000"), NOW_US)
    assert (verdict.action, verdict.basis, verdict.status, verdict.rule) == (expected, basis, status, "bad")
    assert verdict.reasons == (Reason("bad", 0, expected),)
    assert verdict.redress_id is not None and len(verdict.redress_id) == 13
    assert screener.screen(call("13900138000"), NOW_US).action is Action.ACCEPT


def test_a_short_code_is_one_number_in_every_spelling(directory: Path) -> None:
    screener = screener_of(policy_set(lists=(number_list("bad", "deny", "+8695588"),)), directory)
    for spelling in ("95588", "+8695588", "008695588", "CN:95588"):
        assert screener.screen(call(spelling), NOW_US).rule == "bad"
    assert screener.screen(call("+862095588000"), NOW_US).action is Action.ACCEPT


@pytest.mark.parametrize(
    ("allow", "deny", "action"),
    [
        ("+86138*", "+8613800138000", Action.REJECT),
        ("+8613800138000", "+86138*", Action.ACCEPT),
        ("+86138*", "+86138*", Action.ACCEPT),
        ("+8613800138000*", "+8613800138000", Action.REJECT),
    ],
)
def test_the_longest_match_wins_and_allow_on_equality(directory: Path, allow: str, deny: str, action: Action) -> None:
    lists = (number_list("good", "allow", allow), number_list("bad", "deny", deny))
    assert screener_of(policy_set(lists=lists), directory).screen(call(CLEAN), NOW_US).action is action


def test_allow_holds_on_its_trunks_until_its_day(directory: Path) -> None:
    trunks = tuple(rules.TrunkPolicy(name=name, policy="default", dial_plan="cn") for name in ("carrier", "other"))
    lists = (
        number_list("good", "allow", CLEAN, trunks=("other",), until="2026-11-18"),
        number_list("bad", "deny", "+86138*"),
    )
    screener = screener_of(policy_set(lists=lists, trunks=trunks), directory)
    assert screener.screen(call(CLEAN), NOW_US).rule == "bad"
    assert screener.screen(call(CLEAN, trunk="other"), NOW_US).rule == "good"
    assert screener.screen(call(CLEAN, trunk="other"), NOW_US + 24 * 3600 * SECOND).rule == "bad"


def test_an_allowed_caller_is_still_counted(directory: Path) -> None:
    limit = rules.Limit(name="burst", key=rules.LimitKey.CALLER, calls=1, period_s=10)
    screener = screener_of(policy_set(lists=(number_list("good", "allow", CLEAN),), limits=(limit,)), directory)
    screener.screen(call(CLEAN), NOW_US)
    verdict = screener.screen(call(CLEAN), NOW_US)
    assert (verdict.action, verdict.rule, names(verdict)) == (Action.ACCEPT, "good", ["good", "burst"])


@pytest.mark.parametrize("callee", ["110", "119", "120", "122", "112", "911", "999", "000", "+86110"])
def test_emergency_calls_are_never_screened(directory: Path, callee: str) -> None:
    screener = screener_of(policy_set(lists=(number_list("all", "order", "+86138*"),)), directory)
    verdict = screener.screen(call(CLEAN, callee), NOW_US)
    assert (verdict.action, verdict.rule, verdict.redress_id) == (Action.ACCEPT, "emergency", None)
    assert screener.screen(call(CLEAN, CALLEE, emergency=True), NOW_US).action is Action.ACCEPT


def test_never_block_is_for_callees(directory: Path) -> None:
    lists = (number_list("hospital", "never-block", CALLEE), number_list("all", "order", "+86*"))
    screener = screener_of(policy_set(lists=lists), directory)
    assert screener.screen(call(CLEAN), NOW_US).rule == "hospital"
    assert screener.screen(call(CALLEE, CLEAN), NOW_US).rule == "all"


def test_protected_callers_are_at_most_tagged_except_by_order(directory: Path) -> None:
    lists = (number_list("bank", "protected", "CN:95588", "+86138*"), number_list("bad", "deny", "CN:95588"))
    screener = screener_of(policy_set(lists=lists), directory)
    assert screener.screen(call("95588"), NOW_US).action is Action.TAG
    ordered = screener_of(policy_set(lists=(*lists, number_list("stop", "order", CLEAN))), directory)
    assert ordered.screen(call(CLEAN), NOW_US).action is Action.REJECT


@pytest.mark.parametrize("caller", ["anonymous", "", "restricted"])
@pytest.mark.parametrize(
    ("setting", "action", "status"),
    [("accept", Action.ACCEPT, 0), ("tag", Action.TAG, 0), ("reject", Action.REJECT, 433)],
)
def test_anonymous_callers(directory: Path, caller: str, setting: str, action: Action, status: int) -> None:
    policy = rules.Policy(name="default", anonymous=rules.AnonymousAction(setting))
    screener = screener_of(policy_set(policies=(policy,)), directory)
    for attempt in (call(caller), call(CLEAN, privacy=True)):
        verdict = screener.screen(attempt, NOW_US)
        assert (verdict.action, verdict.status, names(verdict)) == (action, status, ["anonymous"])


@pytest.mark.parametrize(
    ("setting", "points", "action", "score"),
    [("reject", 0, Action.REJECT, 0), ("tag", 0, Action.TAG, 0), ("score", 300, Action.ACCEPT, 300)],
)
def test_invalid_numbers(directory: Path, setting: str, points: int, action: Action, score: int) -> None:
    policy = rules.Policy(name="default", invalid=rules.Outcome(setting), invalid_points=points)
    verdict = screener_of(policy_set(policies=(policy,)), directory).screen(call("alice"), NOW_US)
    assert (verdict.action, verdict.score, weights(verdict)) == (action, score, [("invalid-number", points)])
    assert verdict.basis is (Basis.NONE if action is Action.ACCEPT else Basis.INVALID)


@pytest.mark.parametrize(
    ("key", "same", "other"),
    [
        ("caller", call(CLEAN, "+862088886667"), call("+8613800138001")),
        ("callee", call("+8613900138000"), call(CLEAN, "+862088886667")),
        ("pair", call(CLEAN), call(CLEAN, "+862088886667")),
        ("trunk", call("+8613900138000", "+862088886667"), call(CLEAN, trunk="other")),
        ("block-10", call("+8613800138009"), call("+8613800138010")),
        ("block-100", call("+8613800138099"), call("+8613800138100")),
        ("block-1000", call("+8613800138999"), call("+8613800139000")),
        ("block-pair", call("+8613800138099"), call("+8613800138099", "+862088886667")),
        ("source", call("+8613900138000", source="192.0.2.1"), call(CLEAN, source="192.0.2.2")),
    ],
)
def test_limits_count_by_key(directory: Path, key: str, same: Attempt, other: Attempt) -> None:
    trunks = tuple(rules.TrunkPolicy(name=name, policy="default", dial_plan="cn") for name in ("carrier", "other"))
    limit = rules.Limit(name="few", key=rules.LimitKey(key), calls=2, period_s=10)
    screener = screener_of(policy_set(trunks=trunks, limits=(limit,)), directory)
    for _ in range(2):
        assert screener.screen(call(CLEAN, source="192.0.2.1"), NOW_US).action is Action.ACCEPT
    verdict = screener.screen(same, NOW_US)
    assert (verdict.action, verdict.basis, verdict.status) == (Action.REJECT, Basis.ANALYTICS, 603)
    assert screener.screen(other, NOW_US).action is Action.ACCEPT
    assert screener.screen(same, NOW_US + 5 * SECOND).action is Action.ACCEPT


def test_callers_without_a_number_share_no_limit(directory: Path) -> None:
    limit = rules.Limit(name="few", key=rules.LimitKey.CALLER, calls=1, period_s=10)
    screener = screener_of(policy_set(limits=(limit,)), directory)
    assert [screener.screen(call("anonymous"), NOW_US).action for _ in range(3)] == [Action.ACCEPT] * 3


def test_a_limit_outlives_a_reload(directory: Path) -> None:
    limit = rules.Limit(name="few", key=rules.LimitKey.CALLER, calls=1, period_s=10)
    screener_of(policy_set(limits=(limit,)), directory).screen(call(CLEAN), NOW_US)
    reloaded = screener_of(policy_set(limits=(limit,), lists=(number_list("new", "deny", "+1*"),)), directory)
    assert reloaded.screen(call(CLEAN), NOW_US).rule == "few"


def test_points_add_up_to_a_band(directory: Path) -> None:
    half = rules.PrefixRule(name="mvno", prefixes=("+86170",), points=300)
    more = rules.PrefixRule(name="block", prefixes=("+861701*",), points=250)
    most = rules.PrefixRule(name="worst", prefixes=("+8617012*",), points=900)
    screener = screener_of(policy_set(prefix_rules=(half, more, most)), directory)
    verdict = screener.screen(call("17000000000"), NOW_US)
    assert (verdict.action, verdict.score, verdict.rule) == (Action.ACCEPT, 300, None)
    verdict = screener.screen(call("17010000000"), NOW_US)
    assert (verdict.action, verdict.score, verdict.rule, verdict.basis) == (Action.TAG, 550, "score", Basis.ANALYTICS)
    verdict = screener.screen(call("17012000000"), NOW_US)
    assert (verdict.action, verdict.score, verdict.status) == (Action.REJECT, 1000, 603)
    assert sorted(verdict.reasons, key=lambda reason: reason.points) == [
        Reason("block", 250),
        Reason("mvno", 300),
        Reason("worst", 900),
    ]


def test_explicit_results_win_over_the_score(directory: Path) -> None:
    rule = rules.PrefixRule(name="bad", prefixes=("+86170",), points=1000)
    allow = number_list("good", "allow", "+86170*")
    screener = screener_of(policy_set(prefix_rules=(rule,), lists=(allow,)), directory)
    verdict = screener.screen(call("17000000000"), NOW_US)
    assert (verdict.action, verdict.rule, verdict.score) == (Action.ACCEPT, "good", 1000)


def test_refusals_and_complaints_become_reputation(directory: Path) -> None:
    screener = screener_of(policy_set(), directory)
    for _ in range(4):
        screener.observe(Outcome("13800138000", CALLEE, "carrier", OutcomeKind.COMPLAINT), NOW_US)
    screener.observe(Outcome("13800138000", CALLEE, "carrier", OutcomeKind.REFUSED), NOW_US)
    screener.observe(Outcome("13800138000", CALLEE, "carrier", OutcomeKind.ANSWERED, talk_ms=5000), NOW_US)
    verdict = screener.screen(call(CLEAN, OTHER_CALLEE), NOW_US)
    assert verdict.reasons == (Reason("reputation", 660), Reason("block-reputation", 66))
    assert (verdict.action, verdict.score) == (Action.TAG, 726)
    assert screener.screen(call("+8613800138001", OTHER_CALLEE), NOW_US).reasons == (Reason("block-reputation", 66),)
    assert screener.screen(call("+8613800138100"), NOW_US).reasons == ()


@pytest.mark.parametrize(
    ("basis", "attempt"),
    [
        ("analytics", call("+8616000000000")),
        ("dno", call("+8616100000000")),
        ("invalid", call("alice")),
        ("policy", call("+8616200000000")),
        ("anonymous", call("anonymous")),
    ],
)
def test_the_trunk_names_the_status_of_a_basis(directory: Path, basis: str, attempt: Attempt) -> None:
    codes = {"analytics": 608, "dno": 480, "invalid": 404, "policy": 603, "anonymous": 403}
    trunk = rules.TrunkPolicy(
        name="carrier", policy="default", dial_plan="cn", status=rules.StatusByBasis(**codes)
    )
    policy = policy_set(
        trunks=(trunk,),
        policies=(rules.Policy(name="default", anonymous=rules.AnonymousAction.REJECT),),
        prefix_rules=(rules.PrefixRule(name="points", prefixes=("+86160",), points=1000),),
        lists=(number_list("dno", "dno", "+86161*"), number_list("deny", "deny", "+86162*")),
    )
    assert screener_of(policy, directory).screen(attempt, NOW_US).status == codes[basis]


def test_labels(directory: Path) -> None:
    policy = policy_set(
        policies=(rules.Policy(name="default", label="spam"),),
        labels=(rules.Label(name="spam", text="Spam?"), rules.Label(name="loans", text="Loans")),
        lists=(number_list("l", "tag", "+86160*", label="loans"), number_list("plain", "tag", "+86161*")),
        prefix_rules=(rules.PrefixRule(name="points", prefixes=("+86162",), points=600),),
    )
    screener = screener_of(policy, directory)
    labels = [screener.screen(call(f"+8616{n}00000000"), NOW_US).label for n in range(4)]
    assert labels == ["loans", "spam", "spam", None]
    assert screener.image.label_text(1) == "Loans"


# --- observe ---------------------------------------------------------------------------------------------------------


def test_an_observing_rule_only_says_what_it_would_do(directory: Path) -> None:
    screener = screener_of(policy_set(lists=(number_list("new", "deny", CLEAN, observe=True),)), directory)
    verdict = screener.screen(call(CLEAN), NOW_US)
    assert (verdict.action, verdict.observed, verdict.rule) == (Action.ACCEPT, Action.REJECT, "new")
    assert verdict.redress_id is None and verdict.status == 0


def test_observed_points_change_no_score(directory: Path) -> None:
    rule = rules.PrefixRule(name="new", prefixes=("+86138",), points=900, observe=True)
    verdict = screener_of(policy_set(prefix_rules=(rule,)), directory).screen(call(CLEAN), NOW_US)
    assert (verdict.action, verdict.observed, verdict.score) == (Action.ACCEPT, Action.REJECT, 0)


def test_an_observing_policy_acts_on_nothing(directory: Path) -> None:
    policy = policy_set(
        policies=(rules.Policy(name="default", observe=True),), lists=(number_list("bad", "order", CLEAN),)
    )
    verdict = screener_of(policy, directory).screen(call(CLEAN), NOW_US)
    assert (verdict.action, verdict.observed, verdict.rule) == (Action.ACCEPT, Action.REJECT, "bad")
    assert (verdict.basis, verdict.status, verdict.redress_id) == (Basis.NONE, 0, None)


# --- redress, explain, batches ---------------------------------------------------------------------------------------


def test_redress_ids_differ(directory: Path) -> None:
    screener = screener_of(policy_set(lists=(number_list("bad", "deny", CLEAN),)), directory)
    ids = {screener.screen(call(CLEAN), NOW_US).redress_id for _ in range(1000)}
    assert len(ids) == 1000


def test_node_key_has_its_length(directory: Path) -> None:
    image = compile_policy(policy_set(), base_dir=directory, generation=1)
    with pytest.raises(ValueError, match="node_key"):
        Screener(image, tables_in(directory), b"short")


def test_an_unknown_trunk_is_the_callers_mistake(directory: Path) -> None:
    with pytest.raises(ValueError, match="no trunk"):
        screener_of(policy_set(), directory).screen(call(CLEAN, trunk="nobody"), NOW_US)


def test_explain_shows_what_was_looked_at(directory: Path) -> None:
    limit = rules.Limit(name="few", key=rules.LimitKey.CALLER, calls=1, period_s=10)
    screener = screener_of(policy_set(limits=(limit,)), directory)
    screener.observe(Outcome(CLEAN, OTHER_CALLEE, "carrier", OutcomeKind.REFUSED), NOW_US)
    screener.observe(Outcome(CLEAN, CALLEE, "carrier", OutcomeKind.REFUSED), NOW_US)
    found = screener.explain(call("13800138000", "02088886666"), NOW_US)
    assert (found.caller, found.callee) == (CLEAN, CALLEE)
    assert found.seen == (
        ("subscriber-pair.points", 60),
        ("limit few", 1),
        ("reputation.points", 120),
        ("reputation.complaints", 0),
        ("block-reputation.points", 12),
        ("block-reputation.complaints", 0),
    )
    assert found.reasons == found.verdict.reasons == (Reason("reputation", 120), Reason("block-reputation", 12))


def test_a_verdict_holds_eight_reasons_and_explain_all(directory: Path) -> None:
    many = tuple(rules.PrefixRule(name=f"p{n}", prefixes=("+86138",), points=n) for n in range(1, 13))
    screener = screener_of(policy_set(prefix_rules=many), directory)
    assert len(screener.screen(call(CLEAN), NOW_US).reasons) == 8
    found = screener.explain(call(CLEAN), NOW_US)
    assert len(found.reasons) == 12 and sum(reason.points for reason in found.reasons) == found.verdict.score == 78


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 200])
def test_batches(directory: Path, count: int) -> None:
    screener = screener_of(policy_set(lists=(number_list("bad", "deny", "+861380*"),)), directory)
    attempts = [call(f"+8613{n % 10}00138000") for n in range(count)]
    verdicts = screener.unpack(screener.screen_batch(b"".join(map(screener.pack, attempts)), NOW_US))
    assert [verdict.action for verdict in verdicts] == [screener.screen(each, NOW_US).action for each in attempts]


def test_a_torn_batch_is_refused(directory: Path) -> None:
    screener = screener_of(policy_set(), directory)
    with pytest.raises(ValueError, match="no array of attempts"):
        screener.screen_batch(b"x" * 33, NOW_US)
    with pytest.raises(ValueError, match="no array of verdicts"):
        screener.unpack(b"x" * 57)


def test_the_image_written_decides_as_the_image_compiled(directory: Path) -> None:
    policy = policy_set(lists=(number_list("bad", "deny", CLEAN, "+86170*", "CN:95588"),))
    image = compile_policy(policy, base_dir=directory, generation=7)
    image.write(directory / "policy.img")
    opened = PolicyImage.open(directory / "policy.img")
    assert (opened.generation, opened.rules, opened.trunks) == (7, image.rules, ("carrier",))
    screener = Screener(opened, tables_in(directory), KEY)
    for caller in (CLEAN, "17012345678", "95588"):
        assert screener.screen(call(caller), NOW_US).rule == "bad"
