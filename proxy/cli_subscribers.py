"""The `subscriber` commands: what a called subscriber wants, shown, set, and read from files of any size."""

from __future__ import annotations

import fcntl
from argparse import Namespace
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from pathlib import Path

from engine import Tables
from engine._subscriber_lists import ListEntry
from engine._subscribers import SubscriberTable
from engine.subscriber_file import SubscriberReader, preferences_of, texts_of
from engine.subscribers import OWN_ENTRIES, NoRoom, Subscribers
from proxy.cli_live import live_tables, now_us
from proxy.cli_output import ExitCode, Failure, Output, ProgressBar, progress_bar
from proxy.config import Configuration
from proxy.config_load import read_configuration
from proxy.state_directory import StateDirectory

_LOCK = "subscribers.lock"
_EPOCH = date(1970, 1, 1)
_LEAST_ROW_BYTES = 16  # of a line, to guess how many there are


def show(options: Namespace, output: Output) -> int:
    configuration = read_configuration(options.config)
    with live_tables(StateDirectory(Path(configuration.node.state_dir))) as tables, _told():
        subscribers = Subscribers(tables)
        refuse, quiet, bursts = texts_of(subscribers.show(options.number))
        own = {entry: asdict(subscribers.entry(options.number, entry, now_us())) for entry in options.callers}
    facts = {"refuse": refuse or None, "quiet": quiet or None, "bursts": bursts or None}
    output.document({"number": options.number, **facts, "own": own})
    output.line(options.number, "bold")
    output.facts(facts)
    if own:
        output.table(["caller", "says"], [[entry, _says(said)] for entry, said in own.items()])
    known = any(facts.values()) or any(_says(said) for said in own.values())
    if not known:
        output.line("nothing is set")
    return ExitCode.OK if known else ExitCode.NO


def _says(entry: dict[str, object]) -> str:
    return " ".join(name for name in ("allow", "deny", "consent") if entry[name])


def set_(options: Namespace, output: Output) -> int:
    with _told():
        day = (date.fromisoformat(options.until) - _EPOCH).days if options.until else 0
    entries = {
        **{entry: ListEntry(allow=True, last_day=day) for entry in options.allow},
        **{entry: ListEntry(deny=True, last_day=day) for entry in options.deny},
        **{entry: ListEntry(consent=True, consent_last_day=day) for entry in options.consent},
        **{entry: ListEntry() for entry in options.forget},
    }
    with _writable(options) as tables, _told():
        subscribers = Subscribers(tables)
        refuse, quiet, bursts = texts_of(subscribers.show(options.number))
        wanted = preferences_of(
            refuse if options.refuse is None else options.refuse,
            quiet if options.quiet is None else options.quiet,
            bursts if options.bursts is None else options.bursts,
        )
        subscribers.set(options.number, wanted)
        for entry, says in entries.items():
            subscribers.set_entry(options.number, entry, says)
        subscribers.flush()
    output.document({"number": options.number, "set": True})
    output.line(f"{options.number} is set; it counts with the next call")
    return ExitCode.OK


def import_(options: Namespace, output: Output) -> int:
    with options.file.open("rb") as file, progress_bar("reading subscribers") as progress, _told():
        reader = SubscriberReader(file)
        size = options.file.stat().st_size
        rows = _replace(options, reader, size, progress) if options.replace else _add(options, reader, size, progress)
    output.document({"file": str(options.file), "subscribers": rows, "faulty": reader.faulty, "faults": reader.faults})
    output.line(f"{rows} subscribers, {reader.faulty} lines that could not be read")
    for fault in reader.faults:
        output.line(fault)
    if options.replace:
        output.line("the new table counts from the next start; own entries must be set again")
    return ExitCode.NO if reader.faulty else ExitCode.OK


def _add(options: Namespace, reader: SubscriberReader, size: int, progress: ProgressBar) -> int:
    """Changes the table in place, in chunks; who calls meanwhile meets old or new preferences."""
    rows = 0
    with _writable(options) as tables:
        for callees, words in reader.chunks():
            kept = tables.subscribers.read_many(callees)
            changed = array("Q", (word | old & OWN_ENTRIES for word, old in zip(words, kept, strict=True)))
            refused = tables.subscribers.set_many(callees, changed)
            if refused:
                raise NoRoom(f"subscribers: {len(refused)} of a chunk found no room")
            rows += len(callees)
            progress(reader.read_bytes, size)
        tables.subscribers.flush()
    return rows


def _replace(options: Namespace, reader: SubscriberReader, size: int, progress: ProgressBar) -> int:
    """Builds a table of the configured size and puts it in place of the old one."""
    configuration = read_configuration(options.config)
    with _writable(options):
        path = StateDirectory(Path(configuration.node.state_dir)).tables / "subscribers.tbl"
        capacity = configuration.capacity.subscribers
        return SubscriberTable.build(path, capacity, reader.chunks(), size // _LEAST_ROW_BYTES, progress)


@contextmanager
def _writable(options: Namespace) -> Iterator[Tables]:
    """The node's tables, made where there are none; one command at a time changes them."""
    configuration = read_configuration(options.config)
    directory = StateDirectory(Path(configuration.node.state_dir)).tables
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure("another command changes the subscribers", ExitCode.SYSTEM) from None
        yield Tables.attach(directory) if any(directory.glob("*.tbl")) else _made(directory, configuration)


def _made(directory: Path, configuration: Configuration) -> Tables:
    capacity = configuration.capacity
    return Tables.open(
        directory,
        reputation=capacity.reputation,
        rate_limiter=capacity.rate_limiter,
        half_life_days=configuration.reputation.half_life_days,
        pairs=capacity.pairs,
        subscribers=capacity.subscribers,
        subscriber_lists=capacity.subscriber_lists,
        orders=capacity.orders,
    )


@contextmanager
def _told() -> Iterator[None]:
    """What the operator wrote wrong, in words."""
    try:
        yield
    except NoRoom as full:
        raise Failure(f"no room left: capacity.{full}", ExitCode.SYSTEM) from None
    except ValueError as wrong:
        raise Failure(str(wrong)) from None
