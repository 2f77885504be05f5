"""A node's side of a fleet's limits: what it wants of each, what it was lent, what it may use without.

Attempts are counted by the second, the 1,024 most frequent subjects of each. Whoever has called is claimed for, until
nothing came for a window of the limit; claims are told every two seconds, new ones and what they acknowledge at once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from proxy.control.sync.lease_terms import (
    LEASE_MS,
    MICRO,
    REFRESH_MS,
    SAFE_FACTOR,
    UNLENT_PART,
    FleetLimit,
    limit_key,
    pulse_key,
)
from proxy.control.sync.records import Demand, Lease
from proxy.control.sync.space_saving import SpaceSaving

MOST_FREQUENT = 1024
MAX_CLAIMS = 4096
SECOND_MS = 1000
_KEEPS = 4, 5  # of what was wanted a second ago, while less comes
WHOLE = 1 << 20


@dataclass(slots=True)
class _Claim:
    """micro_rate: lent, until `until_ms`. told: whether the lender knows that no more than that is held."""

    limit: FleetLimit
    word: int
    wanted: int = 0
    asked_ms: int = 0
    micro_rate: int = 0
    until_ms: int = 0
    told: bool = False

    def held(self, now_ms: int) -> int:
        return self.micro_rate if now_ms < self.until_ms else 0


@dataclass(frozen=True, slots=True)
class ShareChange:
    """parts: of `WHOLE`, 0 = nothing is lent any more."""

    word: int
    parts: int
    until_ms: int


class Borrower:
    """origin: of this node. nodes: how many there are, while no lender has said."""

    def __init__(self, origin: int, salt: bytes, nodes: int) -> None:
        self.lender = 0
        self.term = 0
        self._origin = origin
        self._salt = salt
        self._pulse = pulse_key(salt)
        self._nodes = max(nodes, 1)
        self._lends_until_ms = 0
        self._attempts: SpaceSaving[tuple[FleetLimit, int]] = SpaceSaving(MOST_FREQUENT)
        self._second = 0
        self._refresh = 0
        self._claims: OrderedDict[int, _Claim] = OrderedDict()
        self._changes: dict[int, ShareChange] = {}

    def __len__(self) -> int:
        return len(self._claims)

    def keys(self) -> list[int]:
        """Of what is claimed, as they are on the wire."""
        return list(self._claims)

    def attempt(self, limit: FleetLimit, word: int) -> None:
        """word: under which the limit counts this caller (`engine.policy_rows.limit_word`)."""
        self._attempts.add((limit, word))

    def is_lent_to(self, now_ms: int) -> bool:
        """Whether a lender is at work."""
        return now_ms < self._lends_until_ms

    def unlent_parts(self, now_ms: int) -> int:
        """Of each limit, for subjects for which nothing is lent."""
        if self.is_lent_to(now_ms):
            return max(WHOLE // (UNLENT_PART * self._nodes), 1)
        return max(min(SAFE_FACTOR * WHOLE // self._nodes, WHOLE), 1)

    def on_leases(self, lender: int, leases: Iterable[Lease], now_ms: int) -> None:
        for lease in leases:
            if (lease.term, -lender) < (self.term, -self.lender):
                continue
            self.term, self.lender = lease.term, lender
            if lease.key == self._pulse:
                self._on_pulse(lease, now_ms)
            elif lease.origin == self._origin:
                self._on_lease(lease, now_ms)

    def take_demands(self, now_ms: int) -> list[Demand]:
        """What the lender is to know now."""
        if now_ms // SECOND_MS != self._second:
            self._count(now_ms, now_ms // SECOND_MS - self._second)
            self._second = now_ms // SECOND_MS
        is_due = now_ms // REFRESH_MS != self._refresh
        self._refresh = now_ms // REFRESH_MS
        demands = []
        for key, claim in self._claims.items():
            if is_due or not claim.told:
                claim.told = True
                limit = claim.limit
                demands.append(Demand(key, claim.wanted, claim.held(now_ms), limit.micro_rate, limit.burst))
        return demands

    def take_changes(self, most: int) -> list[ShareChange]:
        """Shares to be put into force."""
        taken = list(self._changes)[:most]
        return [self._changes.pop(key) for key in taken]

    def _on_pulse(self, lease: Lease, now_ms: int) -> None:
        self._nodes = max(lease.micro_rate, 1)
        if lease.burst:
            self._lends_until_ms = now_ms + min(lease.lease_ms, LEASE_MS)

    def _on_lease(self, lease: Lease, now_ms: int) -> None:
        claim = self._claims.get(lease.key)
        if claim is None:
            return
        claim.told = lease.micro_rate >= claim.held(now_ms)  # the rest of a larger one may be lent to others now
        claim.micro_rate = lease.micro_rate
        claim.until_ms = now_ms + min(lease.lease_ms, LEASE_MS)
        parts = min(lease.micro_rate * WHOLE // claim.limit.micro_rate, WHOLE)
        self._changes[lease.key] = ShareChange(claim.word, max(parts, 1), claim.until_ms)

    def _count(self, now_ms: int, seconds: int) -> None:
        """The rates of the second that is over; claims for which nothing came for long end."""
        attempts = self._attempts.take()
        for (limit, word), count in attempts.items():
            key = limit_key(self._salt, limit, word)
            claim = self._claims.setdefault(key, _Claim(limit, word))
            self._claims.move_to_end(key)
            claim.asked_ms = now_ms
            claim.wanted = max(count * MICRO // max(seconds if seconds < 60 else 1, 1), _faded(claim.wanted))
        for key, claim in list(self._claims.items()):
            if claim.asked_ms == now_ms:
                continue
            claim.wanted = _faded(claim.wanted)
            if now_ms - claim.asked_ms > max(LEASE_MS, claim.limit.window_ms):
                self._drop(key)
        while len(self._claims) > MAX_CLAIMS:
            self._drop(next(iter(self._claims)))

    def _drop(self, key: int) -> None:
        claim = self._claims.pop(key)
        self._changes[key] = ShareChange(claim.word, 0, 0)


def _faded(wanted: int) -> int:
    return wanted * _KEEPS[0] // _KEEPS[1]
