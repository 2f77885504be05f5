"""Trunks as orders name them: `trunk:NAME` to people, a keyed hash of the name in the store and on the wire.

The key is the fleet's salt, which a node has only once it belongs to one; orders of before keep the key without salt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from proxy.control.sync.keys import KeyKind, named_key

PREFIX = "trunk:"
NO_SALT = bytes(16)


class TrunkKeys:
    """names: of the trunks that are configured now."""

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self._names = names
        self._salt = NO_SALT
        self._known: dict[int, str] = {}

    def use_salt(self, salt: bytes) -> None:
        """The fleet's: from now on new orders have keys by it."""
        self._salt = salt

    def key_of(self, text: str) -> int | None:
        """Of `trunk:NAME`; None for what is no trunk."""
        return named_key(KeyKind.TRUNK, self._salt, text.removeprefix(PREFIX)) if text.startswith(PREFIX) else None

    def name_of(self, key: int) -> str | None:
        """None for a trunk that is not configured here."""
        return self._known.get(key)

    def refresh(self) -> bool:
        """Reads the names again; whether anything has changed."""
        known = {named_key(KeyKind.TRUNK, salt, name): name for name in self._names() for salt in (NO_SALT, self._salt)}
        changed, self._known = known != self._known, known
        return changed

    def text_of(self, key: int) -> str:
        name = self.name_of(key)
        return f"{PREFIX}{name}" if name is not None else f"{PREFIX}? ({key:016x})"
