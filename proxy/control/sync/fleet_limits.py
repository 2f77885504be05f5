"""A node's part in the limits of the whole fleet: it borrows, and lends if it may and nobody better does."""

from __future__ import annotations

from proxy.control.sync.borrowing import Borrower
from proxy.control.sync.lending import Lender
from proxy.control.sync.records import Demand, Lease
from proxy.control.sync.trust import Member, Role, Trust


class FleetLimits:
    """lender: None for a node that never lends."""

    def __init__(self, own: Member, trust: Trust, now_ms: int) -> None:
        tops = sorted(member.origin for member in trust.members if member.has(Role.TOP))
        salt = trust.bundle.salt
        proxies = sum(member.has(Role.PROXY) for member in trust.members)
        self.borrower = Borrower(own.origin, salt, proxies)
        self.lender = Lender(own.origin, salt, tops.index(own.origin), now_ms) if own.has(Role.TOP) else None
        self._own = own.origin
        self._borrows = own.has(Role.PROXY)

    def on_leases(self, member: Member, leases: list[Lease], now_ms: int) -> None:
        self.borrower.on_leases(member.origin, leases, now_ms)
        if self.lender is not None:
            self.lender.on_leases(member.origin, leases, now_ms)

    def on_demands(self, member: Member, demands: list[Demand], now_ms: int) -> None:
        if self.lender is not None:
            self.lender.on_demands(member.origin, demands, now_ms)

    def on_disconnected(self, now_ms: int) -> None:
        if self.lender is not None:
            self.lender.not_connected(now_ms)

    def take(self, now_ms: int, nodes: int) -> tuple[list[Demand], list[Lease]]:
        """What is to be told now. nodes: how many proxies there are, for a lender to tell."""
        demands = self.borrower.take_demands(now_ms) if self._borrows else []
        if self.lender is None:
            return demands, []
        self.lender.on_demands(self._own, demands, now_ms)
        leases = self.lender.take_leases(now_ms, nodes)
        self.borrower.on_leases(self._own, leases, now_ms)
        return demands, leases
