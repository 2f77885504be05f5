"""The `policy` commands: what the rules of a node have done, or would have done."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path

from proxy.cli_output import ExitCode, Failure, Output, progress_bar
from proxy.config_load import read_configuration
from proxy.policy_report import Report, RuleCount, log_files, read_report

_TIME = "%Y-%m-%dT%H:%M:%S"


def report(options: Namespace, output: Output) -> int:
    files = _files(options)
    with progress_bar("reading the decision log") as progress:
        found = read_report(files, since=_since(options.since), enforced=options.enforced, progress=progress)
    output.document(_document(files, found, options.enforced))
    _print(files, found, options.enforced, output)
    return ExitCode.OK


def _files(options: Namespace) -> list[Path]:
    if options.file:
        return list(options.file)
    configuration = read_configuration(options.config)
    log = Path(configuration.decision_log.path or Path(configuration.node.state_dir) / "decisions.jsonl")
    files = log_files(log)
    if not files:
        raise Failure(f"{log}: there is no decision log; name one, or see decision_log.path in {options.config}")
    return files


def _since(text: str | None) -> str:
    """As the log writes times, which are in UTC."""
    if text is None:
        return ""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(f"--since {text!r}: expected a date or time as 2026-11-22 or 2026-11-22T09:30+08:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).strftime(_TIME)


def _document(files: list[Path], found: Report, enforced: bool) -> dict[str, object]:
    return {
        "mode": "enforced" if enforced else "observed",
        "files": [str(path) for path in files],
        "decisions": found.lines,
        "unreadable": found.unreadable,
        "first": found.first or None,
        "last": found.last or None,
        "rules": [_row(each) for each in found.ordered()],
    }


def _row(rule: RuleCount) -> dict[str, object]:
    return {
        "rule": rule.rule,
        "rejected": rule.calls["reject"],
        "dropped": rule.calls["drop"],
        "diverted": rule.calls["divert"],
        "tagged": rule.calls["tag"],
        "scored": rule.scored,
        "points": rule.points,
        "callers": len(rule.callers),
        "first": rule.first,
        "last": rule.last,
    }


def _print(files: list[Path], found: Report, enforced: bool, output: Output) -> None:
    what = "what rules did" if enforced else "what rules in observe mode would have done"
    span = f", {_shown(found.first)} to {_shown(found.last)} UTC" if found.lines else ""
    output.line(f"{what}: {found.lines} decisions in {len(files)} file{'s' if len(files) > 1 else ''}{span}")
    if found.unreadable:
        output.line(f"{found.unreadable} lines could not be read and are left out", "yellow")
    if not found.rules:
        output.line("no rule decided anything" if enforced else "no rule in observe mode would have done anything")
        return
    output.line("")
    columns = ["rule", "rejected", "dropped", "diverted", "tagged", "scored", "points", "callers", "first", "last"]
    rows = [_row(each) | {"first": _shown(each.first), "last": _shown(each.last)} for each in found.ordered()]
    output.table(columns, [[row[name] or None for name in columns] for row in rows])


def _shown(time: str) -> str:
    """To the second, as people read it."""
    return time[:19].replace("T", " ")
