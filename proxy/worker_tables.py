"""A worker's tables: opened once, and again where a bulk import has put a new file in the place of an old one."""

from __future__ import annotations

from engine._table import TableError
from engine.tables import Tables
from proxy.config import Configuration
from proxy.logs import Log
from proxy.state_directory import StateDirectory


class WorkerTables:
    def __init__(self, tables: Tables, log: Log) -> None:
        self.current = tables
        self._log = log
        self._refused = ""

    def reopen(self) -> bool:
        """Whether there were new files; one that cannot be used leaves the old one in force, and is logged once."""
        try:
            tables = self.current.reopened()
        except (OSError, TableError) as why:
            if str(why) != self._refused:
                self._refused = str(why)
                self._log.error("a new table cannot be used, the old one stays", why=self._refused)
            return False
        if tables is None:
            return False
        self.current, self._refused = tables, ""
        self._log.info("new tables")
        return True


def open_tables(state: StateDirectory, configuration: Configuration) -> Tables:
    """A node's tables in the sizes that are configured; OSError if there is no space."""
    capacity = configuration.capacity
    return Tables.open(
        state.tables,
        reputation=capacity.reputation,
        rate_limiter=capacity.rate_limiter,
        half_life_days=configuration.reputation.half_life_days,
        pairs=capacity.pairs,
        subscribers=capacity.subscribers,
        subscriber_lists=capacity.subscriber_lists,
        orders=capacity.orders,
    )
