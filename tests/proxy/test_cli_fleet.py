"""`callsieve fleet` from beginning to revocation, without a running node."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.cli import main
from proxy.control.sync.trust import Role, open_bundle
from proxy.fleet_files import public_key


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def test_a_fleet_from_its_beginning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    office, branch = str(tmp_path / "office"), str(tmp_path / "branch")
    (tmp_path / "callsieve.toml").write_text(f'[node]\nstate_dir = "{tmp_path}"\n')
    config = ("--config", str(tmp_path / "callsieve.toml"))
    code, out, _ = run(capsys, "fleet", "init", "office", "--directory", office, "--json")
    root = json.loads(out)["fleet"]["root"]
    assert code == 0
    assert (tmp_path / "office" / "root.key").stat().st_mode & 0o777 == 0o600
    code, out, _ = run(capsys, "fleet", "join", "branch", "--directory", branch)
    request = out.strip()
    assert run(capsys, "fleet", "invite", request, "--directory", office, "--role", "proxy", *config)[0] == 0
    bundle_path = tmp_path / "office" / "trust.bundle"
    bundle = open_bundle(bundle_path.read_bytes(), public_key(root))
    assert [(member.name, member.index) for member in bundle.members] == [("office", 0), ("branch", 1)]
    assert bundle.members[1].roles == Role.PROXY
    taken_up = ("fleet", "join", "branch", "--directory", branch, "--invitation", str(bundle_path), "--root")
    code, _, err = run(capsys, *taken_up, "00" * 32)
    assert code == 2 and "root key" in err
    code, out, _ = run(capsys, *taken_up, root)
    assert code == 0 and f'root = "{root}"' in out
    assert run(capsys, "fleet", "revoke", "branch", "--directory", office, *config)[0] == 0
    assert open_bundle(bundle_path.read_bytes(), public_key(root)).revoked == (2,)
    code, _, err = run(capsys, "fleet", "revoke", "branch", "--directory", office, *config)
    assert code == 1 and "no member" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("init", "Head Office"), "is no name in a fleet"),
        (("invite", "branch:xyz"), "root.key cannot be read"),
        (("join", "b", "--invitation", "none.bundle", "--root", "00" * 32), "cannot be read"),
    ],
)
def test_mistakes_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    code, _, err = run(capsys, "fleet", *arguments, "--directory", str(tmp_path / "fleet"))
    assert code == 2 and said in err and "Traceback" not in err


def test_a_key_is_never_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("fleet", "init", "office", "--directory", str(tmp_path))
    assert run(capsys, *arguments)[0] == 0
    key = (tmp_path / "root.key").read_bytes()
    assert run(capsys, *arguments)[0] == 2
    assert (tmp_path / "root.key").read_bytes() == key
