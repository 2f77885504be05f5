"""Accepting connections: a few at a time, each asked of the admission, and a pause when descriptors have run out."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable

from proxy.counters import Counters
from proxy.stream_admission import Admission

_ACCEPTS_PER_TURN = 32
_PAUSE_S = 0.5
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER 0: closing leaves nothing behind

Accepted = Callable[[socket.socket, tuple[str, int]], None]


class AcceptLoop:
    """Hands each admitted connection of one listening socket to `accepted`, with its source (ip, port)."""

    def __init__(
        self, listening: socket.socket, by_tls: bool, admission: Admission, counters: Counters, accepted: Accepted
    ) -> None:
        self._listening = listening
        self._by_tls = by_tls
        self._admission = admission
        self._counters = counters
        self._accepted = accepted
        self._pause: asyncio.TimerHandle | None = None
        listening.setblocking(False)

    def start(self) -> None:
        self._pause = None
        asyncio.get_running_loop().add_reader(self._listening.fileno(), self._readable)

    def stop(self) -> None:
        """No more are taken; those that wait in the kernel stay there for who listens next."""
        if self._pause is not None:
            self._pause.cancel()
        asyncio.get_running_loop().remove_reader(self._listening.fileno())

    def _readable(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                end, address = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as why:
                if why.errno in _EXHAUSTED:
                    self._wait()
                    return
                continue  # that peer has gone again
            self._admit(end, (address[0], address[1]))

    def _wait(self) -> None:
        """The socket stays readable: without a pause the loop would spin on a connection that it cannot take."""
        self._counters.add("accept_pauses")
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listening.fileno())
        self._pause = loop.call_later(_PAUSE_S, self.start)

    def _admit(self, end: socket.socket, source: tuple[str, int]) -> None:
        if self._admission.admit(source[0], self._by_tls, asyncio.get_running_loop().time()) is None:
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._counters.add("connections_accepted")
            self._accepted(end, source)
            return
        self._counters.add("connections_refused")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        end.close()
