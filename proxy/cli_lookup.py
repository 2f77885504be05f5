"""The `lookup` command: what lists, prefix rules and the live reputation say of one number."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from engine._numbers import DialPlan, block_of, number_text, parse_entry
from engine.numbers import CALLING_CODE_BY_REGION
from engine.rules import NumberList, PrefixRule
from proxy.cli_list_file import Entry
from proxy.cli_lists import entries
from proxy.cli_live import live_tables, now_us
from proxy.cli_output import ExitCode, Failure, Output, progress_bar
from proxy.config import Configuration
from proxy.config_load import dial_plans, read_configuration
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
    number = _number(options, configuration)
    text = number_text(number)
    with progress_bar("reading lists"):
        matches = list(_matches(configuration, _candidates(text)))
    known = _known(configuration, number)
    output.document(
        {
            "number": text,
            "matches": [asdict(match) for match in matches],
            "reputation": [asdict(record) for record in known],
        }
    )
    output.line(text, "bold")
    _table(output, matches)
    _table(output, known)
    if not matches and not known:
        output.line("nothing is known of it")
    return ExitCode.OK if matches or known else ExitCode.NO


def _table(output: Output, rows: Sequence[Match] | Sequence[Known]) -> None:
    if rows:
        output.line("")
        output.table([field.name for field in fields(rows[0])], [list(asdict(row).values()) for row in rows])


def _number(options: Namespace, configuration: Configuration) -> int:
    """The number as a call on the trunk would show it."""
    trunks = {trunk.name: trunk for trunk in configuration.trunks}
    name = options.trunk or next(iter(trunks), None)
    if name not in trunks:
        raise Failure(f"no trunk is named {name!r}; known are {', '.join(trunks)}")
    plan = dial_plans(configuration).get(trunks[name].dial_plan)
    if plan is None:
        raise Failure(f"trunk {name} has an unknown dial plan, {trunks[name].dial_plan!r}")
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
