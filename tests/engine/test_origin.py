"""Number classes and origin rules against a plain reading of the packs, with numbers made from their own forms."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import rules
from engine._screener import Screener
from engine.decision import Action, Attempt
from engine.packs import PACKS
from engine.policy import compile_policy
from engine.tables import Tables
from tests.oracle_numbers import plain_action, plain_class

NOW_US = 1_795_305_600_000_000
TRUNK_CLASSES = ("subscriber", "enterprise", "carrier", "transit", "intl", "callcentre", "test")
WITH_NUMBERS = sorted(name for name, pack in PACKS.items() if pack.region)
CALLEE = {"cn": "+862088886666", "nanp": "+12025551234", "uk": "+442079460000", "fr": "+33142278186"}


@pytest.fixture(scope="module")
def screeners(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, rules.Mode], Screener]:
    tables = Tables.open(tmp_path_factory.mktemp("tables"), reputation=1024, rate_limiter=1024, half_life_days=14)
    return {(pack, mode): screener(pack, mode, tables) for pack in WITH_NUMBERS for mode in rules.Mode}


def screener(pack: str, mode: rules.Mode, tables: Tables) -> Screener:
    """Trunks that write numbers as +E.164, one of each class."""
    trunks = (
        rules.TrunkPolicy(name=name, policy="default", dial_plan=pack, trunk_class=name) for name in TRUNK_CLASSES
    )
    policy = rules.PolicySet(trunks=tuple(trunks), policies=(rules.Policy(name="default", origin=mode),))
    return Screener(compile_policy(policy, base_dir=Path(), generation=1), tables, bytes(16))


# --- held against it -------------------------------------------------------------------------------------------------


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, str]:
    """(pack, canonical number): of a form, or nearly so, or of any digits."""
    name = draw(st.sampled_from(WITH_NUMBERS))
    pack = PACKS[name]
    form = draw(st.sampled_from(pack.classes))
    prefix = draw(st.sampled_from([*form.expanded(), ""]))
    length = draw(st.integers(form.digits[0] - 1, form.digits[1] + 1))
    digits = (prefix + draw(st.text("0123456789", min_size=13, max_size=13)))[: max(length, 3)]
    return name, f"{pack.region}:{digits}" if form.short else f"+{pack.plan.country_code}{digits}"


@settings(max_examples=1000, deadline=None)
@given(numbers(), st.sampled_from(TRUNK_CLASSES), st.sampled_from(rules.Mode))
def test_against_a_plain_reading_of_the_packs(
    screeners: dict[tuple[str, rules.Mode], Screener],
    drawn: tuple[str, str],
    trunk_class: str,
    mode: rules.Mode,
) -> None:
    name, number = drawn
    explained = screeners[name, mode].explain(Attempt(number, CALLEE[name], trunk_class), NOW_US)
    verdict = explained.verdict
    if explained.caller == "invalid":
        return
    expected = plain_class(name, explained.caller)
    action = plain_action(name, expected, trunk_class)
    assert verdict.number_class == expected
    assert verdict.action == (action if mode is rules.Mode.ENFORCE else Action.ACCEPT)
    assert verdict.observed == (action if mode is rules.Mode.OBSERVE else Action.ACCEPT)


def test_a_trunk_from_abroad_is_judged_by_the_home_country(tmp_path: Path) -> None:
    tables = Tables.open(tmp_path, reputation=1024, rate_limiter=1024, half_life_days=14)
    trunk = rules.TrunkPolicy(name="abroad", policy="default", dial_plan="generic", trunk_class="intl", pack="cn")
    policy = rules.PolicySet(
        trunks=(trunk,), policies=(rules.Policy(name="default", origin=rules.Mode.ENFORCE),)
    )
    engine = Screener(compile_policy(policy, base_dir=Path(), generation=1), tables, bytes(16))
    found = {
        number: engine.screen(Attempt(number, CALLEE["cn"], "abroad"), NOW_US)
        for number in ("+862088886666", "+8613800138000", "+12025551234", "95588")
    }
    assert [(each.number_class, each.action) for each in found.values()] == [
        ("fixed", Action.REJECT),
        ("mobile", Action.TAG),
        ("foreign", Action.ACCEPT),
        (None, Action.REJECT),  # no number at all by the plan of a trunk that must write +E.164
    ]
