"""What an operator's tools ask of control over its socket, without the start of a command: orders and complaints."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

CREATED, ACCEPTED = 201, 202


class _LocalConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self._path)


def post(control_socket: Path, path: str, body: object) -> int:
    """The status of the answer; OSError and HTTPException while nobody answers."""
    with closing(_LocalConnection(control_socket)) as connection:
        connection.request("POST", path, json.dumps(body))
        return connection.getresponse().status


def get(control_socket: Path, path: str) -> Any:
    """The JSON of the answer; OSError and HTTPException while nobody answers."""
    with closing(_LocalConnection(control_socket)) as connection:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())


def block(control_socket: Path, number: str) -> bool:
    """Whether it was acknowledged."""
    return post(control_socket, "/v1/decisions", {"numbers": [number], "act": "block"}) == CREATED


def complain(control_socket: Path, number: str) -> bool:
    """Of a number, by somebody who complains of nobody else."""
    body = {"time": time.time(), "caller": number, "reporter": number}
    return post(control_socket, "/v1/complaints", body) == ACCEPTED


class Writers:
    """Ask control for orders and complaints without end, and remember what was acknowledged.

    series: one digit, so that the numbers of several nodes differ. pause_s: between two of one writer.
    """

    def __init__(self, control_socket: Path, *, series: int = 8, count: int = 4, pause_s: float = 0.0) -> None:
        self._socket = control_socket
        self._series = series
        self._pause_s = pause_s
        self._stop = threading.Event()
        self.ordered: set[str] = set()
        self.complained: set[str] = set()
        self.refused = 0
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self, writer: int) -> None:
        count = 0
        while not self._stop.is_set():
            count += 1
            number = f"+8613{self._series}{writer}{count:07}"
            with suppress(OSError, http.client.HTTPException):
                if block(self._socket, number):
                    self.ordered.add(number)
                if complain(self._socket, number):
                    self.complained.add(number)
                self._stop.wait(self._pause_s)
                continue
            self.refused += 1
            self._stop.wait(0.01)
