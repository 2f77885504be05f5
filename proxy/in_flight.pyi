"""What a worker is working on, in memory that outlives it, and the digests of messages that no worker takes."""

from typing import ClassVar

IN_FLIGHT_BYTES: int
QUARANTINE_BYTES: int

class InFlight:
    """fd: of IN_FLIGHT_BYTES of shared memory; -1 = memory of its own."""

    beats: int
    def __init__(self, fd: int = -1) -> None: ...
    def beat(self) -> None:
        """The event loop turns."""
    def clear(self) -> None:
        """For a worker that begins."""
    def in_hand(self) -> list[bytes]:
        """The messages of which one is to blame for what has happened to the worker; none if it had none in hand."""

class Quarantine:
    """fd: of QUARANTINE_BYTES of shared memory; -1 = memory of its own. The key is the supervisor's, by `set_key`."""

    capacity: ClassVar[int]
    def __init__(self, fd: int = -1) -> None: ...
    def set_key(self) -> None:
        """A new secret: nobody can make a message that collides with another."""
    def digest(self, message: bytes) -> int: ...
    def add(self, digest: int) -> None:
        """Takes the place of the oldest when all are taken."""
    def holds(self, message: bytes) -> bool: ...
