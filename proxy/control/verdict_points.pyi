"""Points of reputation that verdicts have given, so that they can be taken back without what the node has learned."""

from typing import final

from typing_extensions import Buffer

from engine._reputation import ReputationCache

@final
class VerdictPoints:
    """Remembers as many keys as the table of reputations has room for, at about 20 bytes each."""

    def __init__(self, reputation: ReputationCache) -> None: ...
    def __len__(self) -> int: ...
    def give(self, key: int, wanted: int, now_us: int) -> None:
        """Raises a key to so many points, or takes back what an earlier verdict has given it."""
    def give_bands(self, keys: Buffer, bands: Buffer, points: tuple[int, int, int, int], now_us: int) -> None:
        """Likewise for many. keys: format Q. bands: a `Band` each. points: of each band.

        Keys without a place in the table are passed over: only numbers, prefixes and short codes have one.
        """
