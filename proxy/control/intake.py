"""The socket that workers report to: event frames in, orders to swap out."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from proxy.event_channel import (
    MESSAGE_BYTES,
    Beside,
    Certificate,
    Certificates,
    Frame,
    Hello,
    Refused,
    Swap,
    Swapped,
    Target,
    Targets,
    decode_message,
    encode_note,
)
from proxy.events import EventBatch
from proxy.logs import Log

_MESSAGES_A_TURN = 32  # read from one worker before others have their turn


@dataclass(slots=True, eq=False)
class WorkerLink:
    """What is known of a connected worker. worker is -1 until it has said who it is.

    program: of which it is a process, where that is another SIP server; such a one is never told to swap.
    """

    socket: socket.socket
    worker: int = -1
    program: str = ""
    pid: int = 0
    generation: int = 0
    dropped: int = 0
    targets: tuple[Target, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    swap: asyncio.Future[Swapped | None] | None = field(default=None, repr=False)


class EventIntake:
    """current: the generation that workers should have in force; a worker that comes with another is told to swap."""

    def __init__(self, path: Path, log: Log, on_events: Callable[[EventBatch], None], current: int) -> None:
        self._path = path
        self._log = log
        self._on_events = on_events
        self._buffer = bytearray(MESSAGE_BYTES)
        self._links: set[WorkerLink] = set()
        self._dropped: dict[int, int] = {}
        self.refused: Counter[str] = Counter()  # requests answered 503, by trunk
        self._listening: socket.socket | None = None
        self.current = current

    @property
    def workers(self) -> list[WorkerLink]:
        """Those connected, by number."""
        return self._known(lambda link: not link.program)

    @property
    def plugins(self) -> list[WorkerLink]:
        """Processes of other SIP servers, likewise."""
        return self._known(lambda link: bool(link.program))

    def _known(self, wanted: Callable[[WorkerLink], bool]) -> list[WorkerLink]:
        return sorted((link for link in self._links if link.worker >= 0 and wanted(link)), key=lambda link: link.worker)

    @property
    def ready(self) -> int:
        """How many workers have the current generation in force."""
        return sum(link.generation == self.current for link in self.workers)

    @property
    def dropped(self) -> dict[int, int]:
        """Events that workers had to drop, by worker, over all their connections."""
        totals = dict(self._dropped)
        for link in (*self.workers, *self.plugins):
            totals[link.worker] = totals.get(link.worker, 0) + link.dropped
        return totals

    def open(self) -> None:
        self._path.unlink(missing_ok=True)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        self._listening.bind(str(self._path))
        os.chmod(self._path, 0o600)
        self._listening.listen(512)
        asyncio.get_running_loop().add_reader(self._listening.fileno(), self._accept)

    def close(self) -> None:
        loop = asyncio.get_running_loop()
        for link in list(self._links):
            self._drop(link)
        if self._listening is not None:
            loop.remove_reader(self._listening.fileno())
            self._listening.close()
            self._path.unlink(missing_ok=True)

    async def swap(self, generation: int, timeout_s: float) -> dict[int, Swapped | None]:
        """Orders every connected worker to swap; what each answered, None if it went away or took too long."""
        self.current = generation
        orders = {link.worker: self._order(link) for link in self.workers}
        if orders:
            await asyncio.wait(orders.values(), timeout=timeout_s)
        return {worker: order.result() if order.done() else None for worker, order in orders.items()}

    def _order(self, link: WorkerLink) -> asyncio.Future[Swapped | None]:
        link.swap = asyncio.get_running_loop().create_future()
        try:
            link.socket.send(encode_note(Swap(self.current)))
        except OSError:
            link.swap.set_result(None)
        return link.swap

    def _accept(self) -> None:
        assert self._listening is not None
        try:
            end, _ = self._listening.accept()
        except OSError:
            return
        end.setblocking(False)
        link = WorkerLink(end)
        self._links.add(link)
        asyncio.get_running_loop().add_reader(end.fileno(), self._read, link)

    def _read(self, link: WorkerLink) -> None:
        for _ in range(_MESSAGES_A_TURN):
            try:
                size = link.socket.recv_into(self._buffer)
            except BlockingIOError:
                return
            except OSError:
                size = 0
            if size == 0:
                self._drop(link)
                return
            try:
                self._take(link, bytes(memoryview(self._buffer)[:size]))
            except ValueError as why:
                self._log.warning("message of a worker not understood", worker=link.worker, why=str(why))
                self._drop(link)
                return

    def _take(self, link: WorkerLink, data: bytes) -> None:
        message = decode_message(data)
        if isinstance(message, Frame):
            link.dropped = message.dropped
            self._on_events(EventBatch(message.events))
        elif isinstance(message, Hello):
            link.worker, link.pid, link.generation = message.worker, message.pid, message.generation
            if message.generation != self.current:
                self._order(link)
        elif isinstance(message, Beside):
            link.program, link.worker = message.program, message.worker
            link.pid, link.generation = message.pid, message.generation
        elif isinstance(message, Swapped):
            self._swapped(link, message)
        elif isinstance(message, Targets):
            link.targets = message.targets
        elif isinstance(message, Certificates):
            link.certificates = message.troubled
        elif isinstance(message, Refused):
            self.refused.update(message.trunks)

    def _swapped(self, link: WorkerLink, answer: Swapped) -> None:
        if answer.error is None:
            link.generation = answer.generation
        if link.swap is not None and not link.swap.done() and answer.generation == self.current:
            link.swap.set_result(answer)

    def _drop(self, link: WorkerLink) -> None:
        asyncio.get_running_loop().remove_reader(link.socket.fileno())
        link.socket.close()
        self._links.discard(link)
        if link.swap is not None and not link.swap.done():
            link.swap.set_result(None)
        if link.worker >= 0:
            self._dropped[link.worker] = self._dropped.get(link.worker, 0) + link.dropped


def all_targets(links: Iterable[WorkerLink]) -> dict[tuple[int, str, str], bool]:
    """Whether each target is up, by (worker, gateway, target)."""
    return {(link.worker, seen.gateway, seen.target): seen.up for link in links for seen in link.targets}
