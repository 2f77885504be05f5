"""What a service manager is told, if there is one (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time


def notify_ready(status: str) -> None:
    _notify(f"READY=1\nSTATUS={status}")


def notify_reloading() -> None:
    _notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def notify_stopping() -> None:
    _notify("STOPPING=1")


def _notify(message: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        try:
            end.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError:
            return  # the manager's own affair
