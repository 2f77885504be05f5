"""The `lookup` command: what packs, lists, prefix rules and the live reputation say of one number."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from engine import rules
from engine._dial_plan import DialPlan
from engine._numbers import block_of, number_text, parse_entry
from engine.numbers import CALLING_CODE_BY_REGION
from engine.plausibility import Plausibility, plausibility
from engine.rules import NumberList, PrefixRule
from proxy.cli_list_file import Entry
from proxy.cli_lists import entries
from proxy.cli_live import live_tables, now_us
from proxy.cli_output import ExitCode, Failure, Output, progress_bar
from proxy.config import Configuration, Trunk
from proxy.config_load import dial_plans, policy_set, read_configuration
from proxy.state_directory import StateDirectory


@dataclass(frozen=True, slots=True)
class Match:
    """An entry that covers the number. kind: 'list' or 'prefix_rule'; says: the action or outcome."""

    kind: str
    name: str
    says: str
    entry: str
    comment: str
    until: str | None
    observe: bool


@dataclass(frozen=True, slots=True)
class Known:
    """A record of the reputation table. of: the number or its block."""

    of: str
    points: int
    complaints: int
    category: str
    updated: str
    pinned: bool


def lookup(options: Namespace, output: Output) -> int:
    configuration = read_configuration(options.config)
    trunk = _trunk(options, configuration)
    plan = _plan(trunk, configuration)
    number = _number(options, plan)
    text = number_text(number)
    with progress_bar("reading lists"):
        matches = list(_matches(configuration, _candidates(text)))
        screened = next(each for each in policy_set(configuration).trunks if each.name == trunk.name)
        plausible = plausibility(text, screened, plan, configuration.origin)
    known = _known(configuration, number)
    output.document(
        {
            "number": text,
            "class": plausible.number_class,
            "pack": asdict(plausible.pack) if plausible.pack else None,
            "origin": plausible.origin,
            "matches": [asdict(match) for match in matches],
            "reputation": [asdict(record) for record in known],
        }
    )
    output.line(text, "bold")
    _print_plausibility(output, plausible)
    _table(output, matches)
    _table(output, known)
    if not matches and not known:
        output.line("no list, prefix rule or reputation names it")
    return ExitCode.OK if matches or known else ExitCode.NO


def _table(output: Output, rows: Sequence[Match] | Sequence[Known]) -> None:
    if rows:
        output.line("")
        output.table([field.name for field in fields(rows[0])], [list(asdict(row).values()) for row in rows])


def _print_plausibility(output: Output, found: Plausibility) -> None:
    if found.number_class:
        output.line(f"class: {found.number_class}")
    if found.pack:
        output.line(f"pack: {found.pack.name}, as of {found.pack.as_of} ({'; '.join(found.pack.sources)})")
    if found.origin:
        output.line("")
        output.table(["from a trunk of class", "is"], [[each, said] for each, said in found.origin.items()])


def _trunk(options: Namespace, configuration: Configuration) -> Trunk:
    trunks = {trunk.name: trunk for trunk in configuration.trunks}
    name = options.trunk or next(iter(trunks), None)
    if name not in trunks:
        raise Failure(f"no trunk is named {name!r}; known are {', '.join(trunks)}")
    return trunks[name]


def _plan(trunk: Trunk, configuration: Configuration) -> rules.DialPlan:
    plan = dial_plans(configuration).get(trunk.dial_plan)
    if plan is None:
        raise Failure(f"trunk {trunk.name} has an unknown dial plan, {trunk.dial_plan!r}")
    return plan


def _number(options: Namespace, plan: rules.DialPlan) -> int:
    """The number as a call on the trunk would show it."""
    number = DialPlan(plan).normalize(options.number)
    if not number_text(number).strip("+")[:1].isalnum() or number_text(number) in ("anonymous", "invalid"):
        raise Failure(f"{options.number!r} is no number of dial plan {plan.name}")
    return number


def _candidates(text: str) -> set[Entry]:
    """Every entry that would cover the number: itself and all its prefixes."""
    found = {parse_entry(text)}
    for spelling in _spellings(text):
        first_digit = 1 + max(spelling.find("+"), spelling.find(":"))
        found |= {parse_entry(f"{spelling[:end]}*") for end in range(first_digit + 1, len(spelling) + 1)}
    return found


def _spellings(text: str) -> list[str]:
    """CN:95588 is +8695588 as well."""
    region, colon, digits = text.partition(":")
    return [text, f"+{CALLING_CODE_BY_REGION[region]}{digits}"] if colon else [text]


def _matches(configuration: Configuration, candidates: set[Entry]) -> Iterator[Match]:
    for number_list in configuration.lists:
        for _, line in entries(number_list):
            if line.entry in candidates:
                yield _list_match(number_list, line.written, line.comment)
    for rule in configuration.prefix_rules:
        for prefix in rule.prefixes:
            if parse_entry(f"{prefix.rstrip('*')}*") in candidates:
                yield _rule_match(rule, prefix)


def _list_match(number_list: NumberList, written: str, comment: str) -> Match:
    says = number_list.action.value
    return Match("list", number_list.name, says, written, comment, number_list.until, number_list.observe)


def _rule_match(rule: PrefixRule, prefix: str) -> Match:
    says = f"{rule.outcome.value} {rule.points}" if rule.points else rule.outcome.value
    return Match("prefix_rule", rule.name, says, prefix, "", None, rule.observe)


def _known(configuration: Configuration, number: int) -> list[Known]:
    """What the reputation table holds of the number and its block of 100."""
    with live_tables(StateDirectory(Path(configuration.node.state_dir))) as tables:
        read = [(key, tables.reputation.read(key, now_us())) for key in (number, block_of(number, 2)) if key]
    return [
        Known(
            of=number_text(key),
            points=entry.points,
            complaints=entry.complaints,
            category=entry.category.name.lower(),
            updated=f"{datetime.fromtimestamp(entry.updated_us / 1e6, UTC):%Y-%m-%d %H:%M}",
            pinned=entry.pinned,
        )
        for key, entry in read
        if entry is not None
    ]
