"""The socket between workers and control: event frames one way, notes both ways, each a message of its own.

A frame is a header and whole `Event` records. A note is a small JSON object. The worker's end never blocks: what
control does not take in time waits in a bounded queue, and what does not fit there is dropped and counted.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from contextlib import suppress
from pathlib import Path

import msgspec

from proxy.events import EVENT_BYTES

FRAME_EVENTS = 64
MESSAGE_BYTES = 65_536  # no message is longer
_HEADER = struct.Struct("=IHHQ")  # magic, worker, events, events dropped so far
_MAGIC = 0x31564543  # "CEV1": a note begins with "{"


class Frame(msgspec.Struct, frozen=True):
    worker: int
    dropped: int
    events: bytes


class Note(msgspec.Struct, frozen=True, tag=True):
    """Said between a worker and control."""


class Hello(Note, frozen=True, tag="hello"):
    """Worker: here I am, with this generation in force."""

    worker: int
    pid: int
    generation: int


class Beside(Note, frozen=True, tag="beside"):
    """A process of another SIP server: it screens with this node, and takes new generations up by itself."""

    program: str
    worker: int
    pid: int
    generation: int


class Swap(Note, frozen=True, tag="swap"):
    """Control: put this generation into force."""

    generation: int


class Swapped(Note, frozen=True, tag="swapped"):
    """Worker: it is in force, or why it is not."""

    generation: int
    error: str | None = None


class Target(msgspec.Struct, frozen=True):
    gateway: str
    target: str
    up: bool


class Targets(Note, frozen=True, tag="targets"):
    """Worker: how the targets of the gateways are, each time that changes."""

    targets: tuple[Target, ...]


class Certificate(msgspec.Struct, frozen=True):
    """A [[tls]] table whose files cannot be used. served: those of before still are; False: nobody gets in."""

    tls: str
    served: bool
    why: str


class Certificates(Note, frozen=True, tag="certificates"):
    """Worker: what is wrong with certificates on disk, each time that changes."""

    troubled: tuple[Certificate, ...]


class Refused(Note, frozen=True, tag="refused"):
    """Worker: requests answered 503 for want of room or over a limit, by trunk, since it said so last."""

    trunks: dict[str, int]


Message = Frame | Hello | Beside | Swap | Swapped | Targets | Certificates | Refused

_notes: msgspec.json.Decoder[Hello | Beside | Swap | Swapped | Targets | Certificates | Refused]
_notes = msgspec.json.Decoder(Hello | Beside | Swap | Swapped | Targets | Certificates | Refused)


def encode_note(note: Note) -> bytes:
    return msgspec.json.encode(note)


def decode_message(data: bytes) -> Message:
    """One message; ValueError if it is none."""
    if data[:1] == b"{":
        return _notes.decode(data)
    if len(data) < _HEADER.size:
        raise ValueError(f"{len(data)} bytes are no message")
    magic, worker, count, dropped = _HEADER.unpack_from(data)
    if magic != _MAGIC or len(data) != _HEADER.size + count * EVENT_BYTES:
        raise ValueError("not an event frame of this version")
    return Frame(worker, dropped, data[_HEADER.size :])


class EventSender:
    """The worker's end. limit: events that wait for control at most."""

    def __init__(self, path: Path, worker: int, limit: int = 16_384) -> None:
        self._path = str(path)
        self._worker = worker
        self._limit = limit
        self._socket: socket.socket | None = None
        self._waiting: deque[bytes] = deque()
        self._loose: list[bytes] = []
        self.pending = 0
        self.dropped = 0

    @property
    def connected(self) -> bool:
        return self._socket is not None

    def connect(self) -> socket.socket | None:
        """The socket, for the caller to read and to close; None while control is away."""
        end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        try:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            end.connect(self._path)
        except OSError:
            end.close()
            return None
        self._socket = end
        return end

    def disconnect(self) -> None:
        """Sends no more on this connection; who reads it is told the end."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket = None

    def add(self, events: bytes) -> None:
        """Takes whole events, to go out at the next flush."""
        count = len(events) // EVENT_BYTES
        if self.pending + count > self._limit:
            self.dropped += count
            return
        self._loose.append(events)
        self.pending += count

    def flush(self) -> bool:
        """Sends what control takes now; whether that was everything."""
        self._form_frames()
        while self._waiting:
            events = self._waiting[0]
            count = len(events) // EVENT_BYTES
            if not self.send(_HEADER.pack(_MAGIC, self._worker, count, self.dropped) + events):
                return False
            self._waiting.popleft()
            self.pending -= count
        return True

    def note(self, note: Note) -> bool:
        return self.send(encode_note(note))

    def send(self, message: bytes) -> bool:
        """Whether control's socket took the message; a connection that failed is given up."""
        if self._socket is None:
            return False
        try:
            self._socket.send(message)
        except BlockingIOError:
            return False
        except OSError:
            self.disconnect()
            return False
        return True

    def _form_frames(self) -> None:
        if not self._loose:
            return
        events = b"".join(self._loose)
        self._loose.clear()
        step = FRAME_EVENTS * EVENT_BYTES
        self._waiting.extend(events[start : start + step] for start in range(0, len(events), step))
