class Outbox:
    """Datagrams that a core wants sent, until the edge has sent them."""

    overflows: int
    def __init__(self, limit: int = 4096, arena_bytes: int = ...) -> None: ...
    def drain(self) -> list[tuple[int, str, int, bytes]]:
        """Everything collected as (listener, ip, port, bytes); the outbox is empty afterwards."""
