"""Who may connect: caps on connections in all and of one source, on new ones a second, bans for who knocks too often.

Without I/O; the time is an argument, in seconds of any clock that never goes back. A source is an IPv4 address or an
IPv6 network of 64 bits, which one peer has whole.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum, auto
from ipaddress import IPv6Address, ip_address

from proxy.config import Streams

_BURST_S = 1.0  # how much of a rate may come at once
_KEPT_SOURCES = 65_536


class Refusal(Enum):
    """Why a connection is closed as soon as it is there."""

    FULL = auto()
    SOURCE_FULL = auto()
    TOO_FAST = auto()
    SOURCE_TOO_FAST = auto()
    BANNED = auto()


class Rate:
    """At most `per_s` a second, of which one second's worth may come at once (GCRA, ITU-T I.371)."""

    __slots__ = ("_interval_s", "_next_s")

    def __init__(self, per_s: float) -> None:
        self._interval_s = 1.0 / per_s
        self._next_s = 0.0

    def take(self, now_s: float) -> bool:
        due_s = max(self._next_s, now_s)
        if due_s - now_s > _BURST_S - self._interval_s + 1e-9:
            return False
        self._next_s = due_s + self._interval_s
        return True


class _Source:
    __slots__ = ("banned_until_s", "open", "rate")

    def __init__(self, per_s: float) -> None:
        self.open = 0
        self.banned_until_s = 0.0
        self.rate = Rate(per_s)


class Admission:
    """One worker's count of connections. Every admitted one is given back by `release`."""

    def __init__(self, limits: Streams) -> None:
        self._limits = limits
        self._open = 0
        self._rate = Rate(limits.new_connections_per_s)
        self._tls_rate = Rate(limits.new_tls_per_s)
        self._sources: OrderedDict[str, _Source] = OrderedDict()

    @property
    def open(self) -> int:
        return self._open

    def admit(self, ip: str, by_tls: bool, now_s: float) -> Refusal | None:
        """None: it may come in. The cheapest reason is looked for first."""
        source = self._source(source_of(ip))
        refusal = self._refusal(source, by_tls, now_s)
        if refusal is None:
            source.open += 1
            self._open += 1
        return refusal

    def release(self, ip: str) -> None:
        self._open -= 1
        source = self._sources.get(source_of(ip))
        if source is not None:
            source.open -= 1

    def _refusal(self, source: _Source, by_tls: bool, now_s: float) -> Refusal | None:
        if now_s < source.banned_until_s:
            return Refusal.BANNED
        if self._open >= self._limits.max_connections:
            return Refusal.FULL
        if source.open >= self._limits.max_connections_per_source:
            return Refusal.SOURCE_FULL
        if not source.rate.take(now_s):
            source.banned_until_s = now_s + self._limits.ban_s
            return Refusal.SOURCE_TOO_FAST
        if not self._rate.take(now_s) or (by_tls and not self._tls_rate.take(now_s)):
            return Refusal.TOO_FAST
        return None

    def _source(self, name: str) -> _Source:
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = _Source(self._limits.new_connections_per_source_per_s)
            self._forget()
        else:
            self._sources.move_to_end(name)
        return source

    def _forget(self) -> None:
        """Sources without a connection, the longest unseen first, once too many are known."""
        for _ in range(min(2, len(self._sources) - _KEPT_SOURCES)):
            name, source = next(iter(self._sources.items()))
            if source.open:
                self._sources.move_to_end(name)
            else:
                del self._sources[name]


def source_of(ip: str) -> str:
    """What counts as one source."""
    address = ip_address(ip.partition("%")[0])
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 64 << 64)) if address.ipv4_mapped is None else str(address.ipv4_mapped)
    return ip
