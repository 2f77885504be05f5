"""The clocks of a case, in working days: when it must have been forwarded, and when it must have been answered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class CaseClock:
    """forward_days: to forward a case in; answer_days: from there to its answer. Days are those of UTC."""

    forward_days: int
    answer_days: int
    holidays: frozenset[date]

    @classmethod
    def of(cls, forward_days: int, answer_days: int, holidays: Iterable[str]) -> CaseClock:
        """ValueError for a holiday that is no date."""
        return cls(forward_days, answer_days, frozenset(map(date.fromisoformat, holidays)))

    def forward_due(self, opened_us: int) -> date:
        return self._after(opened_us, self.forward_days)

    def answer_due(self, forwarded_us: int) -> date | None:
        """None for a case that was not forwarded."""
        return self._after(forwarded_us, self.answer_days) if forwarded_us else None

    def _after(self, from_us: int, working_days: int) -> date:
        """The last day of a term that begins on the next day."""
        day = datetime.fromtimestamp(from_us / 1_000_000, UTC).date()
        while working_days:
            day += timedelta(days=1)
            working_days -= day.weekday() < _SATURDAY and day not in self.holidays
        return day
