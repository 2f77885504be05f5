"""H10: 1 M calls to emergency and never-block numbers, and of protected ones, by random policies: none rejected."""

from __future__ import annotations

from pathlib import Path

from engine import Screener
from engine.decision import Action, Attempt
from engine.policy import PolicyError, compile_policy
from tests.abuse.policy_fuzz import NOW_US, Call, PolicyFuzz
from tests.abuse.size import size

CALLS_A_POLICY = 2000
SECOND_US = 1_000_000


def compiled(fuzz: PolicyFuzz, directory: Path) -> Screener:
    """A screener by the next policy without errors; most have none."""
    for _ in range(50):
        try:
            image = compile_policy(fuzz.policy(), base_dir=directory, generation=1)
        except PolicyError:
            continue
        return Screener(image, fuzz.tables(directory / "tables"), bytes(16))
    raise AssertionError("fifty policies in a row do not compile")


def screened(screener: Screener, calls: list[Call], now_us: int) -> list[tuple[Call, Action]]:
    attempts = b"".join(screener.pack(call.attempt) for call in calls)
    verdicts = screener.unpack(screener.screen_batch(attempts, now_us))
    return [(call, verdict.action) for call, verdict in zip(calls, verdicts, strict=True)]


def test_h10_no_policy_rejects_a_spared_call(tmp_path: Path) -> None:
    policies = size(10, 500)
    rejected = 0
    for seed in range(policies):
        fuzz = PolicyFuzz(seed)
        screener = compiled(fuzz, tmp_path / str(seed))
        for turn in range(2):  # the second time all limits are used up, and callees have refused
            calls = [fuzz.call() for _ in range(CALLS_A_POLICY // 2)]
            for call, action in screened(screener, calls, NOW_US + turn * SECOND_US):
                mildest = Action.TAG if call.spared == "protected" else Action.ACCEPT
                explained = screener.explain(call.attempt, NOW_US) if action > mildest else None
                assert action <= mildest, (seed, call, explained)
        rejected += rejected_otherwise(screener, fuzz)
    assert rejected > policies * 20, "the policies reject nothing: this test could not fail"


def rejected_otherwise(screener: Screener, fuzz: PolicyFuzz) -> int:
    """How many of a hundred calls that nothing spares are rejected."""
    source = fuzz.random
    attempts = [
        Attempt(f"+{source.randrange(10**6, 10**14)}", "+862088887777", source.choice(fuzz.trunks).name)
        for _ in range(100)
    ]
    return sum(screener.screen(attempt, NOW_US).action >= Action.REJECT for attempt in attempts)
