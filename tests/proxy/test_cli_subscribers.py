"""`callsieve subscriber`: shown is what was set, files are read whole, and mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._subscribers import Preferences
from engine.subscriber_file import preferences_of, texts_of
from proxy.cli import main

CALLEE = "+8613800138000"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "callsieve.toml"
    path.write_text("[node]\nstate_dir = \"state\"\n[capacity]\nreputation = 1024\nrate_limiter = 1024\npairs = 1024\n")
    return path


def told(config: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    code = main(["--config", str(config), "--json", "subscriber", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_shown_is_what_was_set(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(config, capsys, "show", CALLEE)[0] == 1
    assert told(config, capsys, "set", CALLEE, "--refuse", "resale fraud do-not-call", "--quiet", "22:00-07:30")[0] == 0
    told(config, capsys, "set", CALLEE, "--bursts", "1", "--deny", "+86170*", "--consent", "CN:95071666")
    code, shown = told(config, capsys, "show", CALLEE, "+86170*", "CN:95071666", "CN:95588")
    own = shown.pop("own")
    assert (code, shown) == (
        0,
        {"number": CALLEE, "refuse": "resale fraud do-not-call", "quiet": "22:00-07:30", "bursts": "1"},
    )
    assert [(name, [key for key, value in says.items() if value]) for name, says in own.items()] == [  # type: ignore[attr-defined]
        ("+86170*", ["deny"]),
        ("CN:95071666", ["consent"]),
        ("CN:95588", []),
    ]
    told(config, capsys, "set", CALLEE, "--refuse", "", "--quiet", "", "--bursts", "", "--forget", "+86170*")
    assert told(config, capsys, "show", CALLEE, "+86170*")[0] == 1


@pytest.mark.parametrize("replace", [[], ["--replace"]])
def test_a_file_is_read_whole(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], replace: list[str]
) -> None:
    rows = [f"+8613{n:09},{'resale' if n % 2 else 'fraud'},," for n in range(20_000)]
    lines = ["number,refuse,quiet,bursts", "# all", *rows, "CN:95588,sales", ""]
    (tmp_path / "wishes.csv").write_text("\n".join(lines))
    told(config, capsys, "set", "+8613000000001", "--deny", CALLEE)
    code, told_ = told(config, capsys, "import", *replace, str(tmp_path / "wishes.csv"))
    assert (code, told_["subscribers"], told_["faulty"]) == (0, 20_001, 0)
    assert told(config, capsys, "show", "+8613000000001")[1]["refuse"] == "resale"
    assert told(config, capsys, "show", "+8613000019998")[1]["refuse"] == "fraud"
    assert told(config, capsys, "show", "CN:95588")[1]["refuse"] == "sales"


def test_bad_lines_are_named_and_the_rest_is_read(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = ["13800138000,resale", "+8613800138001,nonsense", "+1,,9:15-10:00", "+86138*,resale"]
    rows = ["+8613800138000,resale", *bad]
    (tmp_path / "wishes.csv").write_text("\n".join(rows))
    code, told_ = told(config, capsys, "import", str(tmp_path / "wishes.csv"))
    faults = told_["faults"]
    assert (code, told_["subscribers"], told_["faulty"]) == (1, 1, 4)
    assert [str(fault).split(":")[0] for fault in faults] == ["line 2", "line 3", "line 4", "line 5"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "arguments",
    [
        ("set", "13800138000", "--refuse", "resale"),
        ("set", CALLEE, "--refuse", "resales"),
        ("set", CALLEE, "--quiet", "22-7"),
        ("set", CALLEE, "--bursts", "4"),
        ("set", CALLEE, "--deny", "170"),
        ("set", CALLEE, "--deny", "+86170*", "--until", "soon"),
        ("show", "+86138*"),
    ],
)
def test_mistakes_are_the_operators(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    code, told_ = told(config, capsys, *arguments)
    assert code == 2 and told_["error"]


@given(
    st.builds(
        Preferences,
        refused_categories=st.integers(0, 255).map(lambda bits: bits << 1),
        refused_segments=st.integers(0, 63),
        do_not_call=st.booleans(),
        high_frequency=st.sampled_from([None, 0, 1, 2, 3]),
        quiet=st.one_of(st.none(), st.tuples(st.integers(0, 47), st.integers(0, 47))),
    )
)
def test_texts_say_all_of_it(preferences: Preferences) -> None:
    assert preferences_of(*texts_of(preferences)) == preferences
