from socket import socket

class Forwarder:
    """Passes datagrams between the last caller that sent an INVITE and `callee`; rejecting: answers 603 instead."""

    forwarded: int

    def __init__(self, sock: socket, *, callee: tuple[str, int], rejecting: bool = False) -> None: ...
    def run(self) -> None:
        """Serves until `stop`, without the GIL."""
    def stop(self) -> None: ...
