"""Subscribers' changes on their way: to the store first, by control if it is up, then to the tables."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing

import msgspec

from engine.subscriber_file import preferences_of
from engine.subscribers import Subscribers
from engine.tables import Tables
from proxy.cli_client import ControlClient, NotRunning
from proxy.cli_output import ExitCode, Failure
from proxy.control.store import FILE_NAME
from proxy.control.store_recovery import open_or_recover
from proxy.control.store_schema import StoreFault
from proxy.control.subscriber_store import OwnEntry, Wishes
from proxy.logs import open_log
from proxy.state_directory import StateDirectory


class SubscriberChange(msgspec.Struct, frozen=True):
    wishes: list[Wishes]
    entries: list[OwnEntry]


def keep_change(state: StateDirectory, change: SubscriberChange) -> None:
    """Returns once it is on the disk. Failure, in words, if it cannot be kept."""
    client = ControlClient(state.control_socket)
    try:
        http_status, answer = client.ask("POST", "/v1/subscribers", msgspec.to_builtins(change))
    except NotRunning:
        _keep_alone(state, change)
        return
    if http_status != 200:
        raise Failure(str(answer.get("error", f"callsieve answered {http_status}")), ExitCode.SYSTEM)


def apply_changes(tables: Tables, wishes: Iterable[Wishes], entries: Iterable[OwnEntry]) -> None:
    """Puts them into force: the next call meets them. ValueError, NoRoom."""
    subscribers = Subscribers(tables)
    for one in wishes:
        subscribers.set(one.number, preferences_of(one.refuse, one.quiet, one.bursts))
    for each in entries:
        subscribers.set_entry(each.number, each.caller, each.entry)
    subscribers.flush()


def _keep_alone(state: StateDirectory, change: SubscriberChange) -> None:
    """Nobody else has the store open."""
    try:
        with closing(open_or_recover(state.path / FILE_NAME, open_log("subscriber"))) as store, store.batch():
            store.subscribers.put(change.wishes, change.entries)
    except (StoreFault, OSError) as why:
        raise Failure(str(why), ExitCode.SYSTEM) from None
