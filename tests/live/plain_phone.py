"""A phone of the tests' own, over any wire: it says every message of a call itself and reads every one that comes."""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass, field

from tests.live.wires import Wire

TIMEOUT_S = 10.0
SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n"


@dataclass(frozen=True, slots=True)
class SipMessage:
    start_line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    @property
    def what(self) -> str:
        """The method of a request, the status of a response."""
        first, second, *_ = self.start_line.split()
        return second if first == "SIP/2.0" else first

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name.lower()]

    def get(self, name: str) -> str:
        return self.all(name)[0]


def read(data: bytes) -> SipMessage:
    head, _, body = data.partition(b"\r\n\r\n")
    start_line, *lines = head.decode().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return SipMessage(start_line, tuple((name.strip().lower(), value.strip()) for name, _, value in pairs), body)


@dataclass(slots=True)
class Call:
    """One end of a dialog (RFC 3261 section 12): `remote`, `routes` and `target` are known once it is set up."""

    call_id: str
    own: str  # From of our requests, To of theirs
    remote: str
    target: str
    routes: list[str] = field(default_factory=list)
    sequence: int = 0


class PlainPhone:
    """number: who it is; domain: what the proxy is called in its URIs."""

    def __init__(self, wire: Wire, number: str, domain: str) -> None:
        self.wire = wire
        self._number = number
        self._domain = domain
        self._branches = itertools.count(1)
        self.seen: list[SipMessage] = []

    @property
    def contact(self) -> str:
        transport = self.wire.transport.lower()
        parameter = "" if transport == "udp" else f";transport={'ws' if transport == 'wss' else transport}"
        return f"<sip:{self._number}@{self.wire.place}{parameter}>"

    # What a caller does

    def invite(self, callee: str) -> tuple[Call, SipMessage]:
        """Sends an INVITE; the call, and the request as it went."""
        call = Call(
            call_id=secrets.token_hex(8),
            own=f"<sip:{self._number}@{self._domain}>;tag={secrets.token_hex(4)}",
            remote=f"<sip:{callee}@{self._domain}>",
            target=f"sip:{callee}@{self._domain}",
        )
        return call, self.request(call, "INVITE", SDP)

    def answered(self, call: Call) -> SipMessage:
        """Waits for the 2xx of our INVITE, which sets up the dialog, and acknowledges it."""
        answer = self.expect("200")
        call.remote, call.target = answer.get("To"), _uri(answer.get("Contact"))
        call.routes = call.routes or list(reversed(_values(answer, "Record-Route")))
        self.request(call, "ACK")
        return answer

    def refused(self, call: Call, invite: SipMessage, status: str) -> SipMessage:
        """Waits for this final answer to our INVITE and acknowledges it, in the same transaction (section 17.1.1.3)."""
        answer = self.expect(status)
        copied = [f"{name.title()}: {invite.get(name)}" for name in ("Via", "From", "Call-ID", "Max-Forwards")]
        start_line = invite.start_line.replace("INVITE", "ACK", 1)
        self._send([start_line, *copied, f"To: {answer.get('To')}", f"CSeq: {call.sequence} ACK"], b"")
        return answer

    # What a callee does

    def rung(self) -> tuple[Call, SipMessage]:
        """Waits for an INVITE and rings."""
        invite = self.expect("INVITE")
        own = f"{invite.get('To')};tag={secrets.token_hex(4)}"
        routes = _values(invite, "Record-Route")
        call = Call(invite.get("Call-ID"), own, invite.get("From"), _uri(invite.get("Contact")), routes)
        self.respond(invite, "180 Ringing", call)
        return call, invite

    # What both do

    def request(self, call: Call, method: str, body: bytes = b"", *more: str) -> SipMessage:
        """Within a dialog, or the one that may become it. An ACK has the number of its INVITE (section 13.2.2.4)."""
        call.sequence += method != "ACK"
        lines = [
            f"{method} {call.target} SIP/2.0",
            f"Via: SIP/2.0/{self.wire.transport} {self.wire.place};branch=z9hG4bK{next(self._branches)}x"
            f"{secrets.token_hex(4)};rport",
            "Max-Forwards: 70",
            *(f"Route: {route}" for route in call.routes),
            f"From: {call.own}",
            f"To: {call.remote}",
            f"Call-ID: {call.call_id}",
            f"CSeq: {call.sequence} {method}",
            f"Contact: {self.contact}",
            *more,
        ]
        return self._send(lines, body)

    def respond(self, request: SipMessage, status: str, call: Call, *more: str) -> SipMessage:
        copied = [
            f"{name.title()}: {value}"
            for name, value in request.headers
            if name in ("via", "record-route", "from", "call-id", "cseq")
        ]
        lines = [f"SIP/2.0 {status}", *copied, f"To: {call.own}", f"Contact: {self.contact}", *more]
        return self._send(lines, SDP if "INVITE" in request.get("CSeq") and status.startswith("2") else b"")

    def expect(self, what: str) -> SipMessage:
        """The next message but provisional responses and repeats, which must be a `what`."""
        while True:
            data = self.wire.receive(TIMEOUT_S)
            assert data is not None, f"waited for {what} in vain; seen: {[m.start_line for m in self.seen]}"
            message = read(data)
            repeated = any(m.start_line == message.start_line and m.all("CSeq") == message.all("CSeq") and
                           m.all("Via") == message.all("Via") for m in self.seen)
            self.seen.append(message)
            if message.what == what:
                return message
            assert message.what in ("100", "180") or repeated, f"waited for {what}, came {message.start_line}"

    def _send(self, lines: list[str], body: bytes) -> SipMessage:
        if body:
            lines.append("Content-Type: application/sdp")
        data = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body
        self.wire.send(data)
        return read(data)


def _values(message: SipMessage, name: str) -> list[str]:
    """Each value of a header that may hold several, none of which has a comma of its own here."""
    return [value.strip() for line in message.all(name) for value in line.split(",")]


def _uri(name_addr: str) -> str:
    return name_addr.partition("<")[2].partition(">")[0]
