from typing import NamedTuple

class OutgoingMessage(NamedTuple):
    """A message that a core wants sent. flow: the connection it should go by. token: for `transport_failed`."""

    listener: int
    ip: str
    port: int
    data: bytes
    flow: int
    token: int

class Outbox:
    """Datagrams that a core wants sent, until the edge has sent them."""

    overflows: int
    def __init__(self, limit: int = 4096, arena_bytes: int = ...) -> None: ...
    def drain(self) -> list[OutgoingMessage]:
        """Everything collected; the outbox is empty afterwards."""
