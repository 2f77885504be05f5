"""The running proxy, asked over the Unix socket in its state directory."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from proxy.cli_output import ExitCode, Failure

_STATUS_TIMEOUT_S = 5.0
_COMMAND_TIMEOUT_S = 15.0
# A reload compiles every list before it answers.
_RELOAD_TIMEOUT_S = 600.0


class NotRunning(Failure):
    """Nobody listens on the socket."""

    def __init__(self, control_socket: Path) -> None:
        super().__init__(f"callsieve is not running (no answer on {control_socket})", ExitCode.NOT_RUNNING)


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class ControlClient:
    def __init__(self, control_socket: Path) -> None:
        self._socket = control_socket

    def status(self) -> dict[str, Any]:
        http_status, answer = self._ask("GET", "/v1/status", _STATUS_TIMEOUT_S)
        if http_status != 200:
            raise self._unexpected(http_status)
        return answer

    def reload(self) -> tuple[bool, dict[str, Any]]:
        """(accepted, answer): generation and warnings of what is in force now, or errors, and all is as before."""
        http_status, answer = self._ask("POST", "/v1/reload", _RELOAD_TIMEOUT_S)
        if http_status not in (200, 422):
            raise self._unexpected(http_status)
        return http_status == 200, answer

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """(HTTP status, answer) of a route of the API."""
        return self._ask(method, path, _COMMAND_TIMEOUT_S, None if body is None else json.dumps(body))

    def _ask(
        self, method: str, path: str, timeout_s: float, body: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        connection = _UnixConnection(self._socket, timeout_s)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"{}")
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotRunning(self._socket) from None
        except TimeoutError:
            raise Failure(f"callsieve did not answer in {timeout_s:g} s", ExitCode.NOT_RUNNING) from None
        except PermissionError:
            raise Failure(f"no permission to talk to callsieve ({self._socket})", ExitCode.SYSTEM) from None
        except (OSError, HTTPException, ValueError) as why:
            raise Failure(f"callsieve broke off its answer on {self._socket}: {why}", ExitCode.NOT_RUNNING) from None
        finally:
            connection.close()

    def _unexpected(self, http_status: int) -> Failure:
        return Failure(f"callsieve answered {http_status} on {self._socket}", ExitCode.SYSTEM)
