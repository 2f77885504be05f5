"""The callers of the last ten minutes: what the circuit breaker measures by."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import chain

from proxy.control.sync.keys import KIND_SHIFT, KeyKind, digits_of, prefix_of

WINDOW_MS = 600_000
_SLICE_MS = 60_000
MAX_CALLERS = 50_000  # remembered of each minute; those beyond are like those before them
_FIRST_PREFIX = KeyKind.PREFIX << KIND_SHIFT

_Seen = tuple[int, int]  # the minute in which a caller was last let through (ms), and its trunk


class RecentCallers:
    """Each caller with the minute in which it was last seen; so many new ones a minute.

    A caller is clean while its calls were let through and none of them was rejected.
    """

    def __init__(self) -> None:
        self._let_through: dict[int, _Seen] = {}
        self._blocked: dict[int, int] = {}
        self._begins: dict[tuple[int, int], set[str]] = {}  # (kind, digits): how the callers of a kind begin
        self._minute_ms = self._oldest_ms = 0
        self._seen: dict[int, _Seen] = {}  # those of this minute, by trunk
        self._room = {False: MAX_CALLERS, True: MAX_CALLERS}

    def add(self, caller: int, was_blocked: bool, now_ms: int, trunk: int = 0) -> None:
        """trunk: the hash of the name of that by which the call came, 0 = it is not known."""
        minute_ms = now_ms - now_ms % _SLICE_MS
        if minute_ms > self._minute_ms:
            self._minute_ms = minute_ms
            self._room = {False: MAX_CALLERS, True: MAX_CALLERS}
            self._seen.clear()
            self._drop(now_ms)
        if not self._room[was_blocked]:
            return
        if was_blocked:
            if self._blocked.get(caller) != self._minute_ms:
                self._room[True] -= 1
                self._blocked[caller] = self._minute_ms
        else:
            self._let(caller, self._seen.setdefault(trunk, (self._minute_ms, trunk)))

    def _let(self, caller: int, seen: _Seen) -> None:
        before = self._let_through.get(caller)
        self._let_through[caller] = seen
        if before is not None and before[0] == seen[0]:
            return
        self._room[False] -= 1
        if before is None:
            for (kind, digits), begins in self._begins.items():
                if caller >> KIND_SHIFT == kind:
                    begins.add(digits_of(caller)[:digits])

    def let_through(self, now_ms: int) -> int:
        """How many callers."""
        self._drop(now_ms)
        return len(self._let_through)

    def blocked(self, now_ms: int, but: Collection[int] = ()) -> int:
        """How many callers, without some."""
        self._drop(now_ms)
        return len(self._blocked) - sum(caller in self._blocked for caller in but)

    def among(self, keys: Iterable[int], now_ms: int) -> list[int]:
        """Those of the keys that are a caller that was let through, or a prefix of one."""
        self._drop(now_ms)
        wanted = set(keys)
        prefixes = [key for key in filter(_FIRST_PREFIX.__le__, wanted) if key >> KIND_SHIFT == KeyKind.PREFIX]
        return [*(self._let_through.keys() & wanted), *filter(self._has, prefixes)]

    def clean(self, now_ms: int, keys: Iterable[int], prefixes: Iterable[int], trunks: Collection[int]) -> set[int]:
        """The clean callers that are one of the keys, or below one of the prefixes, or came by one of the trunks."""
        self._drop(now_ms)
        found = self._let_through.keys() & set(keys)
        begins: dict[int, list[str]] = {}
        for prefix in prefixes:
            kind, digits = prefix_of(prefix)
            begins.setdefault(kind, []).append(digits)
        for of, some in begins.items():
            found |= {
                caller
                for caller in self._let_through
                if caller >> KIND_SHIFT == of and digits_of(caller).startswith(tuple(some))
            }
        if trunks:
            found |= {caller for caller, (_, trunk) in self._let_through.items() if trunk in trunks}
        return found - self._blocked.keys()

    def _has(self, prefix: int) -> bool:
        kind, digits = prefix_of(prefix)
        begins = self._begins.get((kind, len(digits)))
        if begins is None:
            of_kind = (caller for caller in self._let_through if caller >> KIND_SHIFT == kind)
            begins = {digits_of(caller)[: len(digits)] for caller in of_kind}
            self._begins[kind, len(digits)] = begins
        return digits in begins

    def _drop(self, now_ms: int) -> None:
        since_ms = now_ms - WINDOW_MS
        if self._oldest_ms >= since_ms:
            return
        self._let_through = {caller: seen for caller, seen in self._let_through.items() if seen[0] >= since_ms}
        self._blocked = {caller: seen_ms for caller, seen_ms in self._blocked.items() if seen_ms >= since_ms}
        let_through_ms = (seen_ms for seen_ms, _ in self._let_through.values())
        self._oldest_ms = min(chain(let_through_ms, self._blocked.values()), default=self._minute_ms)
        self._begins.clear()
