"""linphone-daemon as a phone (Debian's linphone-cli): no screen, no sound card, commands over a Unix socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from tests.live.programs import LOOPBACK, Ports, Program, require, wait_until

# Its TLS library does not compare addresses in certificates, so only the authority is looked at.
CONFIG = """\
[sip]
auto_net_state_mon=0
use_ipv6=0
ipv6_migration_done=1
bind_address={host}
guess_hostname=0
sip_port={port}
sip_tcp_port={port}
sip_tls_port={tls_port}
contact=<sip:{number}@{host}>
root_ca={authority}
verify_server_certs=1
verify_server_cn=0
register_only_when_network_is_up=0
[rtp]
audio_rtp_port={rtp_port}
[misc]
log_collection=0
"""


class Linphone(Program):
    """One phone: UDP and TCP on `port`, TLS on `tls_port`. Its states are names of LinphoneCallState."""

    def __init__(self, number: str, directory: Path, ports: Ports, name: str, authority: Path | None) -> None:
        binary = require("linphone-daemon", "linphone-cli")
        home = directory / name
        for folder in (".local/share/linphone", ".config/linphone"):  # without them it starts and never listens
            (home / folder).mkdir(parents=True)
        self.number, self.port, self.tls_port = number, ports.tcp(), ports.tcp()
        (home / "linphonerc").write_text(
            CONFIG.format(
                host=LOOPBACK,
                number=number,
                port=self.port,
                tls_port=self.tls_port,
                rtp_port=ports.udp(),
                authority=authority or "",
            )
        )
        pipe = f"callsieve-{os.getpid()}-{self.port}"
        self._pipe = Path("/tmp") / pipe  # where linphone-daemon puts it
        arguments = ["--config", str(home / "linphonerc"), "--pipe", pipe, "--log", str(home / "log")]
        super().__init__([binary, *arguments, "--disable-stats-events"], directory, name, {"HOME": str(home)})
        control = wait_until(self._connect, f"{name} to take commands; it said:\n{self.tail()}", 20)
        assert control is not None
        self._control = control
        self._states: list[str] = []
        self.command("version")

    def _connect(self) -> socket.socket | None:
        control = socket.socket(socket.AF_UNIX)
        control.settimeout(10)
        try:
            control.connect(str(self._pipe))
        except (FileNotFoundError, ConnectionRefusedError):
            control.close()
            return None
        return control

    def command(self, text: str) -> str:
        """The answer, which must be a good one."""
        self._control.sendall(f"{text}\n".encode())
        answer = self._control.recv(65536).decode(errors="replace")
        assert answer.startswith("Status: Ok"), f"{text}: {answer}"
        return answer

    def dial(self, number: str, port: int, transport: str = "udp") -> None:
        self.command(f"call sip:{number}@{LOOPBACK}:{port};transport={transport}")

    def answer(self) -> None:
        self.command("answer")

    def hang_up(self) -> None:
        self.command("terminate")

    def wait_state(self, state: str, timeout_s: float = 15.0) -> None:
        """Until it was in this state, e.g. CallIncomingReceived, CallStreamsRunning, CallReleased."""

        def reached() -> bool:
            self._states += self._new_states()
            return f"Linphone{state}" in self._states

        wait_until(reached, f"{self.name}: {state}; it was {self._states}", timeout_s)

    def stop(self) -> None:
        self._control.close()
        super().stop()
        self._pipe.unlink(missing_ok=True)

    def _new_states(self) -> Iterator[str]:
        while "Event-type:" in (answer := self.command("pop-event")):
            yield from (line.removeprefix("Event: ") for line in answer.splitlines() if line.startswith("Event: "))


class LinphoneFactory:
    """Starts phones in one test's directory."""

    def __init__(self, directory: Path, ports: Ports) -> None:
        self._directory = directory
        self._ports = ports
        self._started: list[Linphone] = []

    def phone(self, number: str, authority: Path | None = None) -> Linphone:
        """authority: who must have signed the certificate of a TLS server that it calls."""
        name = f"linphone-{len(self._started)}"
        phone = Linphone(number, self._directory, self._ports, name, authority)
        self._started.append(phone)
        return phone

    def stop(self) -> None:
        for phone in self._started:
            phone.stop()
