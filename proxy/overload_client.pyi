class OverloadClient:
    """What each next hop asks us to withhold (RFC 7339 section 5, RFC 7415 section 3.5).

    seed: 8 bytes or more for the random choice of what is withheld.
    """

    def __init__(self, seed: bytes) -> None: ...
    def hear(self, ip: str, port: int, via: bytes, now_us: int) -> None:
        """A response whose top Via is this, from that address; for tests."""
    def may_send(self, ip: str, port: int, priority: bool, now_us: int) -> bool:
        """Counts a request toward an address; False: it is to be withheld. For tests."""
