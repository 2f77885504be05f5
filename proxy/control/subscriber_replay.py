"""Subscribers' tables made again from the store, at every start: no change is lost with a table."""

from __future__ import annotations

import asyncio
from pathlib import Path

from engine._table import TableError
from engine.subscriber_file import preferences_of, texts_of
from engine.subscriber_import import NoRoom
from engine.subscribers import Subscribers
from engine.tables import Tables
from proxy.control.store_thread import StoreThread
from proxy.logs import Log

_AT_ONCE = 500
_RETRY_S = 1.0
_TRIES = 30


async def replay_subscribers(thread: StoreThread, directory: Path, log: Log) -> int:
    """How many subscribers had other words in the table. What has no room is logged and left."""
    kept = await thread.do(lambda store: (list(store.subscribers.wishes()), list(store.subscribers.entries())))
    wishes, entries = kept
    if not wishes and not entries:
        return 0
    tables = await _tables(directory)
    if tables is None:
        log.error("subscribers' changes are not in force: their tables cannot be opened", directory=str(directory))
        return 0
    subscribers, differed = Subscribers(tables), 0
    try:
        for at, one in enumerate(wishes):
            words = one.refuse, one.quiet, one.bursts
            if texts_of(subscribers.get(one.number)) != words:
                subscribers.set(one.number, preferences_of(*words))
                differed += 1
            if at % _AT_ONCE == 0:
                await asyncio.sleep(0)
        for at, each in enumerate(entries):
            subscribers.set_entry(each.number, each.caller, each.entry)
            if at % _AT_ONCE == 0:
                await asyncio.sleep(0)
    except (NoRoom, ValueError) as why:
        log.error("some changes of subscribers are stored and not in force", why=str(why))
    return differed


async def _tables(directory: Path) -> Tables | None:
    """The workers make them when they start."""
    for _ in range(_TRIES):
        try:
            return Tables.attach(directory)
        except (OSError, TableError):
            await asyncio.sleep(_RETRY_S)
    return None
