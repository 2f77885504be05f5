"""Engine: one object for an embedder, the documented example, and what several processes share."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from engine import (
    Action,
    Attempt,
    Basis,
    Category,
    ConfigError,
    Engine,
    Outcome,
    OutcomeKind,
    PolicyImage,
    Preferences,
    TableSizes,
    Update,
)
from engine._subscribers import SubscriberTable
from engine.facade import REFRESH_US
from engine.number_words import number

ROOT = Path(__file__).parents[2]
NOW_US = 1_795_000_000_000_000
CALLER = "+8613800138000"
CALLEE = "02088886666"
SUBSCRIBER = "+862088886666"
SIZES = TableSizes(1024, 1024, 1024, 1024, 1024)
POLICY = {
    "trunk": [{"name": "carrier", "dial_plan": "cn", "policy": "standard", "class": "carrier"}],
    "policy": [{"name": "standard", "origin": "off"}],
    "limit": [{"name": "burst", "key": "caller", "calls": 3, "period_s": 60}],
    "reputation": {"refused_points": 400},
}
FILE = """\
[[trunk]]
name = "carrier"
dial_plan = "cn"
policy = "standard"
[[policy]]
name = "standard"
origin = "off"
[[list]]
name = "refused"
action = "deny"
numbers = ["{number}"]
"""


def attempt(caller: str = CALLER) -> Attempt:
    return Attempt(caller, CALLEE, "carrier")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine.open(POLICY, tmp_path / "state", sizes=SIZES)


def test_a_limit_is_counted_by_all_engines_of_a_directory(engine: Engine, tmp_path: Path) -> None:
    other = Engine.open(POLICY, tmp_path / "state", sizes=SIZES)
    actions = [each.screen(attempt(), NOW_US).action for each in (engine, other) * 3]
    assert actions == [Action.ACCEPT] * 3 + [Action.REJECT] * 3


def test_a_batch_is_decided_as_its_attempts_are(engine: Engine) -> None:
    verdicts = engine.screen_batch([attempt()] * 100, NOW_US)
    assert [verdict.action for verdict in verdicts] == [Action.ACCEPT] * 3 + [Action.REJECT] * 97
    assert verdicts[3].rule == "burst"


def test_what_calls_showed_counts_and_can_be_explained(engine: Engine) -> None:
    for _ in range(2):
        engine.observe(Outcome(CALLER, CALLEE, "carrier", OutcomeKind.REFUSED, status=603), NOW_US)
    explained = engine.explain(attempt(), NOW_US)
    assert explained == engine.explain(attempt(), NOW_US), "nothing is counted"
    assert ("subscriber-pair.points", 800) in explained.seen
    verdict = engine.screen(attempt(), NOW_US)
    assert (verdict.action, verdict.basis, verdict.status) == (Action.REJECT, Basis.SUBSCRIBER, 607)


def test_a_complaint_says_what_the_call_was_about(engine: Engine) -> None:
    complaint = Outcome(CALLER, CALLEE, "carrier", OutcomeKind.COMPLAINT, category=Category.FRAUD)
    engine.observe(complaint, NOW_US)
    known = engine.tables.reputation.read(number(CALLER), NOW_US)
    assert known is not None
    assert (known.complaints, known.category) == (1, Category.FRAUD)


def test_updates_of_others_are_applied(engine: Engine) -> None:
    updates = [
        Update(CALLER, points=300, complaint=True, category=Category.LOAN),
        Update("+86138001380*", points=50),
        Update("CN:95588", points=10, pinned=True),
    ]
    assert engine.apply(updates, NOW_US) == 3
    known = engine.tables.reputation.read(number(CALLER), NOW_US)
    assert known is not None
    assert (known.points, known.complaints, known.category) == (300, 1, Category.LOAN)
    seen = dict(engine.explain(attempt(), NOW_US).seen)
    assert seen["block-reputation.points"] == 50
    assert engine.apply([Update(CALLER, forget=True)], NOW_US) == 1
    assert engine.tables.reputation.read(number(CALLER), NOW_US) is None
    with pytest.raises(ValueError, match="'nobody'"):
        engine.apply([Update("nobody", points=1)], NOW_US)


def test_subscribers_say_what_they_want(engine: Engine) -> None:
    assert engine.subscribers.get(SUBSCRIBER) == Preferences()
    engine.subscribers.deny(SUBSCRIBER, CALLER)
    assert engine.screen(attempt(), NOW_US).status == 607
    engine.subscribers.allow(SUBSCRIBER, CALLER, until=date(2030, 1, 1))
    assert engine.screen(attempt(), NOW_US).rule == "subscriber-allow"
    engine.subscribers.set(SUBSCRIBER, Preferences(quiet=(0, 0)))
    engine.subscribers.consent(SUBSCRIBER, CALLER, categories=[Category.NONE, Category.DEBT])
    assert engine.screen(attempt(), NOW_US).action is Action.ACCEPT
    engine.subscribers.forget(SUBSCRIBER, CALLER)
    assert engine.explain(attempt(), NOW_US).verdict.rule == "subscriber-quiet-hours"
    engine.close()


@pytest.mark.parametrize("replace", [False, True])
def test_an_import_counts_in_every_engine_within_a_second(engine: Engine, tmp_path: Path, replace: bool) -> None:
    other = Engine.open(POLICY, tmp_path / "state", sizes=SIZES)
    assert other.screen(attempt(), NOW_US).action is Action.ACCEPT
    rows = tmp_path / "subscribers.csv"
    rows.write_text(f"number,refuse,quiet,bursts\n{SUBSCRIBER},,00:00-00:00,\nnonsense,,,\n")
    done = engine.subscribers.import_file(rows, replace=replace)
    assert (done.rows, done.faulty) == (1, 1)
    assert engine.subscribers.get(SUBSCRIBER).quiet == (0, 0)
    assert other.screen(attempt(), NOW_US + REFRESH_US).rule == "subscriber-quiet-hours"
    assert other.tables.reputation is not engine.tables.reputation
    assert not other.refresh(), "it has taken up what there was"


def test_a_new_table_that_cannot_be_used_leaves_the_old_one_in_force(engine: Engine) -> None:
    engine.subscribers.deny(SUBSCRIBER, CALLER)
    path = Path(engine.tables.subscribers.table.path)
    broken = path.with_name("broken")
    broken.write_bytes(b"no table")
    broken.replace(path)
    assert not engine.refresh()
    assert engine.screen(attempt(), NOW_US).status == 607


def test_a_table_that_is_gone_is_not_replaced(tmp_path: Path) -> None:
    table = SubscriberTable(tmp_path / "subscribers.tbl", 1024)
    assert not table.table.replaced
    (tmp_path / "subscribers.tbl").unlink()
    assert not table.table.replaced
    SubscriberTable(tmp_path / "subscribers.tbl", 1024)
    assert table.table.replaced


def test_a_reload_puts_the_file_as_it_stands_into_force_or_keeps_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "screening.toml"
    file.write_text(FILE.format(number=CALLER))
    engine = Engine.open(file, tmp_path / "state", sizes=SIZES)
    assert engine.screen(attempt(), NOW_US).rule == "refused"
    file.write_text(FILE.format(number="+8613800138001"))
    assert engine.reload() == engine.generation == 2
    assert engine.screen(attempt(), NOW_US).action is Action.ACCEPT
    file.write_text(FILE.format(number="nobody"))
    with pytest.raises(ConfigError) as refused:
        engine.reload()
    assert str(refused.value).startswith(f"{file}: list[refused].numbers: 'nobody' is no entry")
    assert engine.generation == 2
    assert engine.screen(attempt(), NOW_US).action is Action.ACCEPT


@pytest.mark.parametrize(
    ("more", "key", "why"),
    [
        ({"listener": []}, "listener", "unknown key"),
        ({"polcy": []}, "polcy", "did you mean 'policy'"),
        ({"trunk": [{"name": "carrier", "dial_plan": "cn"}]}, "trunk[carrier].policy", "is required"),
        ({"trunk": [{"name": "a", "dial_plan": "cn", "policy": "none"}]}, "trunk[a].policy", "none"),
        ({"include": ["missing.toml"]}, "include", "no file matches"),
    ],
)
def test_a_wrong_policy_is_named_with_key_and_why(tmp_path: Path, more: dict[str, object], key: str, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Engine.open(POLICY | more, tmp_path / "state", base_dir=tmp_path)
    assert [finding.key for finding in refused.value.findings] == [key]
    assert why in refused.value.findings[0].why
    assert refused.value.findings[0].file == str(tmp_path / "policy")


def test_a_policy_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        Engine.open(tmp_path / "nowhere.toml", tmp_path / "state")


def test_beside_a_node_its_policy_is_in_force_and_its_reload_taken_up(engine: Engine, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with pytest.raises(FileNotFoundError, match="holds no generation"):
        Engine.attach(state)

    def put_into_force(image: PolicyImage, generation: int) -> None:
        folder = state / f"generation-{generation}"
        folder.mkdir()
        image.write(folder / "policy.img")
        (state / "current").unlink(missing_ok=True)
        (state / "current").symlink_to(folder.name)

    put_into_force(engine.screener.image, 1)
    beside = Engine.attach(state)
    for _ in range(3):
        beside.screen(attempt(), NOW_US)
    assert engine.screen(attempt(), NOW_US).rule == "burst"
    document = POLICY | {"limit": []}
    renewed = Engine.open(document, tmp_path / "elsewhere", sizes=SIZES)
    renewed.reload()
    put_into_force(renewed.screener.image, 2)
    assert beside.screen(attempt(), NOW_US).rule == "burst"
    assert beside.screen(attempt(), NOW_US + REFRESH_US).action is Action.ACCEPT
    assert beside.generation == 2


def test_the_documented_example_runs_as_it_stands_without_the_proxy(tmp_path: Path) -> None:
    text = (ROOT / "docs/embedding.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (screening,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(program.splitlines()) < 20
    (tmp_path / "screening.toml").write_text(screening)
    shutil.copytree(ROOT / "conf/lists", tmp_path / "lists")
    shutil.copy(ROOT / "conf/policy.toml", tmp_path)
    without_proxy = "import sys\nsys.modules['proxy'] = None\n"
    (tmp_path / "program.py").write_text(without_proxy + program)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["ACCEPT None", "607"]
