"""The logs on disk: rotation, files moved away, and disks that refuse."""

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.control.call_log import CallLog, LineLog, RotatingFile
from proxy.control.recent import RecentDecisions
from proxy.event_lines import EventNames
from proxy.events import EventBatch, EventRecord
from proxy.logs import open_log
from tests.proxy.eventually import wait_until

LOG = open_log("test")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "decisions.jsonl"


def numbered(path: Path) -> dict[str, bytes]:
    return {found.name: found.read_bytes() for found in path.parent.iterdir()}


def test_rotation_keeps_as_many_as_told(path: Path) -> None:
    file = RotatingFile(path, rotate_bytes=10, keep=2)
    for line in (b"one....\n", b"two....\n", b"three..\n", b"four...\n"):
        file.append(line)
    name = path.name
    assert numbered(path) == {name: b"four...\n", f"{name}.1": b"three..\n", f"{name}.2": b"two....\n"}


def test_rotation_that_keeps_none(path: Path) -> None:
    file = RotatingFile(path, rotate_bytes=10, keep=0)
    file.append(b"one....\n")
    file.append(b"two....\n")
    assert numbered(path) == {path.name: b"two....\n"}


def test_long_chunk_goes_into_an_empty_file_whole(path: Path) -> None:
    file = RotatingFile(path, rotate_bytes=4, keep=1)
    file.append(b"longer than that\n")
    assert numbered(path) == {path.name: b"longer than that\n"}


def test_writing_continues_after_a_restart(path: Path) -> None:
    RotatingFile(path, 100, 1).append(b"one\n")
    RotatingFile(path, 100, 1).append(b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"


def test_file_moved_away_by_somebody_else(path: Path) -> None:
    file = RotatingFile(path, 100, 1)
    file.append(b"one\n")
    path.rename(path.with_name("taken"))
    file.append(b"two\n")
    path.unlink()
    file.append(b"three\n")
    assert numbered(path) == {"taken": b"one\n", path.name: b"three\n"}


@contextmanager
def small_files() -> Iterator[None]:
    """The kernel lets no file grow beyond 20 bytes: a write is cut short, as by a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        yield
    finally:  # before the test is over: pytest's own output may go to a file
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_lines_that_do_not_fit_leave_no_half(path: Path) -> None:
    file = RotatingFile(path, 100, 1)
    file.append(b"0123456789\n")
    with small_files():
        with pytest.raises(OSError):
            file.append(b"does not fit any more\n")
        file.append(b"fits..\n")
    assert path.read_bytes() == b"0123456789\nfits..\n"


def test_full_disk_is_counted_and_writing_goes_on(path: Path) -> None:
    path.symlink_to("/dev/full")
    log = LineLog(RotatingFile(path, 100, 1), LOG)
    log.put(b"one\ntwo\n", 2)
    wait_until(lambda: log.dropped_lines == 2)
    path.unlink()
    log.put(b"three\n", 1)
    log.close()
    assert (path.read_bytes(), log.written_lines, log.dropped_lines) == (b"three\n", 1, 2)


class StuckFile(RotatingFile):
    def __init__(self, path: Path) -> None:
        super().__init__(path, 1000, 1)
        self.free = threading.Event()

    def append(self, lines: bytes) -> None:
        self.free.wait()
        super().append(lines)


def test_stuck_disk_holds_up_nobody(path: Path) -> None:
    file = StuckFile(path)
    log = LineLog(file, LOG, waiting_bytes=20)
    for _ in range(10):
        log.put(b"12345\n", 1)
    assert log.dropped_lines == 7
    file.free.set()
    log.close()
    assert (path.read_bytes(), log.written_lines) == (b"12345\n" * 3, 3)


def test_events_become_lines_of_both_logs(path: Path) -> None:
    calls = path.with_name("calls.jsonl")
    logs = [LineLog(RotatingFile(file, 10_000, 1), LOG) for file in (path, calls)]
    log = CallLog(EventNames("node"), *logs, RecentDecisions())
    for _ in range(2):
        records = (EventRecord(type=kind, time_us=0, call=1) for kind in (1, 2))
        log.add(EventBatch(b"".join(record.pack() for record in records)))
        log.flush()
    log.close()
    assert [file.read_bytes().count(b"\n") for file in (path, calls)] == [2, 2]
    assert [log.written_lines for log in logs] == [2, 2]
