"""Messages out of a byte stream, whatever the pieces it comes in (RFC 3261 sections 7.5, 18.3)."""

from typing_extensions import Buffer

class StreamFramer:
    """The messages of one connection.

    max_head, max_message: bytes; more is refused with 513 as soon as it is known, before memory is taken for it.
    status: 0, or the status to answer before the connection is closed; `refused` is then what was read of that message.
    """

    status: int
    refused: bytes
    def __init__(self, max_head: int = 65535, max_message: int = 65535) -> None: ...
    def feed(self, data: Buffer) -> None:
        """Takes what was received; nothing is kept once the framing is lost. MemoryError if there is no room."""
    def next_message(self) -> bytes | None:
        """The next whole message; None if it has not come yet, or `status` says that none will."""
    @property
    def ahead(self) -> bytes:
        """What `next_message` is going to look at: a head, or what there is of one; b"" if nothing."""
    def take_replies(self) -> bytes:
        """What the transport itself answers to the bytes it was fed: one CRLF a ping (RFC 5626 section 5.4)."""
    def encode(self, message: bytes) -> bytes:
        """A message as it goes onto the wire."""
    @property
    def under_way(self) -> bool:
        """Whether a message has begun and is not complete."""
    @property
    def ended(self) -> bool:
        """Never: a stream of SIP has no end of its own."""
    def ping(self) -> bytes:
        """Nothing: who opened the connection keeps it alive (RFC 5626 section 3.5.1)."""
    @property
    def memory(self) -> int:
        """Bytes held."""
