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
from rich.cells import cell_len
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from engine.config_errors import ConfigFinding

_SHOWN_AFTER_S = 1.0
_FRAMED_ROWS = 1000
_PIPE_COLUMNS = 1000  # in a pipe nothing is folded
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
        rows = [[name, str(value)] for name, value in facts.items() if value is not None]
        if self.as_json:
            return
        if not self._out.is_terminal:
            _print_columns(rows)
            return
        grid = Table.grid(padding=(0, 2))
        for name, value in rows:
            grid.add_row(Text(name, "dim"), Text(value, (styles or {}).get(name, "")))
        self._out.print(grid)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Framed on a terminal as long as somebody would read it, else plain columns."""
        if self.as_json:
            return
        cells = [["-" if value is None else str(value) for value in row] for row in rows]
        if not self._out.is_terminal or len(cells) > _FRAMED_ROWS:
            _print_columns([columns, *cells])
            return
        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(Text(column), overflow="fold")
        for row in cells:
            table.add_row(*map(Text, row))
        self._out.print(table)

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


def findings_document(findings: Iterable[ConfigFinding]) -> dict[str, list[dict[str, str]]]:
    """The findings as JSON has them, here and in the answer to a reload."""
    document: dict[str, list[dict[str, str]]] = {"errors": [], "warnings": []}
    for finding in findings:
        entry = {"file": finding.file, "key": finding.key, "why": finding.why}
        document[f"{finding.severity}s"].append(entry)
    return document


def _print_columns(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        print("  ".join(padded).rstrip())


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # for `proxy.cli` to end quietly


def _console(stream: TextIO) -> Console:
    return _Console(file=stream, highlight=False, width=None if stream.isatty() else _PIPE_COLUMNS)
