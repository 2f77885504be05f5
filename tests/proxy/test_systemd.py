"""What a service manager is told."""

import socket
from pathlib import Path

import pytest

from proxy.systemd import notify_ready, notify_reloading, notify_stopping


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_hears_each_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    name = f"@callsieve-test{tmp_path}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify_ready("SIP on udp 127.0.0.1:5060")
        notify_reloading()
        notify_stopping()
        heard = [manager.recv(1000).decode() for _ in range(3)]
    assert heard[0] == "READY=1\nSTATUS=SIP on udp 127.0.0.1:5060"
    assert heard[1].startswith("RELOADING=1\nMONOTONIC_USEC=") and heard[1].rpartition("=")[2].isdigit()
    assert heard[2] == "STOPPING=1"


def test_nobody_to_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify_stopping()
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify_stopping()
