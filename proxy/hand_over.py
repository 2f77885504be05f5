"""What workers of a node pass to one another, by Unix datagram sockets in the state directory, one a worker.

Messages received that another worker must act on, messages to send by a connection that another has, and requests of
another that ICMP says are lost.
"""

from __future__ import annotations

import os
import socket
import struct
from enum import IntEnum
from typing import NamedTuple

_HEAD = struct.Struct("=BBIHhB")  # kind, listener, flow, port, trunk, size of ip
_MAX_BYTES = 65_536 + 64
MAX_WORKERS = 256


class Kind(IntEnum):
    RECEIVED = 0
    TO_SEND = 1
    LOST = 2  # the beginning of a request


class Passed(NamedTuple):
    """A message with its source, or with its destination if it is to be sent.

    flow: its connection, 0 = none. trunk: index of the one it came from, -1 = of none.
    """

    kind: Kind
    listener: int
    ip: str
    port: int
    flow: int
    data: bytes
    trunk: int = -1


class HandOver:
    """One worker's end."""

    def __init__(self, directory: str | os.PathLike[str], worker: int) -> None:
        self._paths = [os.path.join(directory, f"worker-{number}.sock") for number in range(MAX_WORKERS)]
        own = self._paths[worker]
        if os.path.exists(own):
            os.unlink(own)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(own)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, worker: int, passed: Passed) -> bool:
        """False: that worker is gone, or its queue is full."""
        ip = passed.ip.encode("ascii")
        head = _HEAD.pack(passed.kind, passed.listener, passed.flow, passed.port, passed.trunk, len(ip))
        try:
            self._socket.sendto(head + ip + passed.data, self._paths[worker])
        except OSError:
            return False
        return True

    def receive(self) -> Passed | None:
        """The next that another worker has passed on; None if there is none."""
        try:
            datagram = self._socket.recv(_MAX_BYTES)
        except (BlockingIOError, InterruptedError):
            return None
        kind, listener, flow, port, trunk, size = _HEAD.unpack_from(datagram)
        end = _HEAD.size + size
        ip = datagram[_HEAD.size : end].decode("ascii")
        return Passed(Kind(kind), listener, ip, port, flow, datagram[end:], trunk)
