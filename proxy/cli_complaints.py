"""The commands about complaints: complain, and `case`, which lists, shows, forwards, closes and exports cases."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from proxy.cli_client import ControlClient
from proxy.cli_output import ExitCode, Failure, Output
from proxy.cli_store import reading_store
from proxy.config_load import read_configuration
from proxy.control.case_clock import CaseClock
from proxy.control.case_record import evidence_rows, write_evidence
from proxy.state_directory import StateDirectory

_CASE = ("case", "state", "caller", "category", "complainants", "opened", "forward_due", "forwarded", "answer_due")
_COMPLAINT = ("time", "category", "reporter", "source", "call_id", "weight")


def complain(options: Namespace, output: Output) -> int:
    body = {
        "time": time.time() if options.time is None else options.time,
        "caller": options.number,
        "call_id": options.call_id,
        "reporter": options.reporter,
        "category": options.category,
    }
    http_status, answer = _client(options).ask("POST", "/v1/complaints", body)
    if http_status not in (202, 409, 429) or "case" not in answer:
        raise _refused(http_status, answer)
    output.document(answer)
    output.line(f"case {answer['case']}, {answer['taken']}, weight {answer['weight']:g}")
    return ExitCode.OK if http_status == 202 else ExitCode.NO


def list_(options: Namespace, output: Output) -> int:
    http_status, answer = _client(options).ask("GET", "/v1/cases?all=1" if options.all else "/v1/cases")
    if http_status != 200:
        raise _refused(http_status, answer)
    output.document(answer)
    if answer["cases"]:
        output.table(_CASE, [[case[name] for name in _CASE] for case in answer["cases"]])
    else:
        output.line("no case is open")
    return ExitCode.OK


def show(options: Namespace, output: Output) -> int:
    http_status, answer = _client(options).ask("GET", f"/v1/cases/{options.id}")
    if http_status != 200:
        raise _refused(http_status, answer)
    output.document(answer)
    complaints = answer.pop("complaints", [])
    output.facts(answer)
    output.table(_COMPLAINT, [[one[name] for name in _COMPLAINT] for one in complaints])
    return ExitCode.OK


def forward(options: Namespace, output: Output) -> int:
    return _move("forwarded", options, output)


def close(options: Namespace, output: Output) -> int:
    return _move("closed", options, output)


def export(options: Namespace, output: Output) -> int:
    """To a file, or to standard output; works while the proxy is down."""
    configuration = read_configuration(options.config)
    settings = configuration.complaints
    clock = CaseClock.of(settings.forward_days, settings.answer_days, settings.holidays)
    with reading_store(StateDirectory(Path(configuration.node.state_dir))) as store:
        rows = evidence_rows(store, clock, options.id)
        if options.output is None:
            write_evidence(rows, sys.stdout, options.format)
            return ExitCode.OK
        with options.output.open("w", encoding="utf-8", newline="") as file:
            count = write_evidence(rows, file, options.format)
    output.document({"file": str(options.output), "complaints": count})
    output.line(f"{count} complaints written to {options.output}")
    return ExitCode.OK


def _move(state: str, options: Namespace, output: Output) -> int:
    http_status, answer = _client(options).ask("POST", f"/v1/cases/{options.id}", {"state": state})
    if http_status != 200:
        raise _refused(http_status, answer)
    output.document(answer)
    output.table(_CASE, [[answer[name] for name in _CASE]])
    return ExitCode.OK


def _client(options: Namespace) -> ControlClient:
    return ControlClient(StateDirectory(Path(read_configuration(options.config).node.state_dir)).control_socket)


def _refused(http_status: int, answer: dict[str, Any]) -> Failure:
    why = str(answer.get("error", f"callsieve answered {http_status}"))
    if http_status == 404:
        return Failure(why, ExitCode.NO)
    return Failure(why, ExitCode.USAGE if http_status == 400 else ExitCode.SYSTEM)
