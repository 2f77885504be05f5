class Histogram:
    """Microseconds, 0 to 2**32 - 1: exact below 4,096, above it at most 1/2,048 too low."""

    def record(self, value_us: int) -> None: ...
    def percentile(self, share: float) -> int:
        """The smallest recorded value that at least `share` percent do not exceed (nearest rank); 0 when empty."""
    def merge(self, other: Histogram) -> None: ...
    def __len__(self) -> int: ...
    @property
    def highest(self) -> int:
        """The largest value recorded, exact."""
