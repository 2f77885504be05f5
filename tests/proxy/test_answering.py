"""The built-in softswitch and the demonstration's phone, each against the other and against odd input."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import StringIO

from rich.console import Console

from proxy.answering import open_answering
from proxy.config_address import HostPort
from proxy.demo import DemoCall, demonstration_calls, place_calls, verdict_table
from proxy.plain_sip import PlainMessage, parse_message, uri_of

INVITE = (
    "INVITE sip:1@127.0.0.1 SIP/2.0\r\nv: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK1;rport\r\n"
    "Record-Route: <sip:127.0.0.1;lr>\r\nf: <sip:a@b>;tag=1\r\nTo:\r\n <sip:1@127.0.0.1>\r\ni: {call_id}\r\n"
    "CSeq: 1 {method}\r\nContent-Length: {length}\r\n\r\n{body}"
)


@asynccontextmanager
async def softswitch() -> AsyncIterator[HostPort]:
    signalling, voice = await open_answering("127.0.0.1", 0)
    yield HostPort("127.0.0.1", signalling.get_extra_info("sockname")[1], None)
    signalling.close()
    voice.close()


class Peer:
    """A socket that says what a test writes."""

    def __init__(self, address: HostPort) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.connect((address.host, address.port))
        self._socket.setblocking(False)

    def say(self, method: str, call_id: str = "c1", body: str = "") -> None:
        port = self._socket.getsockname()[1]
        text = INVITE.format(port=port, call_id=call_id, method=method, length=len(body), body=body)
        self._socket.send(text.replace("INVITE", method, 1).encode())

    async def hear(self) -> PlainMessage:
        async with asyncio.timeout(30):
            message = parse_message(await asyncio.get_running_loop().sock_recv(self._socket, 65536))
        assert message is not None
        return message

    async def hear_status(self, status: int) -> PlainMessage:
        """The next answer with this status; others are passed over."""
        while (message := await self.hear()).status != status:
            pass
        return message


def test_call_is_answered_and_ended() -> None:
    async def scenario() -> None:
        async with softswitch() as address:
            calls = [DemoCall("clean", "+8613800138000"), DemoCall("anonymous", "anonymous")]
            await place_calls(address, calls)
            assert [call.answer for call in calls] == ["200 OK", "200 OK"]

    asyncio.run(scenario())


def test_answer_copies_what_it_must_and_repeats_itself() -> None:
    async def scenario() -> None:
        async with softswitch() as address:
            peer = Peer(address)
            peer.say("INVITE")
            ringing, answer = await peer.hear(), await peer.hear()
            assert (ringing.status, answer.status) == (180, 200)
            assert answer.get("record-route") == "<sip:127.0.0.1;lr>"
            assert answer.get("to") == ringing.get("to") != "<sip:1@127.0.0.1>"
            peer.say("INVITE")
            assert await peer.hear_status(200) == answer
            assert await peer.hear_status(200) == answer, "a 200 is repeated until the ACK comes"
            peer.say("ACK")
            peer.say("BYE")
            assert (await peer.hear_status(200)).get("cseq") in ("1 BYE", "1 INVITE")

    asyncio.run(scenario())


def test_audio_is_accepted_and_echoed_and_video_refused() -> None:
    async def scenario() -> None:
        async with softswitch() as address:
            peer = Peer(address)
            offer = (
                "v=0\r\nm=video 4000 RTP/AVP 99\r\nm=audio 4002 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
            )
            peer.say("INVITE", body=offer)
            lines = (await peer.hear_status(200)).body.decode().splitlines()
            (audio,) = (line for line in lines if line.startswith("m=audio"))
            assert "m=video 0 RTP/AVP 99" in lines and audio.endswith(" RTP/AVP 8 101")
            assert "a=rtpmap:101 telephone-event/8000" in lines
            voice = Peer(HostPort("127.0.0.1", int(audio.split()[1]), None))
            voice.say("RTP")
            assert (await voice.hear()).method == "RTP"

    asyncio.run(scenario())


def test_cancelled_call_ends_with_487() -> None:
    async def scenario() -> None:
        async with softswitch() as address:
            peer = Peer(address)
            peer.say("INVITE")
            await peer.hear_status(180)
            peer.say("CANCEL")
            assert (await peer.hear_status(200)).get("cseq") == "1 CANCEL"
            await peer.hear_status(487)
            peer.say("ACK")

    asyncio.run(scenario())


def test_other_requests() -> None:
    async def scenario() -> None:
        async with softswitch() as address:
            peer = Peer(address)
            for method, status in (("OPTIONS", 200), ("REGISTER", 405), ("BYE", 481), ("CANCEL", 481)):
                peer.say(method, call_id=method)
                assert (await peer.hear()).status == status

    asyncio.run(scenario())


def test_uri_of_any_form_of_address() -> None:
    assert uri_of('"A" <sip:c@d;lr>;tag=1') == "sip:c@d;lr"
    assert uri_of("sip:c@d;tag=1") == "sip:c@d"


def test_table_has_one_row_for_calls_that_ended_alike() -> None:
    calls = [call for call in demonstration_calls() if call.kind in ("listed", "bursting")]
    for number, call in enumerate(calls):
        rejected = number == 0 or number > 5
        call.answer = "603 Network Blocked" if rejected else "200 OK"
        call.decision = {
            "time": f"{number:02}",
            "caller": call.caller,
            "action": "reject" if rejected else "accept",
            "basis": "analytics" if rejected else "none",
            "rule": None,
            "score": 560 if rejected else 0,
            "label": "loans" if rejected else None,
            "reasons": [{"name": "reputation", "points": 300}, {"name": "burst", "points": 0}] if rejected else [],
            "redress_id": "AERUKZ4JVPG66" if rejected else None,
        }
    out = StringIO()
    Console(file=out, width=200).print(verdict_table(calls, 200))
    rows = [line.split("  ") for line in out.getvalue().splitlines() if "+86" in line]
    assert [row[1].strip() for row in rows] == ["listed", "bursting x 5", "bursting x 3"]
    assert "reputation +300, burst (analytics), score 560, label loans" in out.getvalue()
    assert out.getvalue().count("AERUKZ4JVPG66") == 2
