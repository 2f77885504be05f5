from socket import socket

class Uas:
    """Answers every call on one UDP socket.

    contact: host:port written into Contact, where the caller sends what follows (the socket's own, unless a forwarder
    stands before it). ring_ms: between 180 and 200. reject_status: answers every `reject_every`-th call with it.
    drop_every: takes no notice of one in N datagrams received, by their place and not every N-th exactly. t1_ms: RFC
    3261's T1. capacity: calls at once.
    """

    def __init__(
        self,
        sock: socket,
        *,
        contact: str,
        ring_ms: float = 0.0,
        reject_status: int = 0,
        reject_every: int = 1,
        drop_every: int = 0,
        t1_ms: float = 500.0,
        capacity: int = 32768,
    ) -> None: ...
    def run(self) -> None:
        """Serves until `stop`, without the GIL."""
    def stop(self) -> None: ...
    @property
    def counts(self) -> dict[str, int]:
        """May be read while it runs."""
