"""The demonstration: a few calls through real sockets, and the table of what was decided, read from the decision log.

python -m proxy.demo --config conf/quickstart.toml
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxy.config import Configuration
from proxy.config_address import HostPort, parse_host_port
from proxy.config_files import read_files
from proxy.plain_sip import Headers, PlainMessage, parse_message, uri_of
from proxy.state_directory import StateDirectory

_T1_S = 0.5
_ANSWER_TIMEOUT_S = 10.0
_LOG_TIMEOUT_S = 10.0
_TALK_S = 0.2
_CALLEE = "+862088886666"
_BURST = 8
_WIDE_COLUMNS = 100  # from here on there is room for the redress id
_PIPE_COLUMNS = 120
_STYLES = {"accept": "green", "tag": "yellow", "reject": "red", "drop": "red", "divert": "cyan"}

_SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0 8\r\n"


@dataclass(slots=True)
class DemoCall:
    """kind: as the table names it. answer: status line of the final response."""

    kind: str
    caller: str
    call_id: str = field(default_factory=lambda: f"{secrets.token_hex(8)}@demo")
    answer: str = "no answer"
    decision: dict[str, Any] | None = None


def demonstration_calls() -> list[DemoCall]:
    """By the numbers of conf/quickstart.toml."""
    return [
        DemoCall("clean", "+8613800138000"),
        DemoCall("listed", "+862066660000"),
        DemoCall("labelled", "+8616512345678"),
        DemoCall("anonymous", "anonymous"),
        *(DemoCall("bursting", "+8613911112222") for _ in range(_BURST)),
    ]


class DemoPhone(asyncio.DatagramProtocol):
    """Places calls to one proxy and hangs up a moment after the answer."""

    def __init__(self, proxy: HostPort) -> None:
        self._proxy = proxy
        self._waiting: dict[str, asyncio.Queue[PlainMessage]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self._host, self._port = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        message = parse_message(data)
        if message is not None and not message.is_request and message.get("call-id") in self._waiting:
            self._waiting[message.get("call-id")].put_nowait(message)

    async def place(self, call: DemoCall) -> None:
        self._waiting[call.call_id] = asyncio.Queue()
        try:
            invite = self._invite(call)
            answer = await self._request(invite)
            if answer is None:
                return
            call.answer = answer.start.removeprefix("SIP/2.0 ")
            if answer.status >= 300:
                self._send(_ack_of_failure(invite, answer))
                return
            self._send(self._in_dialog("ACK", 1, invite, answer))
            await asyncio.sleep(_TALK_S)
            await self._request(self._in_dialog("BYE", 2, invite, answer))
        finally:
            del self._waiting[call.call_id]

    async def _request(self, request: PlainMessage) -> PlainMessage | None:
        """The final response; sent again until any response comes (RFC 3261 section 17.1)."""
        responses = self._waiting[request.get("call-id")]
        wait_s = _T1_S
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                self._send(request)
                while True:
                    try:
                        response = await asyncio.wait_for(responses.get(), wait_s)
                    except TimeoutError:
                        self._send(request)
                        wait_s *= 2
                        continue
                    if response.get("cseq") != request.get("cseq"):
                        continue
                    if response.status >= 200:
                        return response
                    wait_s = _ANSWER_TIMEOUT_S
        except TimeoutError:
            return None

    def _invite(self, call: DemoCall) -> PlainMessage:
        anonymous = call.caller == "anonymous"
        from_uri = "sip:anonymous@anonymous.invalid" if anonymous else f"sip:{call.caller}@{self._here()}"
        headers: Headers = (
            ("via", self._via()),
            ("max-forwards", "70"),
            ("from", f"<{from_uri}>;tag={secrets.token_hex(6)}"),
            ("to", f"<sip:{_CALLEE}@{self._there()}>"),
            ("call-id", call.call_id),
            ("cseq", "1 INVITE"),
            ("contact", f"<sip:demo@{self._here()}>"),
            ("user-agent", "callsieve demonstration"),
            *((("privacy", "id"),) if anonymous else ()),
            ("content-type", "application/sdp"),
        )
        return PlainMessage(f"INVITE sip:{_CALLEE}@{self._there()} SIP/2.0", headers, _SDP)

    def _in_dialog(self, method: str, cseq: int, invite: PlainMessage, answer: PlainMessage) -> PlainMessage:
        """A request by the route set that the answer recorded (RFC 3261 section 12.2.1.1)."""
        headers: Headers = (
            ("via", self._via()),
            *(("route", route) for route in reversed(answer.all("record-route"))),
            ("max-forwards", "70"),
            ("from", invite.get("from")),
            ("to", answer.get("to")),
            ("call-id", invite.get("call-id")),
            ("cseq", f"{cseq} {method}"),
        )
        return PlainMessage(f"{method} {uri_of(answer.get('contact'))} SIP/2.0", headers)

    def _send(self, message: PlainMessage) -> None:
        self._transport.sendto(message.serialize(), (self._proxy.host, self._proxy.port))

    def _via(self) -> str:
        return f"SIP/2.0/UDP {self._here()};rport;branch=z9hG4bK{secrets.token_hex(8)}"

    def _here(self) -> str:
        return f"{self._host}:{self._port}"

    def _there(self) -> str:
        return f"{self._proxy.host}:{self._proxy.port}"


def _ack_of_failure(invite: PlainMessage, answer: PlainMessage) -> PlainMessage:
    """RFC 3261 section 17.1.1.3: the INVITE's own Via and branch, the answer's To."""
    kept = [(name, value) for name, value in invite.headers if name in ("via", "max-forwards", "from", "call-id")]
    uri = invite.start.split(" ")[1]
    return PlainMessage(f"ACK {uri} SIP/2.0", (*kept, ("to", answer.get("to")), ("cseq", "1 ACK")))


async def place_calls(proxy: HostPort, calls: Sequence[DemoCall]) -> None:
    """One after the other, but calls of one kind that follow each other at once."""
    loop = asyncio.get_running_loop()
    transport, phone = await loop.create_datagram_endpoint(lambda: DemoPhone(proxy), local_addr=(proxy.host, 0))
    try:
        for _, together in groupby(calls, key=lambda call: call.kind):
            await asyncio.gather(*(phone.place(call) for call in together))
    finally:
        transport.close()


async def read_decisions(path: Path, start: int, calls: Sequence[DemoCall]) -> None:
    """Fills in what the decision log says of the calls, from byte `start` on; waits for it to be written."""
    by_id = {call.call_id: call for call in calls}
    deadline = asyncio.get_running_loop().time() + _LOG_TIMEOUT_S
    while any(call.decision is None for call in calls) and asyncio.get_running_loop().time() < deadline:
        for line in _lines(path, start):
            decision = json.loads(line)
            if decision["call_id"] in by_id:
                by_id[decision["call_id"]].decision = decision
        await asyncio.sleep(0.05)


def _lines(path: Path, start: int) -> list[bytes]:
    """Whole lines after `start`; from the beginning if the log was rotated meanwhile."""
    if not path.exists():
        return []
    data = path.read_bytes()
    return data[start if start <= len(data) else 0 :].split(b"\n")[:-1]


def verdict_table(calls: Sequence[DemoCall], columns: int) -> Table:
    """One row for calls of one kind with the same outcome; redress ids where `columns` leave room for them."""
    table = Table(title="What callsieve decided", title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for heading in ("call", "caller", "answered", "verdict", "why"):
        table.add_column(heading, no_wrap=heading != "why")
    with_redress = columns >= _WIDE_COLUMNS
    if with_redress:
        table.add_column("redress id", no_wrap=True)
    for _, group in groupby(_decided(calls), key=lambda call: (call.kind, call.answer)):
        alike = list(group)
        row = _row(alike[-1], len(alike))
        table.add_row(*(row if with_redress else row[:5]))
    return table


def _decided(calls: Sequence[DemoCall]) -> list[DemoCall]:
    """In the order of decision within each kind."""
    kinds = list(dict.fromkeys(call.kind for call in calls))
    return sorted(calls, key=lambda call: (kinds.index(call.kind), (call.decision or {}).get("time", "")))


def _row(call: DemoCall, count: int) -> list[str | Text]:
    kind = f"{call.kind} x {count}" if count > 1 else call.kind
    decision = call.decision
    if decision is None:
        return [kind, call.caller, call.answer, Text("unknown", "red"), "not in the decision log", ""]
    verdict = Text(decision["action"], _STYLES.get(decision["action"], ""))
    return [kind, decision["caller"], call.answer, verdict, _why(decision), decision["redress_id"] or ""]


def _why(decision: dict[str, Any]) -> str:
    """`burst-caller (analytics)`, `fresh-range +300, reputation +260 (analytics), score 560, label loans`"""
    reasons = [
        f"{reason['name']} {reason['points']:+d}" if reason["points"] else reason["name"]
        for reason in decision["reasons"]
    ]
    text = ", ".join(reasons) or decision["rule"] or "nothing against it"
    if decision["basis"] != "none":
        text += f" ({decision['basis']})"
    if decision["score"]:
        text += f", score {decision['score']}"
    if decision["label"]:
        text += f", label {decision['label']}"
    return text


async def demonstrate(configuration: Configuration, decision_log: Path, console: Console) -> bool:
    """Whether every call was decided and is in the log."""
    proxy = parse_host_port(configuration.listeners[0].address)
    calls = demonstration_calls()
    start = decision_log.stat().st_size if decision_log.exists() else 0
    with console.status("placing demonstration calls"):
        await place_calls(proxy, calls)
        await read_decisions(decision_log, start, calls)
    console.print(verdict_table(calls, console.width))
    console.print(f"Each line in full: {decision_log}", soft_wrap=True)
    console.print(
        f"Still serving: point a SIP phone at {proxy.host}:{proxy.port} and call any number. Ctrl-C ends it.",
        soft_wrap=True,
    )
    return all(call.decision is not None for call in calls)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="proxy.demo")
    parser.add_argument("--config", type=Path, required=True)
    state = StateDirectory(Path(read_files(parser.parse_args().config).configuration().node.state_dir))
    current = state.current()
    if current is None:
        print("callsieve is not running", file=sys.stderr)
        return 1
    configuration = state.configuration(current)
    decision_log = Path(configuration.decision_log.path or state.path / "decisions.jsonl")
    return 0 if asyncio.run(demonstrate(configuration, decision_log, _console())) else 1


if __name__ == "__main__":
    sys.exit(main())
