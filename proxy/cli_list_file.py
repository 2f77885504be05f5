"""The file of a [[list]]: its entries with their comments, read and edited without touching anything else."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp

from engine._numbers import parse_entry

Entry = tuple[int, bool]  # number, exact


@dataclass(frozen=True, slots=True)
class ListLine:
    """One line: entry is None where there is only a comment, or something that is no entry."""

    text: str
    written: str
    comment: str
    entry: Entry | None


def entry_of(text: str) -> Entry:
    """ValueError, in the operator's words, if `text` is no list entry."""
    try:
        return parse_entry(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number: write +8613800138000, +86170* or CN:95588") from None


def read_lines(path: Path) -> Iterator[ListLine]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
        for text in lines:
            yield list_line(text)


def list_line(text: str) -> ListLine:
    written, _, comment = text.partition("#")
    return ListLine(text, written.strip(), comment.strip(), _entry_or_none(written.strip()))


def add_entries(path: Path, numbers: Iterable[str], comment: str) -> list[str]:
    """Appends those that are not there yet, each with the comment; returns them."""
    wanted = {entry_of(number): number for number in numbers}
    added: list[str] = []

    def edit(lines: list[ListLine]) -> list[str]:
        present = {line.entry for line in lines}
        added.extend(number for entry, number in wanted.items() if entry not in present)
        return [*(_with_end(line.text) for line in lines), *(_line(number, comment) for number in added)]

    _edit(path, edit)
    return added


def remove_entries(path: Path, numbers: Iterable[str]) -> list[str]:
    """Removes the lines of these entries, comment and all; returns the entries that were there."""
    wanted = {entry_of(number): number for number in numbers}
    removed: set[Entry] = set()

    def edit(lines: list[ListLine]) -> list[str]:
        removed.update(line.entry for line in lines if line.entry in wanted)
        return [line.text for line in lines if line.entry not in wanted]

    _edit(path, edit)
    return [number for entry, number in wanted.items() if entry in removed]


def _edit(path: Path, edit: Callable[[list[ListLine]], list[str]]) -> None:
    """Replaces the file as a whole, owner and mode kept; whoever reads it sees it before or after."""
    path = path.resolve()
    with _one_editor(path.parent):
        before = list(read_lines(path))
        after = edit(before)
        if after != [line.text for line in before]:
            _replace(path, "".join(after))


def _replace(path: Path, text: str) -> None:
    old = path.stat()
    fd, partial = mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(fd, "wb") as new:
            new.write(text.encode("utf-8", "surrogateescape"))
            os.fchmod(fd, stat.S_IMODE(old.st_mode))
            if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(fd, old.st_uid, old.st_gid)
            new.flush()
            os.fsync(fd)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


@contextmanager
def _one_editor(folder: Path) -> Iterator[None]:
    """Two commands at a time would lose each other's numbers."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _entry_or_none(written: str) -> Entry | None:
    try:
        return parse_entry(written) if written else None
    except ValueError:
        return None


def _with_end(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def _line(number: str, comment: str) -> str:
    return f"{number:<16}# {comment}\n" if comment else f"{number}\n"
