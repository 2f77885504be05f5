"""The policy compiler: what it finds wrong, and that an image is whole or refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Finding, ImageError, PolicyError, PolicyImage, compile_policy, lint_policy, rules
from engine._entries import EntrySet, RecordSet
from engine._numbers import parse_entry
from engine.packs import BUILTIN_DIAL_PLANS
from engine.rules import Limit, LimitKey, ListAction, NumberList, Outcome, Policy, PrefixRule

NOW_US = 1_795_305_600_000_000  # 2026-11-22, 00:00 UTC
HERE = Path(__file__).parent


def base(**parts: object) -> rules.PolicySet:
    parts.setdefault("trunks", (rules.TrunkPolicy(name="carrier", policy="default", dial_plan="cn"),))
    parts.setdefault("policies", (Policy(name="default"),))
    return rules.PolicySet(**parts)  # type: ignore[arg-type]


def numbers(name: str, action: ListAction, *entries: str, **more: object) -> NumberList:
    return NumberList(name=name, action=action, numbers=entries, **more)  # type: ignore[arg-type]


def limit(**more: object) -> Limit:
    parts = {"name": "burst", "key": LimitKey.CALLER, "calls": 5, "period_s": 10.0} | more
    return Limit(**parts)  # type: ignore[arg-type]


def trunk(**more: object) -> rules.TrunkPolicy:
    parts = {"name": "carrier", "policy": "default", "dial_plan": "cn"} | more
    return rules.TrunkPolicy(**parts)  # type: ignore[arg-type]


def origin(number_class: str, **more: object) -> rules.OriginRow:
    return rules.OriginRow(number_class=number_class, carrier=rules.OriginAction.TAG, **more)  # type: ignore[arg-type]


DENY, ALLOW, ORDER, TAG = ListAction.DENY, ListAction.ALLOW, ListAction.ORDER, ListAction.TAG
PROTECTED = ListAction.PROTECTED
SIGNED = {"owner": "noc", "until": "2027-06-30"}
ONE = "+8613800138000"
PLAN = rules.DialPlan(name="own", country_code="86")
LONG = rules.Label(name="long", text="x" * 65)

ERRORS = [
    (base(lists=(numbers("a", DENY, ONE), numbers("a", TAG, ONE))), "list[a].name", "has this name"),
    (base(lists=(numbers("a", DENY, ONE),), limits=(limit(name="a"),)), "limit[a].name", "list[a] has this name"),
    (base(lists=(numbers("score", DENY, ONE),)), "list[score].name", "built-in"),
    (base(lists=(numbers("", DENY, ONE),)), "list[].name", "empty"),
    (base(policies=(Policy(name="default"), Policy(name="default"))), "policy[default].name", "another"),
    (base(labels=(rules.Label(name="l", text=""),) * 2), "label[l].name", "another"),
    (base(trunks=(trunk(), trunk())), "trunk[carrier].name", "another"),
    (base(dial_plans=(PLAN, PLAN)), "dial_plan[own].name", "another"),
    (base(lists=(numbers("a", DENY, ONE, label="no"),)), "list[a].label", "no label is called 'no'"),
    (base(lists=(numbers("a", DENY, ONE, trunks=("no",)),)), "list[a].trunks", "no trunk is called"),
    (
        base(prefix_rules=(PrefixRule(name="p", prefixes=("+1",), points=1, label="no"),)),
        "prefix_rule[p].label",
        "no label",
    ),
    (base(limits=(limit(trunks=("no",)),)), "limit[burst].trunks", "no trunk"),
    (base(policies=(Policy(name="default", lists=("no",)),)), "policy[default].lists", "no list"),
    (base(policies=(Policy(name="default", limits=("no",)),)), "policy[default].limits", "no limit"),
    (base(policies=(Policy(name="default", prefix_rules=("no",)),)), "policy[default].prefix_rules", "no prefix_rule"),
    (base(policies=(Policy(name="default", label="no"),)), "policy[default].label", "no label"),
    (base(trunks=(trunk(policy="no"),)), "trunk[carrier].policy", "no policy"),
    (base(trunks=(trunk(dial_plan="none"),)), "trunk[carrier].dial_plan", "no dial_plan"),
    (base(labels=(LONG,)), "label[long].text", "65 bytes"),
    (base(labels=(rules.Label(name="l", text="a\r\nb"),)), "label[l].text", "control"),
    (base(dial_plans=(msgspec.structs.replace(PLAN, country_code="0"),)), "dial_plan[own]", "no calling code"),
    (
        base(dial_plans=(msgspec.structs.replace(PLAN, min_national_digits=14),)),
        "dial_plan[own].min_national_digits",
        "above",
    ),
    (
        base(
            dial_plans=(
                msgspec.structs.replace(PLAN, short_codes=(rules.ShortCode(prefix="95", min_digits=8, max_digits=5),)),
            )
        ),
        "dial_plan[own].short_codes",
        "8 to 5 digits",
    ),
    (base(lists=(numbers("a", ALLOW, ONE, until="2027-01-01"),)), "list[a].owner", "owner"),
    (base(lists=(numbers("a", ALLOW, ONE, owner="noc"),)), "list[a].until", "end date"),
    (base(lists=(numbers("a", DENY, ONE, until="soon"),)), "list[a].until", "no date"),
    (base(lists=(numbers("a", DENY, ONE, until="2027-02-29"),)), "list[a].until", "no date"),
    (base(lists=(numbers("a", DENY, ONE, "13800138000"),)), "list[a].numbers", "'13800138000' is no entry"),
    (base(lists=(NumberList(name="a", action=DENY, file="missing.txt"),)), "list[a].file", "missing.txt: No such file"),
    (base(prefix_rules=(PrefixRule(name="p", prefixes=("86",), points=1),)), "prefix_rule[p].prefixes", "no entry"),
    (base(lists=(numbers("a", DENY, "CN:95*"),)), "list[a].numbers", "CN:95588 (ICBC)"),
    (
        base(prefix_rules=(PrefixRule(name="p", prefixes=("CN:95",), outcome=Outcome.REJECT),)),
        "prefix_rule[p].prefixes",
        "ICBC",
    ),
    (base(prefix_rules=(PrefixRule(name="p", prefixes=("+1",), points=1001),)), "prefix_rule[p].points", "1001"),
    (base(limits=(limit(calls=0),)), "limit[burst].calls", "at least 1"),
    (base(limits=(limit(period_s=0),)), "limit[burst].period_s", "more than 0"),
    (base(limits=(limit(period_s=float("nan")),)), "limit[burst].period_s", "more than 0"),
    (base(limits=(limit(burst=0),)), "limit[burst].burst", "no call would ever pass"),
    (base(limits=(limit(period_s=1e13),)), "limit[burst].period_s", "cannot be counted"),
    (base(limits=(limit(calls=10**9, period_s=1),)), "limit[burst].period_s", "cannot be counted"),
    (base(limits=tuple(limit(name=f"l{n}") for n in range(17))), "trunk[carrier]", "17 limits"),
    (
        base(policies=(Policy(name="default", thresholds=rules.Thresholds(tag=800)),)),
        "policy[default].thresholds.tag",
        "not below",
    ),
    (
        base(policies=(Policy(name="default", thresholds=rules.Thresholds(tag=0)),)),
        "policy[default].thresholds.tag",
        "every call",
    ),
    (base(policies=(Policy(name="default", mismatch_points=2000),)), "policy[default].mismatch_points", "2000"),
    (base(trunks=(trunk(status=rules.StatusByBasis(dno=200)),)), "trunk[carrier].status.dno", "400 to 699"),
    (base(trunks=(trunk(status=rules.StatusByBasis(analytics=503)),)), "trunk[carrier].status.analytics", "out"),
    (base(trunks=(trunk(status=rules.StatusByBasis(invalid=484)),)), "trunk[carrier].status.invalid", "overlap"),
    (base(reputation=rules.Reputation(half_life_days=0)), "reputation.half_life_days", "more than 0"),
    (base(reputation=rules.Reputation(block_share=2)), "reputation.block_share", "0 to 1"),
    (base(reputation=rules.Reputation(complaint_points=-1)), "reputation.complaint_points", "0 to 1000"),
    (
        base(prefix_rules=tuple(PrefixRule(name=f"p{n}", prefixes=("+1",), points=1) for n in range(4097))),
        "list",
        "at most 4096",
    ),
    (base(labels=tuple(rules.Label(name=f"l{n}", text="") for n in range(256))), "label", "at most 255"),
    (base(subscribers=rules.Subscribers(time_zone="Asia/Shangri-La")), "subscribers.time_zone", "no time zone"),
    (base(subscribers=rules.Subscribers(time_zone="../etc")), "subscribers.time_zone", "no time zone"),
    (base(subscribers=rules.Subscribers(pair_points=-1)), "subscribers.pair_points", "expected 0"),
    (base(subscribers=rules.Subscribers(high_frequency=(0, 1, 2, 3))), "subscribers.high_frequency", "no call"),
    (base(subscribers=rules.Subscribers(high_frequency=(5, 1, 2, 3))), "subscribers.high_frequency", "strictest"),
    (base(subscribers=rules.Subscribers(high_frequency_s=0)), "subscribers.high_frequency_s", "more than 0"),
    (base(origin=(origin("mobil"),)), "origin[#1].class", "'mobil' is no class"),
    (base(origin=(origin("anonymous"),)), "origin[#1].class", "no class"),
    (base(origin=(origin("mobile"), origin("mobile", trunks=("no",)))), "origin[#2].trunks", "no trunk"),
    (base(origin=(origin("mobile", label="no"),)), "origin[#1].label", "no label"),
    (base(trunks=(trunk(pack="xx"),)), "trunk[carrier].pack", "no pack is called 'xx'"),
    (base(trunks=(trunk(trunk_class="x"),)), "trunk[carrier].class", "expected subscriber"),
]

WARNINGS = [
    (
        base(lists=(numbers("a", ALLOW, ONE, owner="noc", until="2026-11-21"),)),
        "list[a].until",
        "expired: 2026-11-21",
    ),
    (base(lists=(numbers("a", DENY),)), "list[a]", "neither numbers nor a file"),
    (base(prefix_rules=(PrefixRule(name="p", prefixes=(), points=1),)), "prefix_rule[p].prefixes", "never fire"),
    (base(prefix_rules=(PrefixRule(name="p", prefixes=("+1",)),)), "prefix_rule[p].points", "no effect"),
    (base(limits=(limit(points=5),)), "limit[burst].points", "outcome is reject"),
    (base(limits=(limit(burst=6),)), "limit[burst].burst", "6 at once"),
    (
        base(policies=(Policy(name="default", thresholds=rules.Thresholds(reject=1001)),)),
        "policy[default].thresholds.reject",
        "never be reached",
    ),
    (base(policies=(Policy(name="default", invalid=Outcome.SCORE),)), "policy[default].invalid_points", "no effect"),
    (base(origin=(rules.OriginRow(number_class="mobile"),)), "origin[#1]", "says nothing"),
    (base(origin=(origin("mobile"),), trunks=(trunk(dial_plan="generic"),)), "origin[#1]", "no trunk is screened"),
    (base(origin=(origin("mobile"),), trunks=(trunk(trunk_class="intl"),)), "origin[#1]", "no trunk is screened"),
    (
        base(origin=(origin("mobile"),), policies=(Policy(name="default", origin=rules.Mode.OFF),)),
        "origin[#1]",
        "no trunk is screened",
    ),
    (base(lists=(numbers("a", DENY, "+86*"),)), "list[a].numbers", "whole countries"),
    (
        base(lists=(numbers("a", DENY, ONE), numbers("b", TAG, ONE)), policies=(Policy(name="default", lists=("b",)),)),
        "list[a]",
        "no policy uses it",
    ),
    (
        base(
            limits=(limit(trunks=("other",)), limit(name="used")),
            policies=(Policy(name="default"), Policy(name="second", limits=("used",))),
            trunks=(trunk(), trunk(name="other", policy="second")),
        ),
        "limit[burst]",
        "none of its trunks",
    ),
    (base(lists=(numbers("a", ORDER, "+86138*"), numbers("b", TAG, ONE))), "list[b]", "list[a] decides"),
    (base(lists=(numbers("a", DENY, "+86138*"), numbers("b", ListAction.DNO, ONE))), "list[b]", "list[a] decides"),
    (base(lists=(numbers("a", ORDER, "+86138*"), numbers("b", ALLOW, ONE, **SIGNED))), "list[b]", "list[a] decides"),
    (base(lists=(numbers("a", ORDER, "+86138*"), numbers("b", PROTECTED, ONE))), "list[b]", "an order spares nobody"),
    (
        base(
            lists=(numbers("a", DENY, "+86138*"),),
            prefix_rules=(PrefixRule(name="p", prefixes=("+861380", "+861381"), points=5),),
        ),
        "prefix_rule[p]",
        "list[a] decides",
    ),
]

SOUND = [
    base(),
    base(lists=(numbers("a", ORDER, ONE), numbers("b", TAG, "+86138*"))),
    base(lists=(numbers("a", DENY, "+86138*"), numbers("b", ALLOW, ONE, **SIGNED))),
    base(lists=(numbers("a", DENY, "+86138*", observe=True), numbers("b", TAG, ONE))),
    base(lists=(numbers("a", DENY, "CN:95071*"), numbers("b", PROTECTED, "CN:95*"))),
    base(
        lists=(numbers("a", DENY, "+86138*", trunks=("carrier",)), numbers("b", TAG, ONE)),
        trunks=(trunk(), trunk(name="t")),
    ),
    base(dial_plans=(msgspec.structs.replace(PLAN, name="cn"),)),
    base(origin=(origin("mobile"),), trunks=(trunk(dial_plan="generic", pack="cn"),)),
]


def found(policy: rules.PolicySet, severity: str) -> list[Finding]:
    return [each for each in lint_policy(policy, HERE, now_us=NOW_US) if each.severity == severity]


@pytest.mark.parametrize(("policy", "key", "why"), ERRORS)
def test_errors(policy: rules.PolicySet, key: str, why: str) -> None:
    assert any(each.key == key and why in each.why for each in found(policy, "error")), lint_policy(policy, HERE)
    with pytest.raises(PolicyError, match=r".") as caught:
        compile_policy(policy, base_dir=HERE, generation=1)
    assert key in str(caught.value)


@pytest.mark.parametrize(("policy", "key", "why"), WARNINGS)
def test_warnings(policy: rules.PolicySet, key: str, why: str) -> None:
    assert found(policy, "error") == []
    assert any(each.key == key and why in each.why for each in found(policy, "warning")), lint_policy(policy, HERE)
    compile_policy(policy, base_dir=HERE, generation=1)


@pytest.mark.parametrize("policy", SOUND)
def test_nothing_wrong(policy: rules.PolicySet) -> None:
    assert lint_policy(policy, HERE, now_us=NOW_US) == []


def test_a_list_holds_through_its_last_day() -> None:
    policy = base(lists=(numbers("a", ALLOW, ONE, owner="noc", until="2026-11-22"),))
    assert lint_policy(policy, HERE, now_us=NOW_US + 24 * 3600 * 1_000_000 - 1) == []
    assert len(lint_policy(policy, HERE, now_us=NOW_US + 24 * 3600 * 1_000_000)) == 1


def test_bad_lines_are_named(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"# comment\n{ONE}  # mine\n\n812\r\n  +86170*\r\n1111111111\n")
    policy = base(lists=(NumberList(name="a", action=DENY, file="list.txt"),))
    whys = [each.why for each in lint_policy(policy, tmp_path)]
    assert [why.split(" is no entry")[0] for why in whys] == ["list.txt line 4: '812'", "list.txt line 6: '1111111111'"]


def test_many_bad_lines_are_counted(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("x\n" * 1000)
    policy = base(lists=(NumberList(name="a", action=DENY, file="list.txt"),))
    findings = lint_policy(policy, tmp_path)
    assert len(findings) == 21 and "980 more" in findings[-1].why


def test_progress_reaches_its_end(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    policy = base(lists=(numbers("a", DENY, ONE),), prefix_rules=(PrefixRule(name="p", prefixes=("+1",), points=1),))
    compile_policy(policy, base_dir=tmp_path, generation=1, progress=lambda done, steps_: steps.append((done, steps_)))
    assert steps == [(n, 6) for n in range(1, 7)]


def test_an_operators_dial_plan_wins() -> None:
    own = rules.DialPlan(name="cn", country_code="44")
    assert compile_policy(base(dial_plans=(own,)), base_dir=HERE, generation=1).dial_plan(0) == own
    assert compile_policy(base(), base_dir=HERE, generation=1).dial_plan(0) == BUILTIN_DIAL_PLANS["cn"]


# --- images ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "policy.img"
    compile_policy(base(lists=(numbers("a", DENY, ONE),)), base_dir=tmp_path, generation=3).write(path)
    return path


def test_an_image_is_whole(written: Path) -> None:
    image = PolicyImage.open(written)
    assert (image.generation, image.trunks, len(image)) == (3, ("carrier",), written.stat().st_size)
    assert "a" in image.rules
    assert [each.name for each in written.parent.iterdir()] == ["policy.img"]


@pytest.mark.parametrize("size", [0, 10, 100, 5000])
def test_a_cut_image_is_refused(written: Path, size: int) -> None:
    written.write_bytes(written.read_bytes()[:size])
    with pytest.raises(ImageError):
        PolicyImage.open(written)


@pytest.mark.parametrize("place", [0, 8, 12, 16, 24, 32, 40, 300, -1])
def test_a_changed_image_is_refused(written: Path, place: int) -> None:
    content = bytearray(written.read_bytes())
    content[place] ^= 1
    written.write_bytes(content)
    with pytest.raises(ImageError):
        PolicyImage.open(written)


def test_another_layout_is_refused_by_name(written: Path) -> None:
    content = bytearray(written.read_bytes())
    content[8] = 99
    written.write_bytes(content)
    with pytest.raises(ImageError, match="layout 99"):
        PolicyImage.open(written)


# --- entries pushed down ---------------------------------------------------------------------------------------------

PREFIXES = st.lists(
    st.tuples(st.text("123", min_size=1, max_size=5), st.booleans(), st.integers(7, 10)), min_size=1, max_size=30
)


@given(PREFIXES)
def test_what_holds_for_a_prefix_holds_below_it(written_entries: list[tuple[str, bool, int]]) -> None:
    entries, records = EntrySet(), RecordSet()
    for digits, exact, rule in written_entries:
        entries.add(parse_entry(f"+{digits}")[0], exact, rule)
    keys, values = entries.push_down(False, records)
    assert len(set(keys)) == len(keys) == len({entry[:2] for entry in written_entries})
    for key, value in zip(keys, values, strict=True):
        digits, exact = str(key >> 1)[1:], key & 1
        expected: dict[int, int] = {}
        for prefix, is_exact, rule in written_entries:
            if (digits.startswith(prefix) and not is_exact) or (exact and is_exact and prefix == digits):
                expected[rule] = max(expected.get(rule, 0), 2 * len(prefix) + is_exact)
        assert dict(records.contents[value]) == expected
