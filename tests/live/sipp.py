"""SIPp as caller and callee: scenarios from tests/live/sipp, what it received read back from its message trace."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

import pytest

from tests.live.programs import FIRST_PORT, LOOPBACK, Ports, Program, is_bound, require, wait_until

SCENARIOS = Path(__file__).parent / "sipp"
CALLER = "+8613800138000"  # nothing is known of it
CALLEE = "+862088886666"


@dataclass(frozen=True, slots=True)
class Message:
    """A SIP message as SIPp traced it."""

    received: bool
    start_line: str
    headers: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name.lower()]

    def get(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)

    @property
    def status(self) -> int | None:
        return int(self.start_line.split()[1]) if self.start_line.startswith("SIP/2.0 ") else None

    @property
    def method(self) -> str | None:
        return None if self.status else self.start_line.split()[0]


class Sipp(Program):
    """A SIPp process; `messages` is its trace so far."""

    def __init__(self, arguments: list[str], scenario: str, directory: Path, name: str, values: dict[str, str]) -> None:
        binary = require("sipp", "sip-tester")
        self.port = int(arguments[arguments.index("-p") + 1])
        self._trace = directory / f"{name}.messages"
        script = directory / f"{name}.xml"
        script.write_text(Template((SCENARIOS / f"{scenario}.xml").read_text()).substitute(values))
        trace = ["-trace_msg", "-message_file", str(self._trace), "-trace_err", "-error_file", f"{name}.errors"]
        super().__init__([binary, "-sf", str(script), *trace, "-nostdin", *arguments], directory, name)

    def wait_until_bound(self, transport: str) -> None:
        """A call that comes before would be refused by the machine (ICMP, or a reset)."""

        def bound() -> bool:
            if self.exit_code is not None:
                pytest.fail(f"{self.name} ended with {self.exit_code}:\n{self.tail()}")
            return is_bound(self.port, transport)

        wait_until(bound, f"{self.name} to listen; it said:\n{self.tail()}", 20)

    def trace(self) -> str:
        """What SIPp wrote of its messages so far."""
        return self._trace.read_text(errors="replace") if self._trace.exists() else ""

    @property
    def messages(self) -> list[Message]:
        blocks = re.split(r"^-{20,} .*\n", self.trace(), flags=re.MULTILINE)
        return [_parse_block(block) for block in blocks if block.strip()]

    def received(self, what: str | int) -> list[Message]:
        """Requests of a method, or responses with a status."""
        return [m for m in self.messages if m.received and what in (m.method, m.status)]


class SippFactory:
    """Starts callers and callees in one test's directory."""

    def __init__(self, directory: Path, ports: Ports) -> None:
        self._directory = directory
        self._ports = ports
        self._started: list[Sipp] = []

    def callee(
        self,
        scenario: str = "uas",
        *,
        port: int | None = None,
        ring_ms: int = 50,
        transport: str = "u1",
        refusal: str = "603 Decline",
    ) -> Sipp:
        """ring_ms: between 180 and 200; at once they may overtake each other in a proxy of several processes.

        transport: as SIPp has it, u1 for UDP, t1 for one TCP connection, tn for one a call. refusal: its answer."""
        port = port or self._ports.udp()
        arguments = ["-i", LOOPBACK, *_ports_of(port), "-t", transport, "-aa", "-skip_rlimit"]  # -aa: OPTIONS too
        program = self._start(arguments, scenario, {"ring_ms": str(ring_ms), "refusal": refusal})
        program.wait_until_bound("udp" if transport.startswith("u") else "tcp")
        return program

    def caller(
        self,
        proxy_port: int,
        scenario: str = "uac",
        *,
        caller: str = CALLER,
        callee: str = CALLEE,
        from_uri: str | None = None,
        headers: tuple[str, ...] = (),
        source: str = LOOPBACK,
        calls: int = 1,
        rate: int = 10,
        talk_ms: int = 100,
        status: int = 0,
        lost_percent: int = 0,
        transport: str = "u1",
        host: str = LOOPBACK,
        give_up_ms: int = 0,
    ) -> Sipp:
        """Places `calls` calls, `rate` a second, and ends by itself: exit code 0 = every call went as scripted.

        from_uri: instead of the caller's number at its address; headers: more lines for the INVITE; source: the
        loopback address to call from; transport: as in `callee`; host: of the proxy; give_up_ms: a call that waits so
        long for an answer has failed, 0 = only the end of all, after a minute, fails it.
        """
        arguments = [f"{host}:{proxy_port}", *_ports_of(self._ports.udp()), "-m", str(calls), "-r", str(rate)]
        arguments += ["-t", transport, "-l", str(calls), "-timeout", "60", "-timeout_error", "-skip_rlimit"]
        if give_up_ms:
            arguments += ["-recv_timeout", str(give_up_ms)]
        if lost_percent:
            arguments += ["-lost", str(lost_percent)]
        values = {
            "caller": caller,
            "callee": callee,
            "from_uri": from_uri or f"sip:{caller}@[local_ip]:[local_port]",
            "headers": "".join(f"\n{line}" for line in headers),
            "talk_ms": str(talk_ms),
            "status": str(status),
        }
        return self._start(["-i", source, *arguments], scenario, values)

    def stop(self) -> None:
        for program in self._started:
            program.stop()

    def _start(self, arguments: list[str], scenario: str, values: dict[str, str]) -> Sipp:
        name = f"{scenario}-{len(self._started)}"
        program = Sipp(arguments, scenario, self._directory, name, values)
        self._started.append(program)
        return program


def _parse_block(block: str) -> Message:
    direction, _, message = block.partition("\n\n")
    start_line, *lines = message.partition("\n\n")[0].splitlines()
    pairs = (line.partition(":") for line in lines)
    headers = tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
    return Message("received" in direction, start_line, headers)


def _ports_of(port: int) -> list[str]:
    """SIP and media ports of one SIPp. Left to themselves, two that start together race for the same media ports."""
    return ["-p", str(port), "-mp", str(10_000 + 4 * (port - FIRST_PORT))]
