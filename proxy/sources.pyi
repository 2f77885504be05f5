class Sources:
    """What a worker knows of the addresses that send to it; a table of fixed size.

    capacity: addresses, rounded up to a power of two. secret: 16 bytes that nobody outside knows.
    """

    evictions: int
    def __init__(self, capacity: int, secret: bytes) -> None: ...
    def proven_until_us(self, ip: str) -> int:
        """Until when this address counts as proven, 0 = it is unknown; for tests and tools."""
