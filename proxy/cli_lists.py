"""The `list` commands: what a [[list]] holds, and changing its file under a running proxy."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from engine.rules import NumberList
from proxy.cli_client import NotRunning
from proxy.cli_list_file import ListLine, add_entries, entry_of, list_line, read_lines, remove_entries
from proxy.cli_node import ask_to_reload, tell_reload
from proxy.cli_output import ExitCode, Failure, Output
from proxy.config_load import read_configuration


def show(options: Namespace, output: Output) -> int:
    number_list = _list(options)
    wanted = {_checked(number) for number in options.numbers}
    shown = [
        {"number": line.written, "comment": line.comment, "where": where}
        for where, line in entries(number_list)
        if not wanted or line.entry in wanted
    ]
    output.document({"list": number_list.name, "action": number_list.action.value, "entries": shown})
    if shown:
        output.table(["number", "comment", "where"], [list(row.values()) for row in shown])
    else:
        output.line(f"{number_list.name} holds none of these" if wanted else f"{number_list.name} is empty")
    return ExitCode.NO if wanted and not shown else ExitCode.OK


def add(options: Namespace, output: Output) -> int:
    number_list = _list(options)
    path = _file(number_list)
    added = add_entries(path, _all_checked(options.numbers), _comment(options.reason))
    return _changed(options, output, number_list, "added", added)


def remove(options: Namespace, output: Output) -> int:
    number_list = _list(options)
    path = _file(number_list)
    removed = remove_entries(path, _all_checked(options.numbers))
    exit_code = _changed(options, output, number_list, "removed", removed)
    return exit_code if removed else ExitCode.NO


def entries(number_list: NumberList) -> Iterator[tuple[str, ListLine]]:
    """(where it stands, line) of every entry of a list."""
    for number in number_list.numbers:
        yield "configuration", list_line(number)
    if number_list.file is not None:
        for line in read_lines(Path(number_list.file)):
            if line.written:
                yield number_list.file, line


def _list(options: Namespace) -> NumberList:
    lists = read_configuration(options.config).lists
    for number_list in lists:
        if number_list.name == options.list:
            return number_list
    known = ", ".join(number_list.name for number_list in lists) or "none"
    raise Failure(f"no list is named {options.list!r}; known are {known}")


def _file(number_list: NumberList) -> Path:
    if number_list.file is None:
        raise Failure(f"{number_list.name} has no file; give it one, or edit its numbers in the configuration")
    return Path(number_list.file)


def _checked(number: str) -> tuple[int, bool]:
    try:
        return entry_of(number)
    except ValueError as why:
        raise Failure(str(why)) from None


def _all_checked(numbers: list[str]) -> list[str]:
    for number in numbers:
        _checked(number)
    return numbers


def _comment(reason: str) -> str:
    """Beside each number: the day, and why."""
    if not reason.isprintable():
        raise Failure("--reason must be one line of text")
    return f"{datetime.now(UTC):%Y-%m-%d} {reason}".strip()


def _changed(options: Namespace, output: Output, number_list: NumberList, done: str, numbers: list[str]) -> int:
    """Tells what was done, and brings it into force where a proxy runs."""
    output.line(f"{done} {', '.join(numbers)} ({number_list.file})" if numbers else f"nothing {done}")
    accepted, answer = True, None
    if numbers:
        try:
            accepted, answer = ask_to_reload(options)
        except NotRunning:
            output.line("callsieve is not running; it counts from the next start")
    output.document({"list": number_list.name, "file": number_list.file, done: numbers, "reload": answer})
    if answer is not None:
        tell_reload(accepted, answer, output)
    return ExitCode.OK if accepted else ExitCode.USAGE
