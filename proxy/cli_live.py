"""The engine on a node's live tables, opened beside the running proxy: nothing is counted, made or replaced."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine import PolicyError, Tables, compile_policy
from engine._image import ImageError, PolicyImage
from engine._screener import Screener
from engine._table import TableError
from engine.config_errors import ConfigError, ConfigFinding
from proxy.cli_output import ExitCode, Failure, ProgressBar
from proxy.config import Configuration
from proxy.config_load import load_configuration, policy_set, read_configuration
from proxy.state_directory import StateDirectory

_EMPTY_TABLE_RECORDS = 256


@dataclass(frozen=True, slots=True)
class Node:
    """A configuration and its compiled policy. source: which one, in words."""

    configuration: Configuration
    image: PolicyImage
    state: StateDirectory
    source: str


def open_node(config: Path, from_files: bool, progress: ProgressBar) -> Node:
    """The generation in force, or, from_files or where there is none, what the files would become."""
    state = StateDirectory(Path(read_configuration(config).node.state_dir))
    generation = None if from_files else state.current()
    if generation is None:
        return _compiled(config, state, progress)
    try:
        image = PolicyImage.open(state.policy_image(generation))
        return Node(state.configuration(generation), image, state, f"generation {generation}")
    except (ImageError, msgspec.DecodeError) as why:
        what = f"{state.generation(generation)} is not of this version: {why}; --files asks the files instead"
        raise Failure(what, ExitCode.SYSTEM) from None


def _compiled(config: Path, state: StateDirectory, progress: ProgressBar) -> Node:
    loaded = load_configuration(config)
    rules = policy_set(loaded.configuration)
    try:
        image = compile_policy(rules, base_dir=loaded.files[0].parent, generation=0, progress=progress)
    except PolicyError as refused:
        found = (ConfigFinding(str(config), f.key, f.why, f.severity) for f in refused.findings)
        raise ConfigError(found) from None
    return Node(loaded.configuration, image, state, "the files, not in force")


@contextmanager
def live_tables(state: StateDirectory) -> Iterator[Tables]:
    """The node's tables as they are; empty ones in their place where there are none yet."""
    if state.tables.is_dir() and any(state.tables.iterdir()):
        yield _attached(state)
        return
    with tempfile.TemporaryDirectory(prefix="callsieve-") as nowhere:
        yield Tables.open(
            Path(nowhere),
            reputation=_EMPTY_TABLE_RECORDS,
            rate_limiter=_EMPTY_TABLE_RECORDS,
            half_life_days=1,
            pairs=_EMPTY_TABLE_RECORDS,
            subscribers=_EMPTY_TABLE_RECORDS,
            subscriber_lists=_EMPTY_TABLE_RECORDS,
            orders=_EMPTY_TABLE_RECORDS,
        )


def _attached(state: StateDirectory) -> Tables:
    try:
        return Tables.attach(state.tables)
    except (TableError, FileNotFoundError) as why:
        raise Failure(f"{state.tables} cannot be used: {why}", ExitCode.SYSTEM) from None


@contextmanager
def live_screener(node: Node) -> Iterator[Screener]:
    with live_tables(node.state) as tables:
        yield Screener(node.image, tables, _node_key(node.state))


def _node_key(state: StateDirectory) -> bytes:
    """The key that the workers use, without which their counts of pairs and sources are not found."""
    return state.node_key() if state.has_secret() else secrets.token_bytes(16)


def now_us() -> int:
    return time.time_ns() // 1000
