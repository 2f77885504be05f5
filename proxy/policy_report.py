"""What the decision log says of rules: how many calls each would have stopped or marked, and whose.

A rule in observe mode is counted for what it asked for itself, whatever became of the call; `enforced` counts what
decided instead. A line holds eight reasons at most, so that of a call with more the last ones are not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

Action = Literal["accept", "tag", "divert", "reject", "drop"]
STRENGTH: dict[str, int] = {"accept": 0, "tag": 1, "divert": 2, "reject": 3, "drop": 4}
PROGRESS_LINES = 10_000


class LoggedReason(msgspec.Struct, frozen=True):
    name: str
    points: int = 0
    asks: Action = "accept"
    observed: bool = False


class LoggedDecision(msgspec.Struct, frozen=True):
    """What a report reads of one line; time is ISO 8601 in UTC, and so sorts as text."""

    time: str
    caller: str
    action: Action
    rule: str | None = None
    observed: Action = "accept"
    observed_rule: str | None = None
    reasons: tuple[LoggedReason, ...] = ()


@dataclass(slots=True)
class RuleCount:
    """Calls of one rule. scored: those that it only gave points, `points` in all."""

    rule: str
    calls: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STRENGTH, 0))
    scored: int = 0
    points: int = 0
    callers: set[str] = field(default_factory=set)
    first: str = ""
    last: str = ""

    @property
    def stopped(self) -> int:
        return self.calls["reject"] + self.calls["drop"]

    def add(self, decision: LoggedDecision, action: str, points: int) -> None:
        self.calls[action] += 1
        self.scored += action == "accept"
        self.points += points
        self.callers.add(decision.caller)
        self.first = min(self.first or decision.time, decision.time)
        self.last = max(self.last, decision.time)


@dataclass(slots=True)
class Report:
    """lines: those in time; unreadable: lines that are no decisions, as the last one of a crash."""

    rules: dict[str, RuleCount] = field(default_factory=dict)
    lines: int = 0
    unreadable: int = 0
    first: str = ""
    last: str = ""

    def ordered(self) -> list[RuleCount]:
        """Whoever would stop most comes first."""
        return sorted(self.rules.values(), key=lambda each: (-each.stopped, -sum(each.calls.values()), each.rule))


def log_files(path: Path) -> list[Path]:
    """A log with what was rotated out of it, oldest first."""
    rotated = [each for each in path.parent.glob(f"{path.name}.*") if each.suffix[1:].isdigit()]
    rotated.sort(key=lambda each: -int(each.suffix[1:]))
    return [*rotated, *([path] if path.exists() else [])]


def read_report(
    files: Sequence[Path],
    *,
    since: str = "",
    enforced: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """since: ISO 8601 in UTC, "" = from the beginning. progress is told (bytes read, bytes in all). OSError."""
    report = Report()
    of_line = _enforced if enforced else _observed
    total = sum(path.stat().st_size for path in files)
    decode = msgspec.json.Decoder(LoggedDecision).decode
    for line, done in _lines(files):
        if progress is not None and (report.lines + report.unreadable) % PROGRESS_LINES == 0:
            progress(done, total)
        try:
            decision = decode(line)
        except msgspec.DecodeError:
            report.unreadable += 1
            continue
        if decision.time >= since:
            _count(report, decision, of_line(decision))
    return report


def _lines(files: Sequence[Path]) -> Iterator[tuple[bytes, int]]:
    done = 0
    for path in files:
        with path.open("rb") as file:
            for line in file:
                done += len(line)
                yield line, done


def _count(report: Report, decision: LoggedDecision, found: dict[str, tuple[str, int]]) -> None:
    report.lines += 1
    report.first = min(report.first or decision.time, decision.time)
    report.last = max(report.last, decision.time)
    for rule, (action, points) in found.items():
        report.rules.setdefault(rule, RuleCount(rule)).add(decision, action, points)


def _observed(decision: LoggedDecision) -> dict[str, tuple[str, int]]:
    """By rule: the action that it would have taken, and the points that it would have given."""
    found = {each.name: (str(each.asks), each.points) for each in decision.reasons if each.observed}
    if decision.observed_rule is not None:
        asked, points = found.get(decision.observed_rule, ("accept", 0))
        found[decision.observed_rule] = (max(asked, decision.observed, key=STRENGTH.__getitem__), points)
    return found


def _enforced(decision: LoggedDecision) -> dict[str, tuple[str, int]]:
    """By rule: the action, of the one that decided, and the points, of those that gave any."""
    given = [each for each in decision.reasons if each.points and not each.observed]
    found: dict[str, tuple[str, int]] = {each.name: ("accept", each.points) for each in given}
    if decision.rule is not None and decision.action != "accept":
        found[decision.rule] = (decision.action, found.get(decision.rule, ("", 0))[1])
    return found
