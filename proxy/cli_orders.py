"""The commands that order: block, allow, never-block, unblock, and `decisions`, which shows what was ordered."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from proxy.cli_client import ControlClient
from proxy.cli_output import ExitCode, Failure, Output
from proxy.config_load import read_configuration
from proxy.state_directory import StateDirectory

_COLUMNS = ("number", "act", "namespace", "owner", "reason", "from", "until", "in_force")


def block(options: Namespace, output: Output) -> int:
    return _give("block", options, output)


def allow(options: Namespace, output: Output) -> int:
    return _give("allow", options, output)


def never_block(options: Namespace, output: Output) -> int:
    return _give("never-block", options, output)


def unblock(options: Namespace, output: Output) -> int:
    client, ended = _client(options), []
    for number in options.numbers:
        path = f"/v1/decisions/{quote(number, safe='')}?{urlencode({'namespace': options.namespace})}"
        http_status, answer = client.ask("DELETE", path)
        if http_status not in (200, 404):
            raise _refused(http_status, answer)
        ended += answer["decisions"]
    output.document({"decisions": ended})
    output.line(f"withdrawn: {', '.join(one['number'] for one in ended)}" if ended else "nothing was ordered of these")
    return ExitCode.OK if ended else ExitCode.NO


def decisions(options: Namespace, output: Output) -> int:
    client, found = _client(options), []
    queries = [f"?{urlencode({'number': number})}" for number in options.numbers] or [""]
    for query in queries:
        http_status, answer = client.ask("GET", f"/v1/decisions/orders{query}")
        if http_status != 200:
            raise _refused(http_status, answer)
        found += answer["decisions"]
    output.document({"decisions": found})
    if found:
        _table(output, found)
    else:
        output.line("nothing is ordered of these" if options.numbers else "nothing is ordered")
    return ExitCode.OK if found or not options.numbers else ExitCode.NO


def _give(act: str, options: Namespace, output: Output) -> int:
    body = {
        "numbers": options.numbers,
        "act": act,
        "namespace": options.namespace,
        "reason": options.reason,
        "owner": options.owner,
        "from_s": _begin_s(options.begin),
        "until_s": _end_s(options.until),
    }
    http_status, answer = _client(options).ask("POST", "/v1/decisions", body)
    if http_status != 201:
        raise _refused(http_status, answer)
    output.document(answer)
    _table(output, answer["decisions"])
    if any(one.get("waits") for one in answer["decisions"]):
        output.line("protected: in force once a second authority has signed it with `callsieve fleet second`")
    return ExitCode.OK


def _client(options: Namespace) -> ControlClient:
    return ControlClient(StateDirectory(Path(read_configuration(options.config).node.state_dir)).control_socket)


def _refused(http_status: int, answer: dict[str, Any]) -> Failure:
    why = str(answer.get("error", f"callsieve answered {http_status}"))
    return Failure(why, ExitCode.USAGE if http_status == 400 else ExitCode.SYSTEM)


def _table(output: Output, found: list[dict[str, Any]]) -> None:
    output.table(_COLUMNS, [[one[column] if one[column] != "" else None for column in _COLUMNS] for one in found])


def _begin_s(text: str | None) -> int:
    return 0 if text is None else int(_time(text, timedelta()).timestamp())


def _end_s(text: str | None) -> int:
    """A day counts as a whole."""
    return 0 if text is None else int(_time(text, timedelta(days=1)).timestamp())


def _time(text: str, of_day: timedelta) -> datetime:
    """2027-06-30, or 2027-06-30T18:00 and then in UTC unless it says otherwise."""
    try:
        if "T" not in text:
            return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC) + of_day
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(f"{text!r} is no time: write 2027-06-30 or 2027-06-30T18:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
