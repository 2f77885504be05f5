"""`callsieve policy report`: calls screened by a core, written to the decision log, and summed up by rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.cli import main
from proxy.event_lines import EventNames, write_decisions
from proxy.policy_report import log_files
from tests.proxy.messages import request
from tests.proxy.playbook import CONFIGURATION, Play

WATCHED = (
    CONFIGURATION
    + """
[[list]]
name = "new-list"
action = "deny"
numbers = ["+8613800138001"]
observe = true

[[rule]]
name = "resale"
classes = ["mvno"]
outcome = "tag"
observe = true

[[prefix_rule]]
name = "points"
prefixes = ["+86170"]
points = 600
observe = true
"""
)
CALLERS = ["+8613800138001"] * 3 + ["+8617012345678", "+8617012345679", "+862066660000", "+8616512345678"]


def written(directory: Path, text: str = WATCHED) -> Path:
    """The decision log of these calls, one a second."""
    play = Play(text)
    book = EventNames("node")
    trunks, gateways = ([each.name for each in rows] for rows in (play.routing.trunks, play.routing.gateways))
    out = bytearray()
    for number, caller in enumerate(CALLERS):
        play.receive(request(caller=caller, branch=f"z9hG4bK-{number}", call_id=f"{number}@x"))
        play.wait(1)
        image = play.image
        book.add(1, trunks=trunks, gateways=gateways, rules=image.rules, reasons=image.reasons, labels=image.labels)
        write_decisions(play.events(), book, out)
    path = directory / "decisions.jsonl"
    path.write_bytes(out)
    return path


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["policy", "report", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_each_observing_rule_is_counted_for_what_it_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = report(capsys, str(written(tmp_path)))
    assert (found["mode"], found["decisions"], found["unreadable"]) == ("observed", 7, 0)
    rows = {row["rule"]: row for row in found["rules"]}
    assert list(rows) == ["new-list", "resale", "points"]
    assert {key: rows["new-list"][key] for key in ("rejected", "tagged", "callers")} == {
        "rejected": 3, "tagged": 0, "callers": 1,
    }
    assert [rows["new-list"][key][-9:-1] for key in ("first", "last")] != ["", ""]
    assert rows["new-list"]["first"] < rows["new-list"]["last"] < rows["resale"]["last"]
    assert (rows["resale"]["tagged"], rows["resale"]["callers"]) == (3, 3)
    assert (rows["points"]["scored"], rows["points"]["points"]) == (2, 1200)


def test_enforced_tells_what_rules_in_force_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, "--enforced", str(written(tmp_path)))
    assert {row["rule"]: (row["rejected"], row["tagged"]) for row in found["rules"]} == {
        "deny": (1, 0), "suspected": (0, 1),
    }


def test_a_policy_that_observes_is_told_by_the_rules_that_would_have_decided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = WATCHED.replace('anonymous = "tag"', 'anonymous = "tag"\nobserve = true')
    found = report(capsys, str(written(tmp_path, text)))
    rows = {row["rule"]: (row["rejected"], row["tagged"]) for row in found["rules"]}
    assert rows["deny"] == (1, 0) and rows["suspected"] == (0, 1) and rows["new-list"] == (3, 0)


def test_rotated_logs_are_read_oldest_first(tmp_path: Path) -> None:
    for end in ("", ".1", ".10", ".2", ".gz"):
        (tmp_path / f"decisions.jsonl{end}").write_bytes(b"")
    names = [path.name for path in log_files(tmp_path / "decisions.jsonl")]
    assert names == ["decisions.jsonl.10", "decisions.jsonl.2", "decisions.jsonl.1", "decisions.jsonl"]


def test_a_torn_line_is_counted_and_the_rest_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:-40] + b"\n{}\n\xff\n")
    found = report(capsys, str(path))
    assert (found["decisions"], found["unreadable"]) == (6, 3)


def test_since_leaves_out_what_is_older(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path)
    last = report(capsys, str(path))["last"]
    assert report(capsys, str(path), "--since", last[:19])["decisions"] == 1
    assert report(capsys, str(path), "--since", "2030-01-01")["rules"] == []
    assert main(["policy", "report", str(path), "--since", "yesterday"]) == 2
    assert "expected a date" in capsys.readouterr().err


def test_the_table_is_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "report", str(written(tmp_path))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("what rules in observe mode would have done: 7 decisions in 1 file, ")
    assert lines[2].split() == [
        "rule", "rejected", "dropped", "diverted", "tagged", "scored", "points", "callers", "first", "last",
    ]
    assert lines[3].split()[:2] == ["new-list", "3"]


def test_a_log_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "callsieve.toml"
    config.write_text('[node]\nstate_dir = "state"\n')
    assert main(["policy", "report", "--config", str(config)]) == 2
    assert f"{tmp_path}/state/decisions.jsonl: there is no decision log" in capsys.readouterr().err
    assert main(["policy", "report", str(tmp_path / "none.jsonl")]) == 4
    assert "No such file" in capsys.readouterr().err
