"""Engine: policy, tables and screener behind one object, for a program that places or forwards calls itself.

    with Engine.open("screening.toml", "/var/lib/callsieve") as engine:
        verdict = engine.screen(Attempt("+8613800138000", "02088886666", "carrier"), now_us)

No clock inside: now_us is Unix time in microseconds. One thread at a time uses an Engine. Any number of processes may
have one on the same state directory, beside a running node or without: they share reputation, limits and wishes, each
change at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from engine._screener import Screener
from engine._table import TableError
from engine.decision import Attempt, Explanation, Outcome, Verdict
from engine.policy_source import NodePolicy, PolicySource, WrittenPolicy
from engine.state_directory import EngineDirectory
from engine.subscribers import Subscribers
from engine.tables import Tables, TableSizes
from engine.updates import Update, apply_updates

REFRESH_US = 1_000_000  # how often it is looked whether files have been replaced


class Engine:
    """Made by `open` or `attach`."""

    def __init__(self, policy: PolicySource, tables: Tables, node_key: bytes) -> None:
        self._policy = policy
        self._tables = tables
        self._node_key = node_key
        self._screener = Screener(policy.compile(), tables, node_key)
        self._refreshed_us = 0

    @classmethod
    def open(
        cls,
        policy: Path | str | Mapping[str, object],
        state_dir: Path | str,
        *,
        sizes: TableSizes | None = None,
        base_dir: Path | str = ".",
    ) -> Engine:
        """An engine with a policy of its own.

        policy: a TOML file such as conf/policy.toml with the [[trunk]]s that it is for, or what such a file would hold;
        base_dir: what paths in a mapping are relative to. state_dir: made if it is not there; sizes count only for
        tables that have to be made. ConfigError (file, key and why) for the policy, OSError for the directory.
        """
        source = WrittenPolicy(policy, Path(base_dir))
        directory = EngineDirectory(Path(state_dir))
        directory.create()
        tables = _open_tables(directory.tables, sizes or TableSizes(), source.half_life_days)
        return cls(source, tables, directory.node_key())

    @classmethod
    def attach(cls, state_dir: Path | str) -> Engine:
        """An engine beside a running node: its policy in force, changed when the node reloads, and its tables.

        OSError or ValueError, with the file, if no node has run there or its files are of another version.
        """
        directory = EngineDirectory(Path(state_dir))
        return cls(NodePolicy(directory), Tables.attach(directory.tables), directory.node_key())

    # --- calls -------------------------------------------------------------------------------------------------------

    def screen(self, attempt: Attempt, now_us: int) -> Verdict:
        """Decides and counts one call attempt, told once. ValueError if the policy has no such trunk."""
        self._refresh_now_and_then(now_us)
        return self._screener.screen(attempt, now_us)

    def screen_batch(self, attempts: Sequence[Attempt], now_us: int) -> list[Verdict]:
        """`screen` for each, in their order; memory is fetched for 64 of them at once."""
        self._refresh_now_and_then(now_us)
        packed = b"".join(map(self._screener.pack, attempts))
        return self._screener.unpack(self._screener.screen_batch(packed, now_us))

    def observe(self, outcome: Outcome, now_us: int) -> None:
        """Learns from all that a call showed: when it was answered, when it was over, refused or complained of."""
        self._refresh_now_and_then(now_us)
        self._screener.observe(outcome, now_us)

    def explain(self, attempt: Attempt, now_us: int) -> Explanation:
        """The verdict that `screen` would give, with every reason and all that was looked at; nothing is counted."""
        self._refresh_now_and_then(now_us)
        return self._screener.explain(attempt, now_us)

    # --- state -------------------------------------------------------------------------------------------------------

    def apply(self, updates: Iterable[Update], now_us: int) -> int:
        """What operators, imports and other nodes know of numbers; how many. ValueError for what is no number."""
        return apply_updates(self._tables.reputation, updates, now_us)

    @property
    def subscribers(self) -> Subscribers:
        """What subscribers want: preferences, own entries, consent. One process changes them at a time."""
        self.refresh()
        return Subscribers(self._tables)

    @property
    def tables(self) -> Tables:
        return self._tables

    @property
    def screener(self) -> Screener:
        """The one in force; another after a reload or a bulk import."""
        return self._screener

    @property
    def generation(self) -> int:
        """Of the policy in force: 1 and on, or the node's."""
        return self._screener.image.generation

    def reload(self) -> int:
        """Compiles the policy anew and puts it into force; its generation. ConfigError: the old one stays in force."""
        self._screener = Screener(self._policy.compile(), self._tables, self._node_key)
        return self.generation

    def refresh(self) -> bool:
        """Takes up what others have replaced, a node's reload or a bulk import of subscribers; whether there was any.

        `screen` and the like do so once a second by themselves. A file that cannot be used leaves the old one in force.
        """
        renewed = False
        with suppress(OSError, TableError):
            tables = self._tables.reopened()
            if tables is not None:
                self._tables, renewed = tables, True
        image = self._policy.newer(self.generation)
        if renewed or image is not None:
            self._screener = Screener(image or self._screener.image, self._tables, self._node_key)
        return renewed or image is not None

    def close(self) -> None:
        """Waits until what subscribers want is on the disk; the tables themselves outlive the process."""
        self.subscribers.flush()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refresh_now_and_then(self, now_us: int) -> None:
        if abs(now_us - self._refreshed_us) >= REFRESH_US:
            self._refreshed_us = now_us
            self.refresh()


def _open_tables(directory: Path, sizes: TableSizes, half_life_days: float) -> Tables:
    """Those that are there, whatever their sizes; what is missing or unreadable is made."""
    try:
        return Tables.attach(directory)
    except (TableError, FileNotFoundError):
        return Tables.open(directory, half_life_days=half_life_days, **asdict(sizes))
