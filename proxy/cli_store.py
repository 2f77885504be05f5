"""The `store` commands: check, backup, restore; and reading the store beside a running proxy."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proxy.cli_output import ExitCode, Failure, Output, progress_bar
from proxy.config_load import read_configuration
from proxy.control.store import FILE_NAME, Store
from proxy.control.store_recovery import backup as copy_store
from proxy.control.store_recovery import faults_of
from proxy.control.store_recovery import restore as restore_store
from proxy.control.store_schema import StoreFault
from proxy.state_directory import AlreadyRunning, StateDirectory


def check(options: Namespace, output: Output) -> int:
    path = options.file or _state(options).path / FILE_NAME
    with _told(), progress_bar("checking"):
        faults = faults_of(path)
    output.document({"file": str(path), "faults": faults})
    for fault in faults:
        output.line(fault)
    if faults:
        output.line(f"{path} is damaged; control joins what is whole with the last good copy at its next start")
    else:
        output.line(f"{path} is whole")
    return ExitCode.NO if faults else ExitCode.OK


def backup(options: Namespace, output: Output) -> int:
    path = _state(options).path / FILE_NAME
    with _told(), progress_bar("copying"):
        copy_store(path, options.file)
    output.document({"file": str(options.file), "bytes": options.file.stat().st_size})
    output.line(f"{path} is copied to {options.file}")
    return ExitCode.OK


def restore(options: Namespace, output: Output) -> int:
    """Only while the proxy is down: it would not see that its store is another."""
    state = _state(options)
    with _told(), progress_bar("restoring"):
        held = state.lock()
        try:
            old = restore_store(options.file, state.path / FILE_NAME)
            for table in ("orders.tbl", "reputation.tbl"):
                (state.tables / table).unlink(missing_ok=True)
        finally:
            os.close(held)
    output.document({"file": str(options.file), "old": None if old is None else str(old)})
    output.line(f"{options.file} is restored; tables are made from it at the next start")
    if old is not None:
        output.line(f"what was there before is {old}")
    return ExitCode.OK


@contextmanager
def reading_store(state: StateDirectory) -> Iterator[Store]:
    """The store as it is now, whether the proxy runs or not."""
    with _told():
        store = Store.read_only(state.path / FILE_NAME)
        try:
            yield store
        finally:
            store.close()


def _state(options: Namespace) -> StateDirectory:
    return StateDirectory(Path(read_configuration(options.config).node.state_dir))


@contextmanager
def _told() -> Iterator[None]:
    """What went wrong, in words."""
    try:
        yield
    except StoreFault as fault:
        raise Failure(str(fault), ExitCode.SYSTEM) from None
    except AlreadyRunning as running:
        raise Failure(f"{running}: stop it first", ExitCode.SYSTEM) from None
