"""The lender of a fleet's limits: one of the nodes that judge, chosen by silence, that divides each limit by demand.

It lends no more than the limit less what others may still hold: a lease that was made smaller counts in full until its
holder has said that it knows, or until it has ended. A lender that begins repeats for one lease what others say they
hold. Of two lenders the one of the higher term goes on; of two with the same term the one of the lower origin.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median_low

from proxy.control.sync.lease_terms import LEASE_MS, REFRESH_MS, UNLENT_PART, fair_shares, pulse_key
from proxy.control.sync.records import Demand, Lease

MAX_POTS = 16_384
_PATIENCE_MS = 2 * REFRESH_MS  # by so much a lender of lower standing waits longer for those above it


@dataclass(slots=True)
class _Account:
    """Of one node in one limit. owed: what it may still hold, until `until_ms`, of a larger lease than the last."""

    wanted: int = 0
    held: int = 0
    limit: int = 1
    burst: int = 1
    seen_ms: int = 0
    lent: int = 0
    until_ms: int = 0
    owed: int = 0
    owed_until_ms: int = 0

    def outstanding(self, now_ms: int) -> int:
        lent = self.lent if now_ms < self.until_ms else 0
        return max(lent, self.owed if now_ms < self.owed_until_ms else 0)

    def lend(self, rate: int, now_ms: int) -> None:
        before = self.outstanding(now_ms)
        if rate < before:
            self.owed, self.owed_until_ms = before, max(self.until_ms, self.owed_until_ms)
        self.lent, self.until_ms = rate, now_ms + LEASE_MS

    def hears(self, demand: Demand, now_ms: int) -> None:
        self.wanted, self.held = demand.wanted, demand.held
        self.limit, self.burst, self.seen_ms = max(demand.limit, 1), demand.burst, now_ms
        if demand.held <= self.lent:
            self.owed = 0


@dataclass(slots=True)
class _Pot:
    """A limit of one subject, and who has a part in it."""

    accounts: dict[int, _Account] = field(default_factory=dict)
    changed: bool = True

    def drop_silent(self, now_ms: int) -> None:
        gone = [o for o, a in self.accounts.items() if now_ms - a.seen_ms > LEASE_MS and not a.outstanding(now_ms)]
        for origin in gone:
            del self.accounts[origin]


class Lender:
    """rank: 0 = the first to lend. While `term` is 0 somebody else does, or nobody."""

    def __init__(self, origin: int, salt: bytes, rank: int, now_ms: int) -> None:
        self.term = 0
        self._origin = origin
        self._rank = rank
        self._pulse = pulse_key(salt)
        self._highest = 0
        self._heard_ms = now_ms
        self._begun_ms = 0
        self._refresh = 0
        self._pots: OrderedDict[int, _Pot] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pots)

    def is_learning(self, now_ms: int) -> bool:
        return now_ms - self._begun_ms < LEASE_MS

    def on_leases(self, lender: int, leases: Iterable[Lease], now_ms: int) -> None:
        """What another lender says."""
        for lease in leases:
            self._highest = max(self._highest, lease.term)
            if (lease.term, -lender) > (self.term, -self._origin):
                self._heard_ms = now_ms
                self.stand_down()

    def stand_down(self) -> None:
        self.term = 0
        self._pots.clear()

    def on_demands(self, origin: int, demands: Iterable[Demand], now_ms: int) -> None:
        if not self.term:
            return
        for demand in demands:
            pot = self._pots.setdefault(demand.key, _Pot())
            pot.accounts.setdefault(origin, _Account()).hears(demand, now_ms)
            pot.changed = True
        while len(self._pots) > MAX_POTS:
            self._pots.popitem(last=False)

    def take_leases(self, now_ms: int, nodes: int) -> list[Lease]:
        """What is to be said now. nodes: how many there are. To be called while there is a connection."""
        if not self.term:
            self._watch(now_ms)
            if not self.term:
                return []
        is_due = now_ms // REFRESH_MS != self._refresh
        self._refresh = now_ms // REFRESH_MS
        learning = self.is_learning(now_ms)
        leases = [Lease(self._pulse, nodes, int(not learning), LEASE_MS, self.term, 0)] if is_due else []
        for key, pot in list(self._pots.items()):
            if is_due or pot.changed:
                pot.changed = False
                leases += self._repeat(key, pot, now_ms) if learning else self._divide(key, pot, now_ms, is_due)
                if not pot.accounts:
                    del self._pots[key]
        return leases

    def not_connected(self, now_ms: int) -> None:
        """Whoever hears nobody lends nothing."""
        self._heard_ms = now_ms
        self.stand_down()

    def _watch(self, now_ms: int) -> None:
        if now_ms - self._heard_ms >= LEASE_MS + self._rank * _PATIENCE_MS:
            self.term = self._highest + 1
            self._highest = self.term
            self._begun_ms = now_ms

    def _repeat(self, key: int, pot: _Pot, now_ms: int) -> list[Lease]:
        for account in pot.accounts.values():
            account.lent, account.until_ms = min(account.held, account.limit), now_ms + LEASE_MS
        return [self._lease(key, origin, account) for origin, account in pot.accounts.items() if account.lent]

    def _divide(self, key: int, pot: _Pot, now_ms: int, all_of_them: bool) -> list[Lease]:
        pot.drop_silent(now_ms)
        last = {origin: account.lent for origin, account in pot.accounts.items()}
        there = {o: a for o, a in pot.accounts.items() if now_ms - a.seen_ms <= LEASE_MS}
        if not there:
            return []
        limit = median_low(account.limit for account in there.values())
        lendable = limit - limit // UNLENT_PART
        shares = fair_shares(lendable, {origin: account.wanted for origin, account in there.items()})
        for origin, account in there.items():
            if shares[origin] <= account.outstanding(now_ms):
                account.lend(shares[origin], now_ms)
        free = lendable - sum(account.outstanding(now_ms) for account in pot.accounts.values())
        leases = []
        for origin, account in sorted(there.items()):
            before = account.outstanding(now_ms)
            if shares[origin] > before:
                more = max(min(shares[origin] - before, free), 0)
                free -= more
                account.lend(before + more, now_ms)
                pot.changed |= before + more < shares[origin]
            if account.lent and (all_of_them or account.lent != last[origin]):
                leases.append(self._lease(key, origin, account))
        return leases

    def _lease(self, key: int, origin: int, account: _Account) -> Lease:
        burst = max(account.burst * account.lent // account.limit, 1)
        return Lease(key, account.lent, burst, LEASE_MS, self.term, origin)
