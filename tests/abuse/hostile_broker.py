"""A broker that is none: it refuses, says nothing, sends a byte a second, or garbage without end."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, suppress

from tests.live.programs import LOOPBACK

KINDS = ("refused", "silent", "dripping", "garbage")
CONNACK = b"\x20\x03\x00\x00\x00"  # MQTT 5, section 3.2
GARBAGE = bytes(range(256)) * 256


class HostileBroker:
    """port: where it listens; of kind "refused" nobody does. taken: connections so far."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._listening = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listening.getsockname()[1]
        self.taken = 0
        self._stop = threading.Event()
        if kind == "refused":
            self._listening.close()
            self._listening = socket.socket()
            self._listening.bind((LOOPBACK, self.port))  # held, and not listened on
        self._listening.settimeout(0.1)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._listening.close()

    def _serve(self) -> None:
        with ExitStack() as ends:
            taken: list[socket.socket] = []
            turn = 0
            while not self._stop.wait(0.1):
                with suppress(OSError):
                    taken.append(ends.enter_context(self._listening.accept()[0]))
                    taken[-1].setblocking(False)
                    self.taken += 1
                for end in taken:
                    with suppress(OSError):
                        self._say(end, turn)
                turn += 1

    def _say(self, end: socket.socket, turn: int) -> None:
        if self._kind == "dripping" and turn % 10 == 0:
            end.send(CONNACK[turn // 10 % 5 :][:1])
        elif self._kind == "garbage":
            end.send(GARBAGE)
