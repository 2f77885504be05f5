"""A softswitch in miniature, for the quickstart: rings, answers, echoes the caller's voice, and hangs up when told.

python -m proxy.answering --address 127.0.0.1:5070
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
from dataclasses import dataclass, field
from typing import cast

from proxy.config_address import parse_host_port
from proxy.plain_sip import Headers, PlainMessage, branch_of, parse_message, response

T1_S, T2_S = 0.5, 4.0  # RFC 3261 section 17.1.1.1
_ALLOW = ("allow", "INVITE, ACK, CANCEL, BYE, OPTIONS")
_RING_S = 0.3
_MAX_CALLS = 1000

Address = tuple[str, int]


@dataclass(slots=True, eq=False)
class _Call:
    """tag: ours. answer: the latest response, given again to a retransmission. ending: what runs until the ACK."""

    invite: PlainMessage
    peer: Address
    tag: str = field(default_factory=lambda: secrets.token_hex(8))
    answer: PlainMessage | None = None
    task: asyncio.Task[None] | None = None


class Answering(asyncio.DatagramProtocol):
    """The SIP side. media: host and port that voice is sent to."""

    def __init__(self, media: Address) -> None:
        self._media = media
        self._calls: dict[str, _Call] = {}
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, peer: Address) -> None:
        request = parse_message(data)
        if request is None or not request.is_request:
            return
        call = self._calls.get(request.get("call-id"))
        match request.method:
            case "INVITE":
                self._invite(request, call, peer)
            case "ACK":
                self._acknowledged(call)
            case "CANCEL":
                self._cancel(request, call, peer)
            case "BYE":
                self._bye(request, call, peer)
            case "OPTIONS":
                self._answer(request, peer, 200, "OK", (_ALLOW, ("accept", "application/sdp")))
            case _:
                self._answer(request, peer, 405, "Method Not Allowed", (_ALLOW,))

    def _invite(self, request: PlainMessage, call: _Call | None, peer: Address) -> None:
        if call is not None and branch_of(call.invite.get("via")) == branch_of(request.get("via")):
            if call.answer is not None:
                self._send(call.answer, call.peer)
            return
        if call is None and len(self._calls) >= _MAX_CALLS:
            self._answer(request, peer, 486, "Busy Here")
            return
        if call is None:
            call = self._calls[request.get("call-id")] = _Call(request, peer)
        call.invite, call.peer = request, peer
        self._stop(call)
        call.task = asyncio.create_task(self._ring_and_answer(call))

    async def _ring_and_answer(self, call: _Call) -> None:
        """180, then 200 until the ACK comes (RFC 3261 section 13.3.1.4)."""
        if ";tag=" not in call.invite.get("to"):
            self._respond(call, 180, "Ringing", (self._contact(),))
            await asyncio.sleep(_RING_S)
        sdp = _sdp_answer(call.invite.body, self._media)
        self._respond(call, 200, "OK", (self._contact(), _ALLOW, ("content-type", "application/sdp")), sdp)
        wait_s, waited_s = T1_S, 0.0
        while waited_s < 64 * T1_S:
            await asyncio.sleep(wait_s)
            waited_s += wait_s
            wait_s = min(2 * wait_s, T2_S)
            assert call.answer is not None
            self._send(call.answer, call.peer)
        self._calls.pop(call.invite.get("call-id"), None)

    def _acknowledged(self, call: _Call | None) -> None:
        if call is None:
            return
        self._stop(call)
        if call.answer is not None and call.answer.status >= 300:
            del self._calls[call.invite.get("call-id")]

    def _cancel(self, request: PlainMessage, call: _Call | None, peer: Address) -> None:
        if call is None:
            self._answer(request, peer, 481, "Call/Transaction Does Not Exist")
            return
        self._send(response(request, 200, "OK", call.tag), peer)
        if call.answer is None or call.answer.status < 200:
            self._stop(call)
            self._respond(call, 487, "Request Terminated")

    def _bye(self, request: PlainMessage, call: _Call | None, peer: Address) -> None:
        if call is None:
            self._answer(request, peer, 481, "Call/Transaction Does Not Exist")
            return
        self._stop(call)
        del self._calls[request.get("call-id")]
        self._answer(request, peer, 200, "OK")

    def _respond(self, call: _Call, status: int, phrase: str, more: Headers = (), body: bytes = b"") -> None:
        call.answer = response(call.invite, status, phrase, call.tag, more, body)
        self._send(call.answer, call.peer)

    def _answer(self, request: PlainMessage, peer: Address, status: int, phrase: str, more: Headers = ()) -> None:
        self._send(response(request, status, phrase, secrets.token_hex(8), more), peer)

    def _send(self, message: PlainMessage, peer: Address) -> None:
        assert self._transport is not None
        self._transport.sendto(message.serialize(), peer)

    def _stop(self, call: _Call) -> None:
        if call.task is not None:
            call.task.cancel()

    def _contact(self) -> tuple[str, str]:
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")[:2]
        return "contact", f"<sip:softswitch@{_in_uri(host)}:{port}>"


class Echo(asyncio.DatagramProtocol):
    """Sends every datagram back: a caller hears their own voice."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, peer: Address) -> None:
        self._transport.sendto(data, peer)


async def open_answering(host: str, port: int) -> tuple[asyncio.DatagramTransport, asyncio.DatagramTransport]:
    """Starts it; the transports of signalling and voice, to be closed by the caller."""
    loop = asyncio.get_running_loop()
    voice, _ = await loop.create_datagram_endpoint(Echo, local_addr=(host, 0))
    media = voice.get_extra_info("sockname")[:2]
    try:
        signalling, _ = await loop.create_datagram_endpoint(lambda: Answering(media), local_addr=(host, port))
    except OSError:
        voice.close()
        raise
    return signalling, voice


def _sdp_answer(offer: bytes, media: Address) -> bytes:
    """The first audio stream of an offer accepted as it is, all others refused (RFC 3264 section 6)."""
    host, port = media
    version = "IP6" if ":" in host else "IP4"
    lines = ["v=0", f"o=callsieve 1 1 IN {version} {host}", "s=-", f"c=IN {version} {host}", "t=0 0"]
    streams = _audio_and_refused(offer.decode("utf-8", "replace").splitlines(), port)
    lines += streams or [f"m=audio {port} RTP/AVP 0 8", "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000"]
    return "".join(f"{line}\r\n" for line in lines).encode()


def _audio_and_refused(offer: list[str], port: int) -> list[str]:
    lines: list[str] = []
    accepted = in_accepted = False
    for line in offer:
        if line.startswith("m="):
            kind, _, rest = line.partition(" ")
            in_accepted = kind == "m=audio" and not accepted
            accepted = accepted or in_accepted
            lines.append(f"{kind} {port if in_accepted else 0} {rest.partition(' ')[2]}")
        elif in_accepted and line.startswith(("a=rtpmap:", "a=fmtp:", "a=ptime:")):
            lines.append(line)
    return lines


def _in_uri(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _serve(host: str, port: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    transports = await open_answering(host, port)
    await stop.wait()
    for transport in transports:
        transport.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="proxy.answering")
    parser.add_argument("--address", default="127.0.0.1:5070")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    address = parse_host_port(parser.parse_args().address)
    asyncio.run(_serve(address.host, address.port))


if __name__ == "__main__":
    main()
