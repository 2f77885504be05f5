"""What a command prints, on a terminal and in a pipe."""

from __future__ import annotations

import io
import sys
import time

import pytest

from engine.config_errors import ConfigFinding
from proxy import cli_output
from proxy.cli_output import Output, progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_in_a_pipe_is_plain_columns(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=False)
    output.table(["name", "points"], [["x" * 300, 7], ["[bold]骚扰", None]])
    assert capsys.readouterr().out == f"{'name':300}  points\n{'x' * 300}  7\n[bold]骚扰{' ' * 290}  -\n"


def test_a_table_on_a_terminal_is_framed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    Output(as_json=False).table(["name"], [["[bold]y"]])
    assert "─" in sys.stdout.getvalue()
    assert "[bold]y" in sys.stdout.getvalue()


def test_a_long_table_is_never_framed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    Output(as_json=False).table(["number"], [[n] for n in range(100_000)])
    assert sys.stdout.getvalue().startswith("number\n0\n1\n")


def test_json_is_all_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=True)
    output.document({"label": "疑似骚扰"})
    output.line("more")
    output.facts({"a": 1})
    output.table(["a"], [[1]])
    output.findings([ConfigFinding("f", "k", "w")])
    assert capsys.readouterr() == ('{\n  "label": "疑似骚扰"\n}\n', "")


def test_without_json_there_is_no_document(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).document({"a": 1})
    assert capsys.readouterr().out == ""


def test_a_finding_is_one_line_whatever_its_length(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).findings([ConfigFinding("file", "list[deny].until", "why " * 60, "warning")])
    assert capsys.readouterr().err == f"warning: file: list[deny].until: {'why ' * 60}\n"


def test_progress_appears_when_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_output, "_SHOWN_AFTER_S", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar("compiling") as progress:
        progress(3, 4)
        until = time.monotonic() + 5
        while "compiling" not in sys.stderr.getvalue() and time.monotonic() < until:
            progress(3, 4)
    assert "75%" in sys.stderr.getvalue()


@pytest.mark.parametrize(("terminal", "shown_after_s"), [(Terminal(), 60.0), (io.StringIO(), 0.0)])
def test_no_progress_when_it_is_quick_or_nobody_looks(
    monkeypatch: pytest.MonkeyPatch, terminal: io.StringIO, shown_after_s: float
) -> None:
    monkeypatch.setattr(cli_output, "_SHOWN_AFTER_S", shown_after_s)
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_bar("compiling") as progress:
        progress(1, 2)
    assert terminal.getvalue().strip() == ""
