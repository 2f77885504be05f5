"""Packs: every form against the numbering plans, number by number, and what a class means where it comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import packs, rules
from engine._screener import Screener
from engine.decision import Action, Attempt, Basis
from engine.packs import NumberClass, expand
from engine.policy import compile_policy
from engine.tables import Tables

NOW_US = 1_790_000_000_000_000
TRUNKS = ("subscriber", "enterprise", "carrier", "transit", "intl", "callcentre")
A, T, R, own = Action.ACCEPT, Action.TAG, Action.REJECT, "own"


@pytest.fixture(scope="module")
def screeners(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Screener]:
    """A screener for each pack, with a trunk of each class named after it, origin rules enforced."""
    tables = Tables.open(tmp_path_factory.mktemp("tables"), reputation=1024, rate_limiter=1024, half_life_days=14)
    return {name: screener(name, tables) for name in packs.BUILTIN if packs.PACKS[name].region}


def screener(
    pack: str, tables: Tables, *, mode: rules.Mode = rules.Mode.ENFORCE, **more: object
) -> Screener:
    policy = rules.PolicySet(
        trunks=tuple(
            rules.TrunkPolicy(name=name, policy="default", dial_plan=pack, trunk_class=name) for name in TRUNKS
        ),
        policies=(rules.Policy(name="default", origin=mode),),
        **more,  # type: ignore[arg-type]
    )
    return Screener(compile_policy(policy, base_dir=Path(), generation=1), tables, bytes(16))


def judged(
    engine: Screener, caller: str, trunk: str, callee: str = "+8675500000000"
) -> tuple[str | None, Action, Basis]:
    verdict = engine.screen(Attempt(caller, callee, trunk), NOW_US)
    return verdict.number_class, verdict.action, verdict.basis


# Sources: MIIT table of March 2023, 95 split of 2020 (numbering.md sections 2.1 to 2.5).
CHINA = [
    ("13301234567", "mobile"),
    ("14901234567", "mobile"),
    ("19912345678", "mobile"),
    ("13412345678", "mobile"),
    ("13492123456", "satellite"),
    ("17212345678", "mobile"),
    ("19812345678", "mobile"),
    ("13012345678", "mobile"),
    ("14512345678", "mobile"),
    ("16612345678", "mobile"),
    ("19612345678", "mobile"),
    ("19212345678", "mobile"),
    ("16212345678", "mvno"),
    ("16512345678", "mvno"),
    ("16712345678", "mvno"),
    ("17012345678", "mvno"),
    ("17041234567", "mvno"),
    ("17112345678", "mvno"),
    ("17401234567", "satellite"),
    ("16191234567", "satellite"),
    ("15412345678", "unallocated"),
    ("17412345678", "unallocated"),
    ("02088886666", "fixed"),
    ("01088886666", "fixed"),
    ("075588886666", "fixed"),
    ("05738888666", "fixed"),
    ("01018886666", "unallocated"),
    ("95588", "svc95"),  # ICBC
    ("95338", "svc95"),  # SF Express
    ("95566", "svc95"),
    ("95599", "svc95"),
    ("95598", "svc95"),
    ("95555", "svc95"),
    ("955881", "svc95"),
    ("95071666", "cc95x"),
    ("95100", "cc95x"),
    ("95213", "cc95x"),
    ("95400", "cc95x"),
    ("95700", "cc95x"),
    ("95110", "public"),
    ("951101", "cc95x"),
    ("95800", "cc95x-unassigned"),
    ("96110", "public"),
    ("96368", "svc96"),
    ("4008123123", "svc400"),
    ("8008100000", "svc800"),
    ("10000", "op100"),
    ("10010", "op100"),
    ("10086", "op100"),
    ("10099", "op100"),
    ("10101111", "svc101"),
    ("106575551", "sms106"),
    ("1064812345678", "iot"),
    ("110", "emergency"),
    ("119", "emergency"),
    ("120", "emergency"),
    ("122", "emergency"),
    ("12110", "emergency"),
    ("12119", "emergency"),
    ("114", "info"),
    ("11185", "svc101"),
    ("12315", "public"),
    ("12321", "public"),
    ("12345", "public"),
    ("12381", "public"),
    ("+12025551234", "foreign"),
    ("+12025550123", "invalid"),  # of fiction (numbering.md section 3)
    ("0085221234567", "foreign"),
    ("+8613800138", "invalid"),
]


@pytest.mark.parametrize(("caller", "number_class"), CHINA)
def test_class_of_chinese_numbers(screeners: dict[str, Screener], caller: str, number_class: str) -> None:
    assert judged(screeners["cn"], caller, "carrier")[0] == number_class


AMERICA = [
    ("+12025551234", "fixed-or-mobile"),
    ("+12125550100", "invalid"),  # 555-0100 to 555-0199 are for fiction
    ("+12125550199", "invalid"),
    ("+12125550200", "fixed-or-mobile"),
    ("+18005551212", "svc800"),
    ("+18332345678", "svc800"),
    ("+19002345678", "premium"),
    ("+12129761234", "premium"),
    ("+12121234567", "invalid"),  # a central office code never begins with 1
    ("+12120234567", "invalid"),
    ("+12129112345", "invalid"),  # N11
    ("+13712345678", "unallocated"),  # 37X
    ("+19612345678", "unallocated"),  # 96X
    ("+12912345678", "unallocated"),  # N9X
    ("+19112345678", "invalid"),
    ("911", "emergency"),
    ("988", "public"),
    ("+447700900123", "foreign"),
]


@pytest.mark.parametrize(("caller", "number_class"), AMERICA)
def test_class_of_north_american_numbers(screeners: dict[str, Screener], caller: str, number_class: str) -> None:
    assert judged(screeners["nanp"], caller, "carrier")[0] == number_class


EUROPE = [
    ("uk", "+442079460000", "fixed"),
    ("uk", "+443000000000", "fixed"),
    ("uk", "+447700900123", "mobile"),
    ("uk", "+447624123456", "mobile"),
    ("uk", "+447612345678", "pager"),
    ("uk", "+447012345678", "personal"),
    ("uk", "+448001111", "svc800"),
    ("uk", "+448450000000", "svc400"),
    ("uk", "+449012345678", "premium"),
    ("uk", "+445612345678", "corporate"),
    ("uk", "999", "emergency"),
    ("uk", "159", "public"),
    ("uk", "118500", "info"),
    ("fr", "+33142278186", "fixed"),
    ("fr", "+33612345678", "mobile"),
    ("fr", "+33712345678", "unallocated"),
    ("fr", "+33756789012", "mobile"),
    ("fr", "+33162000000", "marketing"),
    ("fr", "+33377000000", "marketing"),
    ("fr", "+33949000000", "marketing"),
    ("fr", "+33947500000", "marketing"),
    ("fr", "+33947400000", "fixed"),
    ("fr", "+33899000000", "premium"),
    ("fr", "+33800000000", "svc800"),
    ("fr", "15", "emergency"),
    ("fr", "3631", "svc101"),
]


@pytest.mark.parametrize(("pack", "caller", "number_class"), EUROPE)
def test_class_of_european_numbers(screeners: dict[str, Screener], pack: str, caller: str, number_class: str) -> None:
    assert judged(screeners[pack], caller, "carrier")[0] == number_class


# The matrix of numbering.md section 5, a row a class; own: rejected unless the number is the trunk's own.
MATRIX = {
    "13812345678": (own, own, A, A, T, R),
    "17012345678": (own, own, A, A, T, R),
    "02088886666": (own, own, A, A, R, own),
    "95588": (R, own, A, T, R, R),
    "95071666": (R, R, T, R, R, own),
    "96368": (R, own, A, T, R, R),
    "4008123123": (R, own, T, T, R, own),
    "8008100000": (R, own, T, T, R, own),
    "10086": (R, R, own, R, R, R),
    "106575551": (R, R, R, R, R, R),
    "1064812345678": (R, R, T, R, R, R),
    "110": (R, R, own, R, R, R),
    "12321": (R, R, own, R, R, R),
    "13492123456": (R, R, A, T, T, R),
    "+12025551234": (R, R, T, A, A, R),
    "15412345678": (R, R, T, T, R, R),
    "+8613800138": (R, R, R, R, R, R),
}


@pytest.mark.parametrize("caller", MATRIX)
def test_origin_matrix(screeners: dict[str, Screener], caller: str) -> None:
    for trunk, expected in zip(TRUNKS, MATRIX[caller], strict=True):
        assert judged(screeners["cn"], caller, trunk)[1] == (R if expected == own else expected), trunk


def test_own_numbers_are_accepted_on_their_trunk_only(tmp_path: Path) -> None:
    tables = Tables.open(tmp_path, reputation=1024, rate_limiter=1024, half_life_days=14)
    numbers = rules.NumberList(
        name="our-lines",
        action=rules.ListAction.OWN,
        numbers=("+862088*", "CN:10086"),
        trunks=("enterprise", "carrier"),
    )
    engine = screener("cn", tables, lists=(numbers,))
    assert judged(engine, "02088886666", "enterprise") == ("fixed", A, Basis.NONE)
    assert judged(engine, "02088886666", "subscriber") == ("fixed", R, Basis.INVALID)
    assert judged(engine, "02085996666", "enterprise") == ("fixed", R, Basis.INVALID)
    assert judged(engine, "10086", "carrier") == ("op100", A, Basis.NONE)
    assert judged(engine, "10010", "carrier") == ("op100", R, Basis.DNO)


def test_operators_rows_come_before_the_packs(tmp_path: Path) -> None:
    tables = Tables.open(tmp_path, reputation=1024, rate_limiter=1024, half_life_days=14)
    everywhere = rules.OriginRow(number_class="mobile", carrier=rules.OriginAction.TAG)
    one = rules.OriginRow(number_class="mobile", intl=rules.OriginAction.ACCEPT, trunks=("intl",))
    engine = screener("cn", tables, origin=(everywhere, one))
    assert judged(engine, "13812345678", "carrier")[1] == T
    assert judged(engine, "13812345678", "intl")[1] == A
    assert judged(engine, "13812345678", "callcentre")[1] == R


def test_a_new_pack_only_observes(tmp_path: Path) -> None:
    tables = Tables.open(tmp_path, reputation=1024, rate_limiter=1024, half_life_days=14)
    engine = screener("cn", tables, mode=rules.Mode.OBSERVE)
    verdict = engine.screen(Attempt("110", "+862088886666", "intl"), NOW_US)
    assert (verdict.action, verdict.observed, verdict.rule) == (A, R, "cn:emergency")


def test_h10_protected_callers_are_never_rejected_by_their_origin(tmp_path: Path) -> None:
    tables = Tables.open(tmp_path, reputation=1024, rate_limiter=1024, half_life_days=14)
    banks = rules.NumberList(name="banks", action=rules.ListAction.PROTECTED, numbers=("CN:95588",))
    engine = screener("cn", tables, lists=(banks,))
    assert judged(engine, "95588", "intl")[1] == T
    verdict = engine.screen(Attempt("95588", "+862088886666", "intl"), NOW_US)
    assert [(reason.name, reason.asked) for reason in verdict.reasons] == [("banks", A), ("cn:svc95", T)]


def test_who_protects_a_number_on_its_owners_trunks_alone_has_fakes_from_abroad_rejected(tmp_path: Path) -> None:
    tables = Tables.open(tmp_path, reputation=1024, rate_limiter=1024, half_life_days=14)
    banks = rules.NumberList(
        name="banks", action=rules.ListAction.PROTECTED, numbers=("CN:95588",), trunks=("carrier", "transit")
    )
    engine = screener("cn", tables, lists=(banks,))
    assert [judged(engine, "95588", trunk)[1] for trunk in ("carrier", "transit", "intl")] == [A, T, R]
    verdict = engine.screen(Attempt("95588", "+862088886666", "intl"), NOW_US)
    assert (verdict.rule, verdict.basis, verdict.status) == ("cn:svc95", Basis.DNO, 403)


@pytest.mark.parametrize("callee", ["12110", "12321", "96110", "95110", "12345"])
def test_calls_to_public_services_are_never_blocked(screeners: dict[str, Screener], callee: str) -> None:
    verdict = screeners["cn"].screen(Attempt("110", callee, "intl"), NOW_US)
    assert (verdict.action, verdict.rule) == (A, "cn:service")


def test_patterns_are_written_out() -> None:
    assert list(expand("134[0-25]")) == ["1340", "1341", "1342", "1345"]
    assert len(list(expand("[3-9]x"))) == 70
    for nonsense in ("", "1-2", "[", "x[]"):
        with pytest.raises(ValueError, match="no pattern"):
            list(expand(nonsense))


def test_every_class_of_a_pack_has_a_row_of_the_matrix() -> None:
    known = set(packs.COMMON_ORIGIN)
    for name, pack in packs.PACKS.items():
        assert {form.name for form in pack.classes} <= known, name
    assert set(NumberClass) - known == {NumberClass.ANONYMOUS}
