"""The filter of the kernel against datagrams that it may drop and those that it may not."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from proxy.invite_filter import InviteFilter
from tests.proxy.messages import request
from tests.proxy.playbook import Play
from tests.proxy.test_core_overload import CONTROLLED

COUNT = 400


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        sender.connect(receiver.getsockname())
        yield receiver, sender


def passed(pair: tuple[socket.socket, socket.socket], datagram: bytes) -> int:
    """How many of COUNT like this come through."""
    receiver, sender = pair
    taken = 0
    for _ in range(COUNT // 20):
        for _ in range(20):
            sender.send(datagram)
        try:
            while receiver.recv(65_535) == datagram:
                taken += 1
        except BlockingIOError:
            pass
    return taken


@pytest.mark.parametrize(
    "datagram",
    [
        request(callee="110"),
        request(callee="+86110"),
        request(uri="urn:service:sos"),
        request(uri="tel:110;phone-context=+86"),
        request(callee="%31%31%30%31%31%30"),
        request(to_tag="b", headers=["Route: <sip:203.0.113.5:5060;lr;cs=00accf777f481741a6>"]),
        request(headers=["Resource-Priority: ets.0"]),
        request().replace(b";rport", b';rport;oc;oc-algo="loss"', 1),
        request("BYE"),
        request("ACK"),
        request("OPTIONS"),
        b"SIP/2.0 200 OK\r\n\r\n",
        b"INVITE",
        b"\r\n\r\n",
        b"",
    ],
)
def test_what_may_be_more_than_a_new_call_passes(pair: tuple[socket.socket, socket.socket], datagram: bytes) -> None:
    assert InviteFilter([pair[0]]).let_in(1e-6) == 1e-6
    assert passed(pair, datagram) == COUNT


def test_what_this_proxy_writes_into_requests_is_known(pair: tuple[socket.socket, socket.socket]) -> None:
    """Its Record-Route, as a request within the dialog carries it back, and a Via that asks for overload control."""
    (forwarded,) = Play(CONTROLLED).receive(request())
    route = request(to_tag="b", headers=[f"Route: {forwarded.one('Record-Route')}"])
    via = request().replace(b"Via: ", b"Via: " + forwarded.all("Via")[0].encode() + b"\r\nVia: ", 1)
    InviteFilter([pair[0]]).let_in(1e-6)
    assert (passed(pair, route), passed(pair, via)) == (COUNT, COUNT)
    assert passed(pair, request()) < COUNT / 2


@pytest.mark.parametrize(
    "datagram",
    [request(), request(uri="sips:+862088886666@a.b"), request(uri="tel:+862088886666"), request(body=b"x" * 900)],
)
def test_a_part_of_the_new_calls_passes(pair: tuple[socket.socket, socket.socket], datagram: bytes) -> None:
    drawn = InviteFilter([pair[0]])
    for part in (0.5, 0.1):
        assert drawn.let_in(part) == part
        assert abs(passed(pair, datagram) / COUNT - part) < 0.15, "more than four standard deviations"
    assert drawn.let_in(1.0) == 1.0
    assert passed(pair, datagram) == COUNT


def test_nothing_changes_for_a_little(pair: tuple[socket.socket, socket.socket]) -> None:
    drawn = InviteFilter([pair[0]])
    assert drawn.let_in(0.5) == 0.5
    assert drawn.let_in(0.52) == 0.5
    assert drawn.let_in(0.4) == 0.4


def test_what_a_worker_before_has_left_is_taken_off(pair: tuple[socket.socket, socket.socket]) -> None:
    InviteFilter([pair[0]]).let_in(1e-6)
    InviteFilter([pair[0]])
    assert passed(pair, request()) == COUNT


def test_without_sockets_all_are_heard() -> None:
    assert InviteFilter([]).let_in(0.1) == 1.0
