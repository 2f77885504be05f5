"""`callsieve explain` on limits by source and by fingerprint: the counts of the sender that is asked about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.cli import main
from proxy.limit_subjects import request_subject, source_subject
from tests.proxy.test_plugin import CARRIER, CONFIGURATION, Setup, invite

LIMITS = """
[[limit]]
name = "sender"
key = "source"
calls = 2
period_s = 3600
observe = true
[[limit]]
name = "dialler"
key = "fingerprint"
calls = 3
period_s = 3600
observe = true
"""
OTHER_DIALLER = invite(more="User-Agent: other/1.0\r\n")


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    """Three calls have come from one address, two of them with the same dialler."""
    setup = Setup(tmp_path)
    setup.put_into_force(1, CONFIGURATION + LIMITS)
    monkeypatch.setenv("CALLSIEVE_CONFIG", str(setup.file))
    monkeypatch.setattr("proxy.cli_explain.now_us", setup.clock)
    (tmp_path / "invite.sip").write_bytes(invite())
    (tmp_path / "other.sip").write_bytes(OTHER_DIALLER)
    for message in (invite(), invite("+8613900139000"), OTHER_DIALLER):
        assert setup.plugin.judge(message, CARRIER) is not None
    return setup


def explained(capsys: pytest.CaptureFixture[str], *more: str) -> Any:
    call = ("--from", "+8613800138000", "--to", "+862088886666", "--trunk", "carrier")
    assert main(["explain", *call, *more, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_count_of_the_source_that_is_named(setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    told = explained(capsys, "--source", CARRIER[0])
    assert told["seen"]["limit sender"] == 0
    assert told["observed_rule"] == "sender"
    assert explained(capsys, "--source", "192.0.2.11")["seen"]["limit sender"] == 1


def test_the_count_of_the_request_that_is_shown(setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert setup.plugin.judge(OTHER_DIALLER, CARRIER) is not None
    seen = [
        explained(capsys, "--fingerprint", str(setup.file.parent / name))["seen"]["limit dialler"]
        for name in ("invite.sip", "other.sip")
    ]
    assert seen == [1, 0]


def test_what_is_not_named_is_said_to_be_left_out(setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    assert explained(capsys)["left_out"] == {"sender": "source", "dialler": "fingerprint"}
    assert explained(capsys, "--source", CARRIER[0])["left_out"] == {"dialler": "fingerprint"}
    call = ("--from", "+8613800138000", "--to", "+862088886666", "--trunk", "carrier")
    assert main(["explain", *call]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "limit sender counts by source, and no --source says whose count to look at" in out


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (("--source", "nowhere"), "--source: "),
        (("--fingerprint", "missing.sip"), "missing.sip cannot be read"),
        (("--fingerprint", "callsieve.toml"), "callsieve.toml holds no SIP request"),
    ],
)
def test_what_cannot_be_looked_up_is_named(
    setup: Setup,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[str, str],
    why: str,
) -> None:
    monkeypatch.chdir(setup.file.parent)
    assert main(["explain", "--from", "1", "--to", "2", "--trunk", "carrier", *more]) == 2
    assert why in capsys.readouterr().err


def test_subjects_are_the_workers_own() -> None:
    key = bytes(range(16))
    assert source_subject(key, "192.0.2.10") == source_subject(key, "192.0.2.10") != source_subject(key, "192.0.2.11")
    assert request_subject(key, invite()) == request_subject(key, invite("+8613900139000"))
    assert request_subject(key, invite()) != request_subject(key, OTHER_DIALLER)
    with pytest.raises(ValueError, match="request line"):
        request_subject(key, b"no request")
