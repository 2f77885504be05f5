"""The commands about a node as a whole: run, check, reload, status, load."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from engine.config_errors import ConfigError, ConfigFinding
from proxy.cli_client import ControlClient
from proxy.cli_output import ExitCode, Failure, Output, findings_document, progress_bar
from proxy.config_load import load_configuration, read_configuration
from proxy.policy_tests import failed_tests
from proxy.state_directory import StateDirectory


def run(options: Namespace, _: Output) -> int:
    from proxy.supervisor import run as supervise  # costs half a second that no other command should pay

    return supervise(options.config, demo=options.demo)


def load(options: Namespace, _: Output) -> int:
    """The load harness reads its own arguments."""
    try:
        harness = import_module("tests.load.cli")
    except ModuleNotFoundError as missing:
        if not (missing.name or "").startswith("tests"):
            raise
        raise Failure("the load harness is not installed here; it is tests/load in the source") from None
    return int(harness.main(options.arguments))


def check(options: Namespace, output: Output) -> int:
    path = options.file or options.config
    if not os.access(path, os.R_OK):
        raise Failure(f"{path} is not there, or may not be read")
    try:
        with progress_bar("checking"):
            loaded = load_configuration(path)
    except ConfigError as refused:
        _tell_findings(refused.findings, output)
        return ExitCode.NO
    configuration = loaded.configuration
    failed = failed_tests(path, loaded)
    _tell_findings([*loaded.warnings, *failed], output)
    if failed:
        return ExitCode.NO
    counts = {
        "file": len(loaded.files),
        "trunk": len(configuration.trunks),
        "gateway": len(configuration.gateways),
        "list": len(configuration.lists),
        "prefix rule": len(configuration.prefix_rules),
        "limit": len(configuration.limits),
        "test": len(configuration.tests),
        "warning": len(loaded.warnings),
    }
    output.line(f"{path}: " + ", ".join(_counted(count, name) for name, count in counts.items()))
    return ExitCode.NO if loaded.warnings and options.strict else ExitCode.OK


def reload(options: Namespace, output: Output) -> int:
    accepted, answer = ask_to_reload(options)
    output.document(answer)
    tell_reload(accepted, answer, output)
    return ExitCode.OK if accepted else ExitCode.USAGE


def ask_to_reload(options: Namespace) -> tuple[bool, dict[str, Any]]:
    with progress_bar("reloading"):
        return ControlClient(state_directory(options).control_socket).reload()


def tell_reload(accepted: bool, answer: dict[str, Any], output: Output) -> None:
    output.findings(_findings_of(answer))
    verb = "is in force" if accepted else "stays in force: the change was refused"
    output.line(f"generation {answer.get('generation')} {verb}")


def status(options: Namespace, output: Output) -> int:
    answer = ControlClient(state_directory(options).control_socket).status()
    output.document(answer)
    tables = [rows for rows in answer.values() if _is_table(rows)]
    output.facts(dict(_fact(name, value) for name, value in answer.items() if not _is_table(value)))
    for rows in tables:
        output.line("")
        output.table(list(rows[0]), [[_plain(value) for value in row.values()] for row in rows])
    return ExitCode.OK if answer["healthy"] else ExitCode.NO


def state_directory(options: Namespace) -> StateDirectory:
    """Where the node of this configuration lives, whatever else is wrong with the files."""
    return StateDirectory(Path(read_configuration(options.config).node.state_dir))


def _tell_findings(findings: Iterable[ConfigFinding], output: Output) -> None:
    output.document(findings_document(findings))
    output.findings(findings)


def _findings_of(answer: dict[str, Any]) -> list[ConfigFinding]:
    errors = [ConfigFinding(found["file"], found["key"], found["why"]) for found in answer.get("errors", [])]
    warnings = [ConfigFinding(w["file"], w["key"], w["why"], "warning") for w in answer.get("warnings", [])]
    return errors + warnings


def _counted(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _fact(name: str, value: object) -> tuple[str, object]:
    """Seconds since 1970 become a time of day."""
    if name.endswith("_at_s") and isinstance(value, int | float):
        return name.removesuffix("_s"), f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return name, _plain(value)


def _plain(value: object) -> object:
    """A value of /v1/status in a cell: {"a": 1} as a=1."""
    if isinstance(value, dict):
        return " ".join(f"{name}={_plain(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(str(_plain(inner)) for inner in value) or None
    return value
