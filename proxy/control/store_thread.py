"""The thread that alone uses the store: whoever asks while it writes shares the next transaction with the others.

A slow disk holds up those who ask and nobody else. What the disk does not take is refused in words, never acknowledged.
"""

from __future__ import annotations

import asyncio
import errno
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from proxy.control.store import Store
from proxy.control.store_schema import StoreFault
from proxy.logs import Log

Result = TypeVar("Result")

_BATCH = 256
MOST_WAITING = 10_000


class StoreUnavailable(Exception):
    """Nothing was stored; the text says why. full: for want of room."""

    def __init__(self, why: str, *, full: bool = False) -> None:
        super().__init__(why)
        self.full = full


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    run: Callable[[Store], Any]
    done: Future[Any]


class StoreThread:
    """open_store: called in the thread, again and again until it succeeds. failing: the last batch was not stored."""

    def __init__(self, open_store: Callable[[], Store], log: Log) -> None:
        self._open = open_store
        self._store: Store | None = None
        self._log = log
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="store", daemon=True)
        self.batches = 0
        self.refused = 0
        self.failing = False
        self._thread.start()

    @property
    def waiting(self) -> int:
        return self._queue.qsize()

    async def do(self, run: Callable[[Store], Result]) -> Result:
        """What `run` returns, once all that it changed is on the disk. StoreUnavailable, or what `run` raises."""
        if self._queue.qsize() >= MOST_WAITING:
            raise StoreUnavailable("the disk is too slow: too much waits to be stored")
        done: Future[Result] = Future()
        self._queue.put(_Work(run, done))
        return await asyncio.wrap_future(done)

    def close(self, timeout_s: float = 5.0) -> None:
        """Does what was asked for, unless the disk is stuck."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            ended = False
            while len(batch) < _BATCH and not self._queue.empty():
                work = self._queue.get()
                if work is None:
                    ended = True
                    break
                batch.append(work)
            self._do(batch)
            if ended:
                break
        if self._store is not None:
            self._store.close()

    def _do(self, batch: list[_Work]) -> None:
        try:
            if self._store is None:
                self._store = self._open()
            before = self._store.changes
            outcomes = self._parts(self._store, batch)
        except (sqlite3.Error, StoreFault, OSError) as why:
            self._refuse(batch, why)
            return
        if self._store.changes != before:
            self._stored()
        for work, (result, error) in zip(batch, outcomes, strict=True):
            _settle(work.done, result, error)

    def _parts(self, store: Store, batch: list[_Work]) -> list[tuple[Any, Exception | None]]:
        with store.batch():
            return [_part(store, work) for work in batch]

    def _stored(self) -> None:
        self.batches += 1
        if self.failing:
            self._log.info("the store is written again", refused=self.refused)
        self.failing = False

    def _refuse(self, batch: list[_Work], why: Exception) -> None:
        full = getattr(why, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL or getattr(why, "errno", 0) == errno.ENOSPC
        self.refused += len(batch)
        if not self.failing:
            self._log.error("the store cannot be written, decisions and complaints are refused", why=str(why))
        self.failing = True
        for work in batch:
            _settle(work.done, None, StoreUnavailable(f"the store cannot be written: {why}", full=full))


def _part(store: Store, work: _Work) -> tuple[Any, Exception | None]:
    """What one of a batch came to. A fault of the disk ends the whole batch, any other only that part."""
    try:
        with store.part():
            return work.run(store), None
    except sqlite3.Error:
        raise
    except Exception as error:
        return None, error


def _settle(done: Future[Any], result: Any, error: Exception | None) -> None:
    """Whoever asked may have gone away meanwhile."""
    if not done.set_running_or_notify_cancel():
        return
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)
