"""baresip phones without a screen or a sound card: driven over their TCP control socket, sound from file to file."""

from __future__ import annotations

import json
import socket
import threading
import wave
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.live.programs import LOOPBACK, Ports, Program, require, wait_until

TALK_S = 0.6  # long enough that a recording holds sound
MODULES = Path("/usr/lib/baresip/modules")
CONFIG = """\
poll_method epoll
sip_listen {host}:{sip_port}
call_local_timeout 60
call_max_calls 4
audio_player aubridge,heard
audio_source aufile,{tone}
audio_alert aubridge,heard
snd_path {home}
ausrc_format s16
auplay_format s16
rtp_ports {rtp_port}-{rtp_end}
rtp_timeout 0
net_interface {host}
module_path {modules}
module_tmp account.so
module aufile.so
module aubridge.so
module sndfile.so
module g711.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {host}:{control_port}
"""


@dataclass(frozen=True, slots=True)
class Way:
    """How a phone is joined to others. proxy_port: where all its requests go. certificate: of TLS, with its key."""

    proxy_port: int | None = None
    own_port: int | None = None
    transport: str = "udp"
    certificate: Path | None = None
    authority: Path | None = None


class Baresip(Program):
    """One phone. Events that it reports are kept in `events`, newest last."""

    def __init__(self, number: str, directory: Path, ports: Ports, name: str, way: Way) -> None:
        binary = require("baresip", "baresip-core")
        home = directory / name
        home.mkdir()
        self.number = number
        self.port = way.own_port or ports.udp()
        self._way = way
        self._home = home
        self.events: list[dict[str, Any]] = []
        control_port, rtp_port = ports.tcp(), ports.udp() & ~1
        tls = {"sip_certificate": way.certificate, "sip_cafile": way.authority}
        (home / "config").write_text(
            CONFIG.format(
                host=LOOPBACK,
                sip_port=self.port,
                home=home,
                tone=_tone(home / "tone.wav"),
                rtp_port=rtp_port,
                rtp_end=rtp_port + 10,
                modules=MODULES,
                control_port=control_port,
            )
            + "".join(f"{key} {value}\n" for key, value in tls.items() if value)
        )
        more = f";transport={way.transport}"
        outbound = f';outbound="sip:{LOOPBACK}:{way.proxy_port}{more}"' if way.proxy_port else ""
        account = f"<sip:{number}@{LOOPBACK}:{self.port}{more}>{outbound};regint=0;audio_codecs=PCMA"
        (home / "accounts").write_text(f"{account};answermode=manual\n")
        (home / "contacts").write_text("")
        super().__init__([binary, "-f", str(home), "-s"], directory, name)
        self.wait_for("baresip is ready.")
        self._control = socket.create_connection((LOOPBACK, control_port), 5.0)
        self._control.settimeout(None)
        self._reader = threading.Thread(target=self._read_events, daemon=True)
        self._reader.start()

    def dial(self, number: str, port: int, *, host: str = LOOPBACK) -> None:
        """By the transport of its account, which it adds itself."""
        self._command("dial", f"sip:{number}@{host}:{port}")

    def answer(self) -> None:
        self._command("accept")

    def hang_up(self) -> None:
        self._command("hangup")

    def wait_event(self, kind: str, timeout_s: float = 10.0) -> dict[str, Any]:
        """The first event of this type, e.g. CALL_INCOMING, CALL_ESTABLISHED, CALL_CLOSED."""

        def found() -> dict[str, Any] | None:
            return next((e for e in self.events if e.get("type") == kind), None)

        event = wait_until(found, f"{self.name}: {kind}; it said:\n{self.tail(60)}", timeout_s)
        assert event is not None
        return event

    def loudness(self) -> int:
        """The greatest sample it heard in its calls, 0..32767; 0 = silence. Known once the call is over."""
        return max((_peak(path) for path in self._home.glob("dump-*-dec.wav")), default=0)

    def stop(self) -> None:
        self._control.close()
        super().stop()

    def _command(self, command: str, parameters: str = "") -> None:
        text = json.dumps({"command": command, "params": parameters, "token": command})
        self._control.sendall(f"{len(text)}:{text},".encode())

    def _read_events(self) -> None:
        """Netstrings of JSON: `LENGTH:TEXT,`."""
        buffer = b""
        while True:
            try:
                chunk = self._control.recv(65536)
            except OSError:
                return
            if not chunk:
                return
            buffer += chunk
            while (head := buffer.partition(b":"))[1] and len(head[2]) > int(head[0]):
                length = int(head[0])
                message = json.loads(head[2][:length])
                if message.get("event"):
                    self.events.append(message)
                buffer = head[2][length + 1 :]


def _peak(path: Path) -> int:
    with wave.open(str(path)) as recording:
        samples = memoryview(recording.readframes(recording.getnframes())).cast("h")
    return max((abs(s) for s in samples), default=0)


def _tone(path: Path, seconds: int = 20) -> Path:
    """A tone of 500 Hz, 8000 samples a second, as loud as 12000 of 32767."""
    period = array("h", (0, 8485, 12000, 8485, 0, -8485, -12000, -8485))
    period = array("h", (s for s in period for _ in range(2)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((period * (500 * seconds)).tobytes())
    return path


class BaresipFactory:
    """Starts phones in one test's directory."""

    def __init__(self, directory: Path, ports: Ports) -> None:
        self._directory = directory
        self._ports = ports
        self._started: list[Baresip] = []

    def phone(self, number: str, **way: Any) -> Baresip:
        """A phone whose address of record is `number`; further arguments are those of Way."""
        if not MODULES.is_dir():
            pytest.fail(f"{MODULES} is missing: `make deps` installs it (Debian package baresip-core)", pytrace=False)
        phone = Baresip(number, self._directory, self._ports, f"phone-{len(self._started)}", Way(**way))
        self._started.append(phone)
        return phone

    def stop(self) -> None:
        for phone in self._started:
            phone.stop()
