"""What a command prints: tables for people, one JSON document for programs, findings and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from threading import Timer
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from proxy.config_errors import ConfigFinding

_SHOWN_AFTER_S = 1.0
# Wider than any table: in a pipe nothing is folded.
_PIPE_COLUMNS = 1000
_SEVERITY_STYLES = {"error": "bold red", "warning": "yellow"}


class ExitCode(IntEnum):
    """What scripts can rely on."""

    OK = 0
    NO = 1  # the answer is no: would be rejected, nothing known, findings, not in the list
    USAGE = 2  # usage or configuration
    NOT_RUNNING = 3
    SYSTEM = 4  # no permission, no space, port in use ...


class Failure(Exception):
    """A command that cannot do what it was asked; the text tells the operator why."""

    def __init__(self, why: str, exit_code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(why)
        self.exit_code = exit_code


class ProgressBar:
    """Called with (done, total), or not at all; appears on a terminal's stderr once the work has taken a second."""

    def __init__(self, description: str) -> None:
        self._progress = Progress(console=_console(sys.stderr), transient=True, disable=not sys.stderr.isatty())
        self._task = self._progress.add_task(description, total=None)
        self._appearance = Timer(_SHOWN_AFTER_S, self._progress.start)
        self._appearance.start()

    def __call__(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)

    def stop(self) -> None:
        self._appearance.cancel()
        self._appearance.join()
        self._progress.stop()


@contextmanager
def progress_bar(description: str) -> Iterator[ProgressBar]:
    bar = ProgressBar(description)
    try:
        yield bar
    finally:
        bar.stop()


class Output:
    """Where a command's result goes. With as_json, `document` alone writes to stdout; else everything but it does."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._out = _console(sys.stdout)
        self._err = _console(sys.stderr)

    def document(self, value: object) -> None:
        if self.as_json:
            print(json.dumps(value, ensure_ascii=False, indent=2))

    def line(self, text: str, style: str = "") -> None:
        if not self.as_json:
            self._out.print(Text(text, style), soft_wrap=True)

    def facts(self, facts: Mapping[str, object], styles: Mapping[str, str] | None = None) -> None:
        """Name and value, one a line; values that are None are left out."""
        grid = Table.grid(padding=(0, 2))
        for name, value in facts.items():
            if value is not None:
                grid.add_row(Text(name, "dim"), Text(str(value), (styles or {}).get(name, "")))
        self._print(grid)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Columns whose values are all numbers stand to the right."""
        cells = [list(row) for row in rows]
        table = Table(box=SIMPLE_HEAD if self._out.is_terminal else None, pad_edge=False, header_style="bold")
        for index, column in enumerate(columns):
            numeric = bool(cells) and all(isinstance(row[index], int | float) for row in cells)
            table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
        for row in cells:
            table.add_row(*(Text("-" if value is None else str(value)) for value in row))
        self._print(table)

    def findings(self, findings: Iterable[ConfigFinding]) -> None:
        """One line each, on stderr."""
        if self.as_json:
            return
        for finding in findings:
            text = Text.assemble((finding.severity, _SEVERITY_STYLES[finding.severity]), f": {finding}")
            self._err.print(text, soft_wrap=True)

    def failure(self, why: str, exit_code: ExitCode) -> None:
        self.document({"error": why, "exit_code": int(exit_code)})
        if not self.as_json:
            self._err.print(Text(f"callsieve: {why}"), soft_wrap=True)

    def _print(self, table: Table) -> None:
        if self.as_json:
            return
        if self._out.is_terminal:
            self._out.print(table)
            return
        with self._out.capture() as captured:
            self._out.print(table)
        for line in captured.get().splitlines():
            print(line.rstrip())


def findings_document(findings: Iterable[ConfigFinding]) -> dict[str, list[dict[str, str]]]:
    """The findings as JSON has them, here and in the answer to a reload."""
    document: dict[str, list[dict[str, str]]] = {"errors": [], "warnings": []}
    for finding in findings:
        entry = {"file": finding.file, "key": finding.key, "why": finding.why}
        document[f"{finding.severity}s"].append(entry)
    return document


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # for `proxy.cli` to end quietly


def _console(stream: TextIO) -> Console:
    return _Console(file=stream, highlight=False, width=None if stream.isatty() else _PIPE_COLUMNS)
