"""What a number is by itself: its class, the pack that says so, and on trunks of which class it may call."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine import rules
from engine._screener import Screener
from engine.decision import Attempt
from engine.lint_origin import TRUNK_CLASSES
from engine.numbers import CALLING_CODE_BY_REGION
from engine.origin import BASIS, OUTCOME, OriginCell, origin_cells, pack_of
from engine.packs import CLASSES, COUNTRIES, GENERIC, PACKS, NumberClass
from engine.policy import compile_policy
from engine.tables import Tables

TABLE_RECORDS = 256
UNLISTED_CALLEE = "+99900000000"  # E.164 keeps 999 unassigned: no list and no pack speaks of it
ANY_TIME_US = 1_800_000_000_000_000
NO_RULES = "class-alone"

Rows = tuple[rules.OriginRow, ...]


@dataclass(frozen=True, slots=True)
class KnowingPack:
    """A pack, with what an operator has to know to trust it. as_of: ISO date of its newest source."""

    name: str
    title: str
    as_of: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plausibility:
    """What is known of a number by its form. number_class: None if the trunk is at home nowhere.

    origin: by class of trunk, what a call from the number is: accept, tag, reject with its basis in brackets, or own =
    accepted where a list says that it is the trunk's own, else rejected.
    """

    number_class: str | None
    pack: KnowingPack | None
    origin: dict[str, str]


def plausibility(number: str, trunk: rules.TrunkPolicy, plan: rules.DialPlan, rows: Rows = ()) -> Plausibility:
    """Of a canonical number on a trunk with that dial plan, by the code that screens. rows: the operator's origin."""
    home = pack_of(trunk, plan)
    number_class = _class_of(number, trunk, plan) if home else None
    if number_class is None:
        return Plausibility(None, knowing_pack(number), {})
    index = CLASSES.index(NumberClass(number_class))
    origin = {}
    for trunk_class in TRUNK_CLASSES:
        asked = msgspec.structs.replace(trunk, trunk_class=trunk_class)
        origin[trunk_class] = _said(origin_cells(asked, home, rules.Mode.ENFORCE, rows)[index])
    return Plausibility(number_class, knowing_pack(number), origin)


def _class_of(number: str, trunk: rules.TrunkPolicy, plan: rules.DialPlan) -> str | None:
    policy = rules.PolicySet(
        trunks=(msgspec.structs.replace(trunk, policy=NO_RULES, dial_plan=plan.name),),
        policies=(rules.Policy(name=NO_RULES),),
        dial_plans=(plan,),
    )
    image = compile_policy(policy, base_dir=Path(), generation=1)
    with tempfile.TemporaryDirectory(prefix="callsieve-number-") as directory:
        tables = Tables.open(Path(directory), reputation=TABLE_RECORDS, rate_limiter=TABLE_RECORDS, half_life_days=1)
        attempt = Attempt(number, UNLISTED_CALLEE, trunk.name)
        return Screener(image, tables, bytes(16)).screen(attempt, ANY_TIME_US).number_class


def _said(cell: OriginCell) -> str:
    outcome = next(action.value for action, index in OUTCOME.items() if index == cell.outcome)
    basis = next(name for name, index in BASIS.items() if index == cell.basis)
    return f"{outcome} ({basis})" if outcome == rules.OriginAction.REJECT else outcome


def knowing_pack(number: str) -> KnowingPack | None:
    """The pack of the country that a canonical number belongs to; None if its calling code is nobody's."""
    region, colon, digits = number.partition(":")
    whole = f"{CALLING_CODE_BY_REGION.get(region, '')}{digits}" if colon else number.removeprefix("+")
    for name, pack in PACKS.items():
        if pack.region and whole.startswith(pack.plan.country_code):
            return KnowingPack(name, pack.title, pack.as_of, pack.sources)
    for name, country in COUNTRIES.items():
        if whole.startswith(country.code):
            return KnowingPack(name, GENERIC.title, GENERIC.as_of, GENERIC.sources)
    return None
