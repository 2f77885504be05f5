"""SIP over WebSocket without I/O: the library's client on the other side (RFC 7118, RFC 6455)."""

from __future__ import annotations

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Origin, Subprotocol
from websockets.uri import parse_uri

from proxy.websocket import WebSocketFramer
from tests.sip.heads import message

INVITE = message()  # without Content-Length (RFC 7118 section 5)


class Client:
    """A client and the framer it is connected to."""

    def __init__(
        self, subprotocols: tuple[str, ...] = ("sip",), origin: str | None = None, origins: tuple[str, ...] = ()
    ) -> None:
        self.framer = WebSocketFramer(origins, 2000)
        self._found: list[bytes] = []
        self.protocol = ClientProtocol(
            parse_uri("ws://proxy.example.net/"),
            origin=Origin(origin) if origin else None,
            subprotocols=[Subprotocol(name) for name in subprotocols],
        )
        self.protocol.send_request(self.protocol.connect())
        self.events = self.exchange()

    def exchange(self, step: int = 0) -> list[object]:
        """What the client has to send, in pieces of `step` bytes; what comes back of it."""
        data = b"".join(self.protocol.data_to_send())
        step = step or max(1, len(data))
        for at in range(0, len(data), step):
            self._found += fed(self.framer, data[at : at + step])
        return self.receive(self.framer.take_replies())

    def receive(self, data: bytes) -> list[object]:
        if data:
            self.protocol.receive_data(data)
        return list(self.protocol.events_received())

    def messages(self) -> list[bytes]:
        """That have come since the last time."""
        found, self._found = self._found, []
        return found


def fed(framer: WebSocketFramer, data: bytes) -> list[bytes]:
    """The messages that are there once it was given a piece."""
    framer.feed(memoryview(data))
    return list(iter(framer.next_message, None))


def test_handshake_agrees_on_sip() -> None:
    client = Client(("chat", "sip"))
    (response,) = client.events
    assert isinstance(response, Response) and response.status_code == 101
    assert client.protocol.subprotocol == "sip"
    assert not client.framer.ended


@pytest.mark.parametrize("upgrade", [b"websocket", b"something"])
def test_noise_behind_the_request_ends_the_connection(upgrade: bytes) -> None:
    """In one piece with it: the library reads on before it is asked what it thinks of the request."""
    framer = WebSocketFramer((), 2000)
    request = b"GET / HTTP/1.1\r\nHost: proxy.example.net\r\nUpgrade: " + upgrade + b"\r\n\r\n"
    assert fed(framer, request + b"\xee\x03\xf7") == []
    assert (framer.ended, framer.take_replies()) == (True, b"")


@pytest.mark.parametrize("offered", [(), ("chat",)])
def test_a_client_that_does_not_speak_sip_is_refused(offered: tuple[str, ...]) -> None:
    client = Client(offered)
    (response,) = client.events
    assert isinstance(response, Response) and response.status_code == 400
    assert client.framer.ended


@pytest.mark.parametrize(
    ("origin", "allowed", "status"),
    [
        ("https://phone.example.net", (), 101),
        (None, (), 101),
        ("https://phone.example.net", ("https://phone.example.net",), 101),
        ("https://evil.example", ("https://phone.example.net",), 403),
        (None, ("https://phone.example.net",), 403),
    ],
)
def test_origin(origin: str | None, allowed: tuple[str, ...], status: int) -> None:
    (response,) = Client(origin=origin, origins=allowed).events
    assert isinstance(response, Response) and response.status_code == status


@pytest.mark.parametrize("garbage", [message("Content-Length: 0"), b"\x16\x03\x01\x02\x00\r\n\r\n"])
def test_something_else_than_http_ends_it(garbage: bytes) -> None:
    framer = WebSocketFramer((), 2000)
    assert fed(framer, garbage) == []
    assert framer.ended


@pytest.mark.parametrize("step", [0, 1, 7])
def test_one_sip_message_a_websocket_message(step: int) -> None:
    client = Client()
    client.protocol.send_text(INVITE)
    client.protocol.send_binary(INVITE + b"\xff")
    client.exchange(step)
    assert client.messages() == [INVITE, INVITE + b"\xff"]
    assert not client.framer.under_way


def test_fragments_are_joined_around_control_frames() -> None:
    client = Client()
    client.protocol.send_text(INVITE[:10], fin=False)
    client.protocol.send_ping(b"mid")
    client.protocol.send_continuation(INVITE[10:30], fin=False)
    pongs = client.exchange()
    assert [frame.opcode for frame in pongs if isinstance(frame, Frame)] == [Opcode.PONG]
    assert client.messages() == [] and client.framer.under_way
    client.protocol.send_continuation(INVITE[30:], fin=True)
    client.exchange()
    assert client.messages() == [INVITE] and not client.framer.under_way


def test_keepalives_are_no_messages() -> None:
    client = Client()
    for text in (b"\r\n", b"\r\n\r\n", b""):
        client.protocol.send_text(text)
    client.exchange()
    assert client.messages() == []


@pytest.mark.parametrize("fragments", [1, 3])
def test_too_large_a_message_ends_it(fragments: int) -> None:
    client = Client()
    part = b"x" * (2100 // fragments)
    client.protocol.send_binary(part, fin=fragments == 1)
    for left in range(fragments - 2, -1, -1):
        client.protocol.send_continuation(part, fin=left == 0)
    client.exchange()
    assert client.framer.ended and client.messages() == []
    assert client.protocol.close_rcvd is not None and client.protocol.close_rcvd.code == 1009


def test_unmasked_frames_end_it() -> None:
    client = Client()
    assert fed(client.framer, b"\x81\x02hi") == []
    assert client.framer.ended


def test_what_is_going_to_be_looked_at_begins_behind_the_last_whole_frame() -> None:
    client = Client()
    assert client.framer.ahead == b""
    client.protocol.send_text(INVITE)
    client.protocol.send_text(INVITE)
    first, second = client.protocol.data_to_send()
    client.framer.feed(first[:10])
    assert client.framer.ahead == first[:10]
    assert client.framer.next_message() is None and client.framer.ahead == b""
    client.framer.feed(first[10:])
    assert client.framer.ahead == first
    assert client.framer.next_message() == INVITE and client.framer.ahead == b""
    client.framer.feed(second[:1])
    assert client.framer.ahead == second[:1]


@pytest.mark.parametrize(("body", "opcode"), [(b"v=0", Opcode.TEXT), (b"\xff\x00", Opcode.BINARY)])
def test_what_is_sent_is_text_where_it_is_text(body: bytes, opcode: Opcode) -> None:
    client = Client()
    (frame,) = client.receive(client.framer.encode(INVITE + body))
    assert isinstance(frame, Frame) and (frame.opcode, frame.data) == (opcode, INVITE + body)


def test_pings_go_out_once_the_handshake_is_done() -> None:
    assert WebSocketFramer((), 2000).ping() == b""
    client = Client()
    (frame,) = client.receive(client.framer.ping())
    assert isinstance(frame, Frame) and frame.opcode is Opcode.PING
    client.exchange()
    assert client.messages() == []


def test_the_peers_close_is_answered() -> None:
    client = Client()
    client.protocol.send_close(1000)
    client.exchange()
    assert client.framer.ended
    assert client.protocol.close_rcvd is not None and client.protocol.close_rcvd.code == 1000
    assert client.framer.encode(INVITE) == b""
