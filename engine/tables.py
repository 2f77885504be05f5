"""The engine's live state: the memory-mapped tables that every process of a node shares."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeVar

from engine._orders import OrderTable
from engine._pairs import PairMemory
from engine._rate_limiter import RateLimiter
from engine._reputation import ReputationCache
from engine._shares import ShareTable
from engine._subscriber_lists import SubscriberLists
from engine._subscribers import SubscriberTable

_SMALL = 131_072
SHARES = 16_384  # four times what a node can have been lent at a time, and then some for limits
_T = TypeVar("_T", ReputationCache, RateLimiter, PairMemory, SubscriberTable, SubscriberLists, OrderTable, ShareTable)


@dataclass(frozen=True, slots=True)
class TableSizes:
    """Records of 16 bytes that each table has room for, rounded up as `Table` says."""

    reputation: int = 1_000_000
    rate_limiter: int = 1_000_000
    pairs: int = 262_144
    subscribers: int = _SMALL
    subscriber_lists: int = _SMALL
    orders: int = _SMALL


@dataclass(frozen=True, slots=True)
class Tables:
    """reputation: what is known of numbers. rate_limiter: how often each has called. pairs: whom a callee has refused.

    subscribers, subscriber_lists: what callees want refused, in general and of whom. orders: whom the operator has
    blocked or allowed meanwhile. shares: which part of a fleet's limits is this node's. One process writes these four.
    """

    reputation: ReputationCache
    rate_limiter: RateLimiter
    pairs: PairMemory
    subscribers: SubscriberTable
    subscriber_lists: SubscriberLists
    orders: OrderTable
    shares: ShareTable

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        reputation: int,
        rate_limiter: int,
        half_life_days: float,
        pairs: int = _SMALL,
        subscribers: int = _SMALL,
        subscriber_lists: int = _SMALL,
        orders: int = _SMALL,
    ) -> Tables:
        """Opens the tables in a directory, made where none fit. Sizes in records; OSError if there is no space."""
        directory.mkdir(parents=True, exist_ok=True)
        return cls(
            ReputationCache(directory / "reputation.tbl", reputation, half_life_days),
            RateLimiter(directory / "rate_limiter.tbl", rate_limiter),
            PairMemory(directory / "pairs.tbl", pairs),
            SubscriberTable(directory / "subscribers.tbl", subscribers),
            SubscriberLists(directory / "subscriber_lists.tbl", subscriber_lists),
            OrderTable(directory / "orders.tbl", orders),
            ShareTable(directory / "shares.tbl", SHARES),
        )

    @classmethod
    def attach(cls, directory: Path) -> Tables:
        """Opens the tables that are there as they are, and makes none; TableError or OSError if that fails."""
        return cls(
            ReputationCache.attach(directory / "reputation.tbl"),
            RateLimiter.attach(directory / "rate_limiter.tbl"),
            PairMemory.attach(directory / "pairs.tbl"),
            SubscriberTable.attach(directory / "subscribers.tbl"),
            SubscriberLists.attach(directory / "subscriber_lists.tbl"),
            OrderTable.attach(directory / "orders.tbl"),
            ShareTable.attach(directory / "shares.tbl"),
        )

    def reopened(self) -> Tables | None:
        """The tables with each file that a bulk import has put in the place of an old one; None if there is none.

        TableError or OSError if a new file cannot be used.
        """
        names = [each.name for each in fields(self) if getattr(self, each.name).table.replaced]
        opened = {name: _opened_again(getattr(self, name)) for name in names}
        return replace(self, **opened) if opened else None


def _opened_again(table: _T) -> _T:
    return type(table).attach(table.table.path)
