"""What lenders and borrowers of a fleet's limits agree on: times, the pulse, and the share of who holds no lease.

After Doorman (github.com/youtube/doorman): a lease ends by itself, so that nobody need be asked to give anything back;
a lender that is new repeats for one lease what others hold before it lends anew; without a lender everybody has a safe
share. Rates are in millionths of a call a second: in thousandths ten calls an hour could not be divided.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.control.sync.keys import KeyKind, named_key

LEASE_MS = 10_000
REFRESH_MS = 2000
MICRO = 1_000_000
UNLENT_PART = 20  # of a limit, one in so many is left for those to whom nothing is lent, all of them together
SAFE_FACTOR = 2  # without a lender all together may use so many times the limit
PULSE = ""


@dataclass(frozen=True, slots=True)
class FleetLimit:
    """One window of a limit that holds for the whole fleet. word: its name's hash. micro_rate: calls in 10^6 s."""

    name: str
    word: int
    micro_rate: int
    burst: int

    @property
    def window_ms(self) -> int:
        """In which the burst comes again."""
        return self.burst * 1000 * MICRO // self.micro_rate


def limit_key(salt: bytes, limit: FleetLimit, word: int) -> int:
    """What a limit and whom it counts are called on the wire; nobody outside can tell who it is."""
    return named_key(KeyKind.LIMIT, salt, limit.name, f"{word:x}")


def pulse_key(salt: bytes) -> int:
    """Of no limit: the record by which a lender says that it is there, and how many nodes there are."""
    return named_key(KeyKind.LIMIT, salt, PULSE)


def fair_shares(limit: int, wanted: dict[int, int]) -> dict[int, int]:
    """Max-min fairness: whoever wants less than an equal share gets it, the rest is shared equally, all of it."""
    shares: dict[int, int] = {}
    left, pending = limit, sorted(wanted.items(), key=lambda item: (item[1], item[0]))
    while pending:
        origin, want = pending.pop(0)
        shares[origin] = min(want, left // (len(pending) + 1))
        left -= shares[origin]
    for origin in shares:
        shares[origin] += left // len(shares)
    return shares
