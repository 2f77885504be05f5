"""The `subscriber` commands: what a called subscriber wants, shown, set, and read from files of any size."""

from __future__ import annotations

import fcntl
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, astuple
from datetime import date
from pathlib import Path

from engine import Tables
from engine._subscriber_lists import ListEntry
from engine.number_words import caller_word
from engine.subscriber_file import preferences_of, texts_of
from engine.subscriber_import import Imported, NoRoom, add_file, replace_by_file
from engine.subscribers import Subscribers
from proxy.cli_live import live_tables, now_us
from proxy.cli_output import ExitCode, Failure, Output, ProgressBar, progress_bar
from proxy.config_load import read_configuration
from proxy.control.store import FILE_NAME, Store
from proxy.control.subscriber_store import OwnEntry, Wishes
from proxy.state_directory import StateDirectory
from proxy.subscriber_changes import SubscriberChange, apply_changes, keep_change
from proxy.worker_tables import open_tables

_LOCK = "subscribers.lock"
_EPOCH = date(1970, 1, 1)
_KEPT_AT_ONCE = 5000


def show(options: Namespace, output: Output) -> int:
    configuration = read_configuration(options.config)
    with live_tables(StateDirectory(Path(configuration.node.state_dir))) as tables, _told():
        subscribers = Subscribers(tables)
        refuse, quiet, bursts = texts_of(subscribers.get(options.number))
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
        refuse, quiet, bursts = texts_of(subscribers.get(options.number))
        wanted = preferences_of(
            refuse if options.refuse is None else options.refuse,
            quiet if options.quiet is None else options.quiet,
            bursts if options.bursts is None else options.bursts,
        )
        changed_us = now_us()
        refuse, quiet, bursts = texts_of(wanted)
        own = [OwnEntry(options.number, entry, changed_us, *astuple(says)) for entry, says in entries.items()]
        change = SubscriberChange([Wishes(options.number, changed_us, refuse, quiet, bursts)], own)
        for entry, says in entries.items():
            caller_word(entry), says.pack()  # what cannot be said is not kept either
        keep_change(_state(options), change)
        apply_changes(tables, change.wishes, change.entries)
    output.document({"number": options.number, "set": True})
    output.line(f"{options.number} is set; it counts with the next call")
    return ExitCode.OK


def import_(options: Namespace, output: Output) -> int:
    with progress_bar("reading subscribers") as progress, _told():
        done = _replace(options, progress) if options.replace else _add(options, progress)
        _keep_imported(options)
    output.document({"file": str(options.file), "subscribers": done.rows, "faulty": done.faulty, "faults": done.faults})
    output.line(f"{done.rows} subscribers, {done.faulty} lines that could not be read")
    for fault in done.faults:
        output.line(fault)
    if options.replace:
        output.line("the new table counts within a second")
    return ExitCode.NO if done.faulty else ExitCode.OK


def _add(options: Namespace, progress: ProgressBar) -> Imported:
    with _writable(options) as tables:
        return add_file(tables.subscribers, options.file, progress)


def _replace(options: Namespace, progress: ProgressBar) -> Imported:
    """Builds a table of the configured size and puts it in place of the old one."""
    configuration = read_configuration(options.config)
    with _writable(options):
        path = StateDirectory(Path(configuration.node.state_dir)).tables / "subscribers.tbl"
        return replace_by_file(path, configuration.capacity.subscribers, options.file, progress)


def _keep_imported(options: Namespace) -> None:
    """A file is later than the changes before it: of those who have made some its words are kept, and their entries."""
    state = _state(options)
    if not (state.path / FILE_NAME).exists():
        return
    with closing(Store.read_only(state.path / FILE_NAME)) as store:
        numbers, entries = [one.number for one in store.subscribers.wishes()], list(store.subscribers.entries())
    with _writable(options) as tables:
        subscribers = Subscribers(tables)
        for start in range(0, len(numbers), _KEPT_AT_ONCE):
            some = numbers[start : start + _KEPT_AT_ONCE]
            wishes = [Wishes(number, now_us(), *texts_of(subscribers.get(number))) for number in some]
            keep_change(state, SubscriberChange(wishes, []))
        apply_changes(tables, [], entries)


def _state(options: Namespace) -> StateDirectory:
    return StateDirectory(Path(read_configuration(options.config).node.state_dir))


@contextmanager
def _writable(options: Namespace) -> Iterator[Tables]:
    """The node's tables, made where there are none; one command at a time changes them."""
    configuration = read_configuration(options.config)
    state = StateDirectory(Path(configuration.node.state_dir))
    directory = state.tables
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure("another command changes the subscribers", ExitCode.SYSTEM) from None
        yield Tables.attach(directory) if any(directory.glob("*.tbl")) else open_tables(state, configuration)


@contextmanager
def _told() -> Iterator[None]:
    """What the operator wrote wrong, in words."""
    try:
        yield
    except NoRoom as full:
        raise Failure(f"no room left: capacity.{full}", ExitCode.SYSTEM) from None
    except ValueError as wrong:
        raise Failure(str(wrong)) from None
