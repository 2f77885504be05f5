"""The engine's live state: the memory-mapped tables that every process of a node shares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine._rate_limiter import RateLimiter
from engine._reputation import ReputationCache


@dataclass(frozen=True, slots=True)
class Tables:
    """reputation: what is known of numbers. rate_limiter: how often each has called."""

    reputation: ReputationCache
    rate_limiter: RateLimiter

    @classmethod
    def open(cls, directory: Path, *, reputation: int, rate_limiter: int, half_life_days: float) -> Tables:
        """Opens the tables in a directory, made where none fit. Sizes in records; OSError if there is no space."""
        directory.mkdir(parents=True, exist_ok=True)
        return cls(
            ReputationCache(directory / "reputation.tbl", reputation, half_life_days),
            RateLimiter(directory / "rate_limiter.tbl", rate_limiter),
        )
