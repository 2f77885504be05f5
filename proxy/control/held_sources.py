"""Which sources the circuit breaker holds, kept in the store: a restart releases nothing."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.control.store import Store

_NAME = "fleet-held "  # of the number that the store keeps for each source: 1 = it is held


def read_held(store: Store) -> set[str]:
    return {name.removeprefix(_NAME) for name, value in store.node.cursors() if name.startswith(_NAME) and value}


def write_held(store: Store, held: Iterable[str]) -> None:
    before, now = read_held(store), set(held)
    for source in before ^ now:
        store.node.set_cursor(_NAME + source, int(source in now))
