"""The command as a script sees it: output, exit codes, and no stack trace for an operator's mistake."""

from __future__ import annotations

import json
import os
import re
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from proxy import cli
from proxy.cli import main

CONFIG = """
[node]
state_dir = "state"

[redress]
url = "https://redress.example.net/r"

[[listener]]
name = "udp"
address = "192.0.2.10:5060"

[[trunk]]
name = "carrier"
sources = ["203.0.113.0/24"]
dial_plan = "cn"
policy = "default"
route = "softswitch"

[[gateway]]
name = "softswitch"
targets = [{ address = "198.51.100.20" }]

[[policy]]
name = "default"

[[list]]
name = "deny"
action = "deny"
numbers = ["+862066665555"]
file = "deny.txt"

[[list]]
name = "inline"
action = "tag"
numbers = ["+862066664444"]
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "callsieve.toml"
    path.write_text(CONFIG)
    (tmp_path / "deny.txt").write_text("+862066660000   # three complaints\n")
    (tmp_path / "state").mkdir()
    monkeypatch.setenv("CALLSIEVE_CONFIG", str(path))
    return path


@contextmanager
def running(state: Path, answers: dict[str, tuple[int, Any]]) -> Iterator[list[str]]:
    """Something that answers on control.sock; yields what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            status, body = answers[asked[-1]]
            data = json.dumps(body).encode() if not isinstance(body, bytes) else body
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def address_string(self) -> str:
            return "unix"

        def log_message(self, *_: object) -> None: ...

    with socketserver.UnixStreamServer(str(state / "control.sock"), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


RELOADED = {"POST /v1/reload": (200, {"generation": 8, "errors": [], "warnings": []})}
FINDING = {"file": "/etc/callsieve/policy.toml", "key": "list[deny].until", "why": "is no date"}
REFUSED = {"POST /v1/reload": (422, {"generation": 7, "errors": [FINDING], "warnings": []})}


def outcome(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    exit_code = main(arguments)
    captured = capsys.readouterr()
    return exit_code, captured.out, captured.err


def json_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    exit_code, out, err = outcome(capsys, *arguments, "--json")
    assert err == ""
    return exit_code, json.loads(out)


class TestCheck:
    def test_what_the_policy_must_do_and_does_not(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        case = '[[test]]\nname = "bad"\ncaller = "+862066660000"\ncallee = "+862088886666"\ntrunk = "carrier"\n'
        config.write_text(f'{CONFIG}\n{case}action = "reject"\nrule = "deny"\n')
        assert outcome(capsys, "check", str(config))[0] == 0
        config.write_text(f'{CONFIG}\n{case}action = "accept"\n')
        exit_code, _, err = outcome(capsys, "check", str(config))
        assert exit_code == 1 and "test[bad].action: expected accept, the policy says action reject" in err

    def test_clean(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        exit_code, out, err = outcome(capsys, "check", str(config))
        assert (exit_code, err) == (0, "")
        counted = "1 file, 1 trunk, 1 gateway, 2 lists, 0 prefix rules, 0 limits, 0 tests, 0 warnings"
        assert out == f"{config}: {counted}\n"

    def test_errors_one_a_line_with_file_key_and_why(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        config.write_text(CONFIG.replace('route = "softswitch"', 'route = "nowhere"'))
        exit_code, out, err = outcome(capsys, "check")
        assert (exit_code, out) == (1, "")
        assert (
            f"error: {config}: trunk[carrier].route: no [[gateway]] is named 'nowhere'; known are softswitch\n" in err
        )

    def test_json(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        config.write_text(CONFIG.replace("203.0.113.0/24", "0.0.0.0/0"))
        exit_code, document = json_of(capsys, "check", str(config))
        assert exit_code == 0
        assert document["errors"] == []
        (warning,) = document["warnings"]
        assert (warning["file"], warning["key"]) == (str(config), "trunk[carrier].sources[0]")

    def test_strict_makes_warnings_count(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        config.write_text(CONFIG.replace("203.0.113.0/24", "0.0.0.0/0"))
        assert outcome(capsys, "check", "--strict")[0] == 1

    def test_a_missing_file(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        exit_code, out, err = outcome(capsys, "check", "none.toml")
        assert (exit_code, out, err) == (2, "", "callsieve: none.toml is not there, or may not be read\n")

    def test_broken_toml(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        config.write_text("[node\n")
        exit_code, _, err = outcome(capsys, "check")
        assert exit_code == 1
        assert "at line 1" in err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"callsieve \d+\.\d+\.\d+(, a checkout)?\n", capsys.readouterr().out)


class TestReload:
    def test_accepted(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with running(config.parent / "state", RELOADED) as asked:
            assert outcome(capsys, "reload") == (0, "generation 8 is in force\n", "")
        assert asked == ["POST /v1/reload"]

    def test_refused(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with running(config.parent / "state", REFUSED):
            exit_code, out, err = outcome(capsys, "reload")
        assert (exit_code, out) == (2, "generation 7 stays in force: the change was refused\n")
        assert err == "error: /etc/callsieve/policy.toml: list[deny].until: is no date\n"

    def test_json(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with running(config.parent / "state", REFUSED):
            assert json_of(capsys, "reload") == (2, {"generation": 7, "errors": [FINDING], "warnings": []})

    def test_not_running(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        exit_code, out, err = outcome(capsys, "reload")
        assert (exit_code, out) == (3, "")
        assert "callsieve is not running" in err

    def test_not_running_any_more(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with socket.socket(socket.AF_UNIX) as left_over:
            left_over.bind(str(config.parent / "state" / "control.sock"))
        assert json_of(capsys, "reload")[0] == 3

    @pytest.mark.parametrize("answer", [(200, b"no json"), (500, b"{}")])
    def test_nonsense(self, config: Path, capsys: pytest.CaptureFixture[str], answer: tuple[int, bytes]) -> None:
        with running(config.parent / "state", {"POST /v1/reload": answer}):
            exit_code, _, err = outcome(capsys, "reload")
        assert exit_code in (3, 4)
        assert err.startswith("callsieve: callsieve ")

    def test_a_mistake_in_the_policy_is_left_to_the_running_proxy(
        self, config: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config.write_text(CONFIG.replace('policy = "default"', 'policy = "nowhere"'))
        with running(config.parent / "state", REFUSED):
            assert outcome(capsys, "reload")[0] == 2


class TestStatus:
    ANSWER: dict[str, Any] = {  # noqa: RUF012
        "node": "edge-1",
        "healthy": True,
        "generation": 8,
        "loaded_at_s": 1795364913.408,
        "reloads": {"success": 1, "failure": 0},
        "workers": [
            {"worker": 0, "pid": 11, "targets": [{"gateway": 0, "up": True}]},
            {"worker": 1, "pid": 12, "targets": []},
        ],
    }

    def test_table(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with running(config.parent / "state", {"GET /v1/status": (200, self.ANSWER)}):
            exit_code, out, _ = outcome(capsys, "status")
        assert exit_code == 0
        assert [line.split() for line in out.splitlines()] == [
            ["node", "edge-1"],
            ["healthy", "True"],
            ["generation", "8"],
            ["loaded_at", "2026-11-22", "16:28:33", "UTC"],
            ["reloads", "success=1", "failure=0"],
            [],
            ["worker", "pid", "targets"],
            ["0", "11", "gateway=0", "up=True"],
            ["1", "12", "-"],
        ]

    def test_json(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with running(config.parent / "state", {"GET /v1/status": (200, self.ANSWER)}):
            assert json_of(capsys, "status") == (0, self.ANSWER)

    def test_degraded(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        degraded = self.ANSWER | {"healthy": False}
        with running(config.parent / "state", {"GET /v1/status": (200, degraded)}):
            assert json_of(capsys, "status") == (1, degraded)

    def test_not_running(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        exit_code, document = json_of(capsys, "status")
        assert exit_code == document["exit_code"] == 3


class TestList:
    def test_show(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        exit_code, out, _ = outcome(capsys, "list", "show", "deny")
        assert exit_code == 0
        assert [line.split()[0] for line in out.splitlines()] == ["number", "+862066665555", "+862066660000"]
        assert "three complaints" in out

    def test_show_one(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        exit_code, document = json_of(capsys, "list", "show", "deny", "+862066660000")
        assert exit_code == 0
        where = str(config.parent / "deny.txt")
        entry = {"number": "+862066660000", "comment": "three complaints", "where": where}
        assert document == {"list": "deny", "action": "deny", "entries": [entry]}

    def test_show_one_that_is_not_there(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert outcome(capsys, "list", "show", "deny", "+862066669999") == (1, "deny holds none of these\n", "")

    def test_add_reloads_a_running_proxy(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with running(config.parent / "state", RELOADED) as asked:
            exit_code, document = json_of(capsys, "list", "add", "deny", "+862066660007", "--reason", "rang all night")
        assert (exit_code, asked) == (0, ["POST /v1/reload"])
        assert (document["added"], document["reload"]["generation"]) == (["+862066660007"], 8)
        assert (config.parent / "deny.txt").read_text().endswith("rang all night\n")

    def test_add_without_a_running_proxy(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        exit_code, out, err = outcome(capsys, "list", "add", "deny", "+862066660007")
        assert (exit_code, err) == (0, "")
        assert out.splitlines()[0] == f"added +862066660007 ({config.parent / 'deny.txt'})"
        assert "not running" in out

    def test_add_what_is_there_changes_nothing(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with running(config.parent / "state", RELOADED) as asked:
            assert outcome(capsys, "list", "add", "deny", "+862066660000") == (0, "nothing added\n", "")
        assert asked == []

    def test_remove(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with running(config.parent / "state", RELOADED) as asked:
            exit_code, out, _ = outcome(capsys, "list", "remove", "deny", "+862066660000")
        assert (exit_code, asked) == (0, ["POST /v1/reload"])
        assert "generation 8 is in force" in out
        assert (config.parent / "deny.txt").read_text() == ""

    def test_remove_what_is_not_there(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert outcome(capsys, "list", "remove", "deny", "+862066669999") == (1, "nothing removed\n", "")

    def test_a_refused_reload_is_told(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with running(config.parent / "state", REFUSED):
            exit_code, out, err = outcome(capsys, "list", "add", "deny", "+862066660007")
        assert exit_code == 2
        assert "stays in force" in out
        assert "list[deny].until" in err

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (("show", "nolist"), "known are deny, inline"),
            (("add", "inline", "+862066660007"), "inline has no file"),
            (("add", "deny", "13800138000"), "is no number: write +8613800138000"),
            (("add", "deny", "+862066660007", "--reason", "a\n+8613800138000"), "one line"),
        ],
    )
    def test_mistakes(
        self, config: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], why: str
    ) -> None:
        exit_code, out, err = outcome(capsys, "list", *arguments)
        assert (exit_code, out) == (2, "")
        assert why in err
        assert (config.parent / "deny.txt").read_text() == "+862066660000   # three complaints\n"

    def test_a_file_that_is_not_there(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (config.parent / "deny.txt").unlink()
        exit_code, _, err = outcome(capsys, "list", "add", "deny", "+862066660007")
        assert (exit_code, err) == (4, f"callsieve: {config.parent / 'deny.txt'}: No such file or directory\n")


class TestUsage:
    @pytest.mark.parametrize("command", ["run", "check", "reload", "status", "explain", "lookup", "list", "list add"])
    def test_help_has_examples(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as done:
            main([*command.split(), "--help"])
        assert done.value.code == 0
        assert f"  callsieve {command}" in capsys.readouterr().out.partition("examples:")[2]

    def test_help_tells_the_exit_codes(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["--help"])
        assert "  3  callsieve is not running" in capsys.readouterr().out

    @pytest.mark.parametrize("arguments", [[], ["nonsense"], ["reload", "more"], ["list"], ["explain", "--from", "1"]])
    def test_wrong_usage(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as refused:
            main(arguments)
        assert refused.value.code == 2
        assert "usage: callsieve" in capsys.readouterr().err

    def test_options_stand_before_or_after_the_command(
        self, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("CALLSIEVE_CONFIG")
        before = outcome(capsys, "--config", str(config), "--json", "check")
        assert before == outcome(capsys, "check", "--config", str(config), "--json")
        assert before[0] == 0
        assert json.loads(before[1]) == {"errors": [], "warnings": []}

    def test_the_usual_places(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CALLSIEVE_CONFIG", raising=False)
        monkeypatch.chdir(tmp_path)
        assert cli.default_configuration() == Path("/etc/callsieve/callsieve.toml")
        (tmp_path / "callsieve.toml").touch()
        assert cli.default_configuration() == Path("callsieve.toml")
        monkeypatch.setenv("CALLSIEVE_CONFIG", "/else/where.toml")
        assert cli.default_configuration() == Path("/else/where.toml")

    def test_a_configuration_that_cannot_be_read(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        exit_code, out, err = outcome(capsys, "--config", str(tmp_path), "status")
        assert (exit_code, out) == (2, "")
        assert err == f"error: {tmp_path}: cannot be read: Is a directory\n"

    def test_a_reader_that_has_seen_enough(self, config: Path) -> None:
        command = [sys.executable, "-m", "proxy.cli", "list", "show", "deny"]
        (config.parent / "deny.txt").write_text("".join(f"+8620{n:08}\n" for n in range(20_000)))
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ) as shown:
            assert shown.stdout is not None and shown.stderr is not None
            shown.stdout.readline()
            shown.stdout.close()
            assert shown.stderr.read() == b""
        assert shown.returncode == 0


class TestLoad:
    def test_arguments_are_handed_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = []

        class Harness:
            @staticmethod
            def main(arguments: list[str]) -> int:
                seen.append(arguments)
                return 0

        monkeypatch.setitem(sys.modules, "tests.load.cli", Harness)
        assert main(["load", "--rate", "100", "--help"]) == 0
        assert seen == [["--rate", "100", "--help"]]

    def test_not_installed(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setitem(sys.modules, "tests.load.cli", None)
        exit_code, _, err = outcome(capsys, "load")
        assert exit_code == 2
        assert "not installed" in err
