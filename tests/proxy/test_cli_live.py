"""explain and lookup on a node's live tables: the proxy is down, nothing is counted, nothing is made."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from engine import Attempt, Outcome, OutcomeKind, Screener, Tables, compile_policy
from proxy.cli import main
from proxy.config_load import load_configuration, policy_set
from proxy.state_directory import StateDirectory
from tests import policies

CONFIG = """
[node]
state_dir = "state"

[redress]
url = "https://redress.example.net/r"

[capacity]
reputation = 4096
rate_limiter = 4096

[[listener]]
name = "udp"
address = "192.0.2.10:5060"

[[trunk]]
name = "carrier"
sources = ["203.0.113.0/24"]
dial_plan = "cn"
policy = "default"
route = "softswitch"

[[trunk]]
name = "own"
sources = ["198.51.100.20"]
dial_plan = "cn"
policy = "default"
route = "softswitch"
screen = false

[[gateway]]
name = "softswitch"
targets = [{ address = "198.51.100.20" }]
""" + "".join(
    (
        policies.policy(),
        policies.deny_file(),
        policies.number_list("watched", "deny", "+86206666*", observe=True),
        policies.number_list("banks", "protected", "CN:95588"),
        policies.resale(60),
        policies.burst("burst", 2, 3600),
    )
)
DENIED = policies.LISTED
CLEAN = "+8613800138000"
CALLEE = "+862088886666"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "callsieve.toml"
    path.write_text(CONFIG)
    (tmp_path / "deny.txt").write_text(f"{DENIED}   # three complaints\n")
    monkeypatch.setenv("CALLSIEVE_CONFIG", str(path))
    return path


@pytest.fixture
def screener(config: Path) -> Screener:
    """What a worker would hold, with generation 1 in force."""
    loaded = load_configuration(config)
    state = StateDirectory(config.parent / "state")
    state.create()
    image = compile_policy(policy_set(loaded.configuration), base_dir=config.parent, generation=1)
    state.write_generation(1, loaded.configuration, image)
    state.activate(1)
    tables = Tables.open(state.tables, reputation=4096, rate_limiter=4096, half_life_days=14.0)
    return Screener(image, tables, state.node_key())


def now_us() -> int:
    return time.time_ns() // 1000


def json_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    exit_code = main([*arguments, "--json"])
    captured = capsys.readouterr()
    assert captured.err == ""
    return exit_code, json.loads(captured.out)


def explained(capsys: pytest.CaptureFixture[str], caller: str, *more: str) -> tuple[int, Any]:
    return json_of(capsys, "explain", "--from", caller, "--to", CALLEE, "--trunk", "carrier", *more)


class TestExplain:
    def test_before_the_first_start(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        exit_code, told = explained(capsys, DENIED)
        assert exit_code == 1
        assert (told["action"], told["status"], told["basis"], told["rule"]) == ("reject", 403, "policy", "deny")
        assert told["policy"] == "the files, not in force"
        assert not (config.parent / "state").exists()

    def test_a_clean_call(self, screener: Screener, capsys: pytest.CaptureFixture[str]) -> None:
        exit_code, told = explained(capsys, "013800138000")
        assert (exit_code, told["action"], told["policy"]) == (0, "accept", "generation 1")

    def test_the_files_may_be_asked_before_a_reload(
        self, config: Path, screener: Screener, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (config.parent / "deny.txt").write_text(f"{CLEAN}\n")
        assert explained(capsys, CLEAN)[1]["action"] == "accept"
        assert explained(capsys, CLEAN, "--files")[1]["action"] == "reject"

    def test_it_sees_what_the_workers_have_counted(
        self, screener: Screener, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for _ in range(2):
            screener.screen(Attempt(CLEAN, CALLEE, "carrier"), now_us())
        exit_code, told = explained(capsys, CLEAN)
        assert (exit_code, told["rule"], told["seen"]["limit burst"]) == (1, "burst", 0)

    def test_it_counts_nothing(self, screener: Screener, capsys: pytest.CaptureFixture[str]) -> None:
        for _ in range(5):
            assert explained(capsys, CLEAN)[1]["action"] == "accept"

    def test_tables_of_another_size_are_left_alone(
        self, config: Path, screener: Screener, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for _ in range(2):
            screener.screen(Attempt(CLEAN, CALLEE, "carrier"), now_us())
        config.write_text(CONFIG.replace("rate_limiter = 4096", "rate_limiter = 8192"))
        assert explained(capsys, CLEAN, "--files")[1]["rule"] == "burst"
        assert explained(capsys, CLEAN)[1]["rule"] == "burst"

    def test_what_only_observes_is_told(self, screener: Screener, capsys: pytest.CaptureFixture[str]) -> None:
        _, told = explained(capsys, "+862066667777")
        assert (told["action"], told["observed"]) == ("accept", "reject")
        assert main(["explain", "--from", "+862066667777", "--to", CALLEE, "--trunk", "carrier"]) == 0
        assert "observed  reject by watched, if it were enforced" in capsys.readouterr().out

    def test_a_trunk_that_is_not_screened(self, screener: Screener, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ("explain", "--from", DENIED, "--to", CALLEE, "--trunk", "own")
        exit_code, told = json_of(capsys, *arguments)
        assert (exit_code, told["screened"], told["action"]) == (0, False, "reject")

    def test_the_table_for_people(self, screener: Screener, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["explain", "--from", DENIED, "--to", "02088886666", "--trunk", "carrier"]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert [line.split(maxsplit=1) for line in lines[:7]] == [
            ["verdict", "reject 403"],
            ["basis", "policy"],
            ["rule", "deny"],
            ["score", "0 (tag from 500, reject from 800)"],
            ["caller", DENIED],
            ["callee", f"{CALLEE} (from '02088886666')"],
            ["trunk", "carrier"],
        ]
        assert not any(line.endswith(" ") for line in lines)

    @pytest.mark.parametrize("trunk", [(), ("--trunk", "nowhere")])
    def test_an_unknown_trunk(self, config: Path, capsys: pytest.CaptureFixture[str], trunk: tuple[str, ...]) -> None:
        assert main(["explain", "--from", CLEAN, "--to", CALLEE, *trunk]) == 2
        assert "known are carrier, own" in capsys.readouterr().err

    def test_a_number_that_is_none_is_an_answer(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        exit_code, told = explained(capsys, "not a number")
        assert (exit_code, told["caller"], told["basis"]) == (1, "invalid", "invalid")

    def test_a_broken_policy(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        config.write_text(CONFIG.replace("period_s = 3600", "period_s = 0"))
        assert main(["explain", "--from", CLEAN, "--to", CALLEE, "--trunk", "carrier"]) == 2
        assert f"error: {config}: limit[burst].period_s" in capsys.readouterr().err

    def test_a_torn_generation(self, config: Path, screener: Screener, capsys: pytest.CaptureFixture[str]) -> None:
        (config.parent / "state" / "generation-1" / "policy.img").write_bytes(b"torn")
        assert main(["explain", "--from", CLEAN, "--to", CALLEE, "--trunk", "carrier"]) == 4
        assert "generation-1 is not of this version" in capsys.readouterr().err


class TestLookup:
    def test_a_listed_number(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        exit_code, known = json_of(capsys, "lookup", DENIED)
        assert (exit_code, known["number"], known["reputation"]) == (0, DENIED, [])
        assert [(m["name"], m["says"], m["entry"], m["comment"], m["observe"]) for m in known["matches"]] == [
            ("deny", "deny", DENIED, "three complaints", False),
            ("watched", "deny", "+86206666*", "", True),
        ]
        assert not (config.parent / "state").exists()

    def test_a_prefix_rule(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        _, known = json_of(capsys, "lookup", "17012345678")
        (match,) = known["matches"]
        assert (match["kind"], match["name"], match["says"]) == ("prefix_rule", "resale", "score 60")

    @pytest.mark.parametrize("written", ["95588", "CN:95588", "+8695588"])
    def test_a_short_code(self, config: Path, capsys: pytest.CaptureFixture[str], written: str) -> None:
        exit_code, known = json_of(capsys, "lookup", written)
        assert (exit_code, known["number"]) == (0, "CN:95588")
        assert [match["name"] for match in known["matches"]] == ["banks"]

    def test_the_live_reputation(self, screener: Screener, capsys: pytest.CaptureFixture[str]) -> None:
        screener.observe(Outcome(CLEAN, CALLEE, "carrier", OutcomeKind.COMPLAINT), now_us())
        exit_code, known = json_of(capsys, "lookup", CLEAN)
        assert exit_code == 0
        of_number = known["reputation"][0]
        assert (of_number["of"], of_number["complaints"]) == (CLEAN, 1)
        assert 148 <= of_number["points"] <= 150
        assert known["reputation"][1]["of"] == "+86138001380*"

    def test_an_unknown_number(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["lookup", CLEAN]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines[:2] == [CLEAN, "class: mobile"]
        assert lines[2].startswith("pack: cn, as of 2023-03-31 (MIIT")
        assert lines[-1] == "no list, prefix rule or reputation names it"

    @pytest.mark.parametrize(
        ("written", "number_class", "pack", "carrier", "intl"),
        [
            ("95588", "svc95", "cn", "accept", "reject (dno)"),
            ("95071666", "cc95x", "cn", "tag", "reject (dno)"),
            ("17012345678", "mvno", "cn", "accept", "tag"),
            ("15412345678", "unallocated", "cn", "tag", "reject (invalid)"),
            ("110", "emergency", "cn", "own", "reject (dno)"),
            ("+12025551234", "foreign", "nanp", "tag", "accept"),
            ("+491701234567", "foreign", "de", "tag", "accept"),
            ("+499001234567", "foreign-premium", "de", "tag", "tag"),
            ("+2101234567", "invalid", None, "reject (invalid)", "reject (invalid)"),
        ],
    )
    def test_what_the_number_is(
        self,
        config: Path,
        capsys: pytest.CaptureFixture[str],
        written: str,
        number_class: str,
        pack: str | None,
        carrier: str,
        intl: str,
    ) -> None:
        _, known = json_of(capsys, "lookup", written)
        assert known["class"] == number_class
        assert (known["pack"] and known["pack"]["name"]) == pack
        assert (known["origin"]["carrier"], known["origin"]["intl"]) == (carrier, intl)

    def test_the_operators_own_origin_rules(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        row = '[[origin]]\nclass = "mobile"\ncarrier = "reject"\nbasis = "dno"\ntrunks = ["carrier"]\n'
        config.write_text(f"{CONFIG}\n{row}")
        _, known = json_of(capsys, "lookup", CLEAN)
        assert known["origin"]["carrier"] == "reject (dno)"
        _, known = json_of(capsys, "lookup", CLEAN, "--trunk", "own")
        assert known["origin"]["carrier"] == "accept"

    @pytest.mark.parametrize("written", ["hello", "", "1" * 30, "anonymous"])
    def test_no_number(self, config: Path, capsys: pytest.CaptureFixture[str], written: str) -> None:
        assert main(["lookup", written]) == 2
        assert "is no number of dial plan cn" in capsys.readouterr().err

    def test_an_unknown_trunk(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["lookup", CLEAN, "--trunk", "nowhere"]) == 2
        assert "known are carrier, own" in capsys.readouterr().err

    def test_a_table_that_is_none(self, screener: Screener, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (config.parent / "state" / "tables" / "reputation.tbl").write_bytes(b"torn")
        assert main(["lookup", CLEAN]) == 4
        assert "tables cannot be used: " in capsys.readouterr().err

    def test_what_the_system_refuses(
        self, screener: Screener, config: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table = config.parent / "state" / "tables" / "reputation.tbl"
        table.unlink()
        table.mkdir()
        assert main(["lookup", CLEAN]) == 4
        assert capsys.readouterr().err == f"callsieve: {table}: Is a directory\n"
