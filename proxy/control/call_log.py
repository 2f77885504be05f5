"""The decision log and the call log: JSON lines in files that are rotated by size.

The loop only fills buffers; each file has a thread of its own, so that a slow disk holds up nobody. What the disk does
not take (full, read-only, stuck) is dropped line by line and counted, and writing goes on as soon as it can.
"""

from __future__ import annotations

import os
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from proxy.control.recent import RecentDecisions
from proxy.event_lines import EventNames, write_calls, write_decisions
from proxy.events import EventBatch
from proxy.logs import Log

_WAITING_BYTES = 32 << 20  # for a disk that is slow; more is dropped


class RotatingFile:
    """Whole lines appended to `path`; at rotate_bytes it becomes path.1, path.1 becomes path.2, up to path.keep."""

    def __init__(self, path: Path, rotate_bytes: int, keep: int) -> None:
        self.path = path
        self._rotate_bytes = rotate_bytes
        self._keep = keep
        self._fd: int | None = None

    def append(self, lines: bytes) -> None:
        """All of `lines` or, with an OSError, nothing of them."""
        fd = self._open()
        size = os.fstat(fd).st_size
        if size and size + len(lines) > self._rotate_bytes:
            self._rotate()
            fd, size = self._open(), 0
        try:
            view = memoryview(lines)
            while view:
                view = view[os.write(fd, view) :]
        except OSError:
            os.ftruncate(fd, size)
            raise

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        """The file under `path`, also after somebody else moved or removed the one we had."""
        if self._fd is not None and not self._is_ours(self._fd):
            self.close()
        if self._fd is None:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        return self._fd

    def _is_ours(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _rotate(self) -> None:
        self.close()
        if self._keep == 0:
            self.path.unlink()
            return
        for number in range(self._keep - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.rename(self._numbered(number + 1))
        self.path.rename(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


class LineLog:
    """A file and the thread that writes it. Counters are each changed by one thread alone."""

    def __init__(self, file: RotatingFile, log: Log, waiting_bytes: int = _WAITING_BYTES) -> None:
        self._file = file
        self._log = log.bind(file=str(file.path))
        self._limit = waiting_bytes
        self._queue: SimpleQueue[tuple[bytes, int] | None] = SimpleQueue()
        self._taken_bytes = 0
        self._done_bytes = 0
        self._refused_lines = 0
        self._failed_lines = 0
        self._failing = False
        self.written_lines = 0
        self._thread = Thread(target=self._write, name=file.path.name, daemon=True)
        self._thread.start()

    @property
    def dropped_lines(self) -> int:
        return self._refused_lines + self._failed_lines

    def put(self, lines: bytes, count: int) -> None:
        """Takes whole lines to be written; never waits."""
        if self._taken_bytes - self._done_bytes + len(lines) > self._limit:
            self._refused_lines += count
            return
        self._taken_bytes += len(lines)
        self._queue.put((lines, count))

    def close(self, timeout_s: float = 5.0) -> None:
        """Writes what was taken, unless the disk is stuck."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _write(self) -> None:
        while (taken := self._queue.get()) is not None:
            lines, count = taken
            try:
                self._file.append(lines)
            except OSError as why:
                self._failed_lines += count
                if not self._failing:
                    self._log.error("cannot be written, lines are dropped", why=why.strerror)
                self._failing = True
            else:
                self.written_lines += count
                if self._failing:
                    self._log.info("written again", dropped_lines=self.dropped_lines)
                self._failing = False
            self._done_bytes += len(lines)
        self._file.close()


class CallLog:
    """Event batches turned into lines of the two logs; `recent` gets the decisions too."""

    def __init__(self, names: EventNames, decisions: LineLog, calls: LineLog, recent: RecentDecisions) -> None:
        self._names = names
        self._decisions = decisions
        self._calls = calls
        self._recent = recent
        self._decision_lines = bytearray()
        self._call_lines = bytearray()
        self._decision_count = 0
        self._call_count = 0

    def add(self, batch: EventBatch) -> None:
        self._decision_count += write_decisions(batch, self._names, self._decision_lines)
        self._call_count += write_calls(batch, self._names, self._call_lines)

    def flush(self) -> None:
        """Hands what was added to the writing threads."""
        if self._decision_count:
            lines = bytes(self._decision_lines)
            self._recent.add(lines)
            self._decisions.put(lines, self._decision_count)
            self._decision_lines.clear()
            self._decision_count = 0
        if self._call_count:
            self._calls.put(bytes(self._call_lines), self._call_count)
            self._call_lines.clear()
            self._call_count = 0

    def close(self) -> None:
        self.flush()
        self._decisions.close()
        self._calls.close()
