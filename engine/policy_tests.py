"""The [[test]] cases of a policy: calls with the verdict that they must get, screened on empty tables."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from engine import rules
from engine._image import PolicyImage
from engine._screener import Screener
from engine.decision import Attempt, Verdict
from engine.lint import MICROSECONDS, Finding, error
from engine.tables import Tables

TABLE_RECORDS = 256


def run_tests(image: PolicyImage, cases: Sequence[rules.PolicyTest], now_us: int) -> Iterator[Finding]:
    """An error for each expectation that is not met. now_us: when the calls come that say nothing of it."""
    if not cases:
        return
    with tempfile.TemporaryDirectory(prefix="callsieve-test-") as directory:
        for case in cases:
            yield from _run(image, case, Path(directory) / case.name, now_us)


def _run(image: PolicyImage, case: rules.PolicyTest, directory: Path, now_us: int) -> Iterator[Finding]:
    key = f"test[{case.name}]"
    if case.trunk not in image.trunks:
        yield error(f"{key}.trunk", f"no trunk is called {case.trunk!r}")
        return
    try:
        when_us = now_us if case.at is None else _time_us(case.at)
    except ValueError:
        yield error(f"{key}.at", f"{case.at!r}: expected a time as 2026-11-22T09:30+08:00")
        return
    verdict = _screened(image, case, directory, when_us)
    found = {"action": verdict.action.name.lower(), "rule": verdict.rule, "status": verdict.status}
    for name, value in found.items():
        expected = getattr(case, name)
        if expected is not None and expected != value:
            yield error(f"{key}.{name}", f"expected {expected}, the policy says {_words(found)}")


def _words(found: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in found.items() if value)


def _screened(image: PolicyImage, case: rules.PolicyTest, directory: Path, when_us: int) -> Verdict:
    """The verdict on the last of `calls` such calls in the same second."""
    tables = Tables.open(
        directory,
        reputation=TABLE_RECORDS,
        rate_limiter=TABLE_RECORDS,
        half_life_days=1,
        pairs=TABLE_RECORDS,
        subscribers=TABLE_RECORDS,
        subscriber_lists=TABLE_RECORDS,
        orders=TABLE_RECORDS,
    )
    screener = Screener(image, tables, bytes(16))
    attempt = Attempt(case.caller, case.callee, case.trunk, privacy=case.privacy)
    for _ in range(case.calls - 1):
        screener.screen(attempt, when_us)
    return screener.screen(attempt, when_us)


def _time_us(text: str) -> int:
    """ISO 8601; without a zone it is UTC."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * MICROSECONDS
