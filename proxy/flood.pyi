from proxy.config import Flood

class FloodGuard:
    """What one address may cost us. secret: 16 bytes that nobody outside knows."""

    def __init__(self, secret: bytes) -> None: ...
    def configure(self, flood: Flood) -> None:
        """The limits from now on."""
