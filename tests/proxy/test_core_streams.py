"""Connections under the core: which one a message leaves by, what is not repeated on it, and what its failure means."""

from __future__ import annotations

import pytest

from tests.proxy.messages import request
from tests.proxy.playbook import CARRIER, CONFIGURATION, SOFTSWITCH, SPARE, Datagram, Play, response

UDP, TCP, TLS, WS = range(4)
FLOW = 7

LISTENERS = """
[[listener]]
name = "outside-tcp"
address = "203.0.113.5:5060"
transport = "tcp"

[[listener]]
name = "outside-tls"
address = "203.0.113.5:5061"
transport = "tls"

[[listener]]
name = "web"
address = "203.0.113.5:8080"
transport = "ws"
"""

BY_UDP = CONFIGURATION + LISTENERS
BY_TCP = BY_UDP.replace("priority = 1 }", 'priority = 1, transport = "tcp" }')
BY_TLS = BY_UDP.replace("priority = 1 }", 'priority = 1, transport = "tls" }')


def by_tcp(play: Play, data: bytes, source: tuple[str, int] = (CARRIER[0], 40_000)) -> list[Datagram]:
    return play.receive_stream(data, source, listener=TCP, flow=FLOW)


def test_answers_go_back_by_the_connection_of_the_request() -> None:
    play = Play(BY_UDP)
    (invite,) = by_tcp(play, request(transport="TCP"))
    assert (invite.listener, invite.to, invite.flow) == (UDP, SOFTSWITCH, 0)
    (ringing,) = play.receive(response(invite, 180), SOFTSWITCH)
    # Where a new connection would go if this one were gone: received and the port of sent-by (section 18.2.2).
    assert (ringing.listener, ringing.flow, ringing.to) == (TCP, FLOW, CARRIER)
    assert ringing.all("Via") == ["SIP/2.0/TCP 192.0.2.10:5060;branch=z9hG4bK-1;received=192.0.2.10;rport=40000"]


def test_transport_of_each_side_stands_in_via_and_in_both_record_routes() -> None:
    play = Play(BY_TLS)
    (invite,) = by_tcp(play, request(transport="TCP"))
    assert (invite.listener, invite.to) == (TLS, (SOFTSWITCH[0], 5061))
    assert invite.all("Via")[0].startswith("SIP/2.0/TLS 203.0.113.5:5061;rport;branch=")
    leaving, arriving = invite.all("Record-Route")
    assert leaving.startswith("<sips:203.0.113.5:5061;lr;cs=")
    assert arriving.startswith("<sip:203.0.113.5:5060;transport=tcp;lr;cs=")


def test_bye_finds_its_way_by_the_routes_of_both_sides() -> None:
    play = Play(BY_TLS)
    (invite,) = by_tcp(play, request(transport="TCP"))
    (ok,) = play.receive_stream(response(invite, 200), SOFTSWITCH, listener=TLS, flow=9)
    routes = [f"Route: {route}" for route in reversed(ok.all("Record-Route"))]
    bye = request("BYE", uri="sips:gw@198.51.100.20", to_tag="to1", headers=routes, transport="TCP", branch="z9hG4bK-b")
    (passed,) = by_tcp(play, bye)
    assert (passed.listener, passed.to, passed.all("Route")) == (TLS, (SOFTSWITCH[0], 5061), [])


def test_request_of_the_callee_reaches_a_caller_that_only_its_connection_leads_to() -> None:
    play = Play(BY_UDP)
    contact = ["Contact: <sip:alice@df7jal23ls0d.invalid;transport=ws>"]
    (invite,) = play.receive_stream(request(transport="WS", headers=contact), listener=WS, flow=FLOW)
    (ok,) = play.receive(response(invite, 200), SOFTSWITCH)
    bye = request(
        "BYE",
        uri="sip:alice@df7jal23ls0d.invalid;transport=ws",
        caller="+862088886666",
        from_tag="to1",
        to_tag="from1",
        headers=[f"Route: {route}" for route in ok.all("Record-Route")],
    )
    (passed,) = play.receive(bye, SOFTSWITCH)
    assert (passed.listener, passed.flow) == (WS, FLOW)
    assert passed.all("Via")[0].startswith("SIP/2.0/WS 203.0.113.5:8080;")


def test_nothing_is_repeated_over_a_stream() -> None:
    play = Play(BY_TCP)
    (invite,) = by_tcp(play, request(transport="TCP"))
    assert (invite.listener, invite.to) == (TCP, SOFTSWITCH)
    assert [sent.status for sent in play.wait(3.9)] == [100]
    (busy, ack) = play.receive_stream(response(invite, 486), SOFTSWITCH, listener=TCP, flow=8)
    assert (busy.status, ack.method, ack.listener) == (486, "ACK", TCP)
    assert play.wait(31) == []


def test_transactions_over_streams_do_not_linger() -> None:
    play = Play(BY_TCP)
    (options,) = by_tcp(play, request("OPTIONS", transport="TCP"))
    play.receive_stream(response(options, 200), SOFTSWITCH, listener=TCP, flow=8)
    play.wait(0.001)
    play.core.refresh_gauges()
    assert play.counters["server_transactions"] == play.counters["client_transactions"] == 0


def test_refused_connection_counts_as_503_and_brings_the_next_target() -> None:
    play = Play(BY_TCP)
    (invite,) = by_tcp(play, request(transport="TCP"))
    (second,) = play.fail(invite)
    assert (second.listener, second.to) == (UDP, SPARE)
    assert second.all("Via")[0].startswith("SIP/2.0/UDP 203.0.113.5:5060;")
    assert [route.split(";")[1] for route in second.all("Record-Route")] == ["lr", "transport=tcp"]
    (answer,) = play.fail(second)
    assert (answer.status, answer.flow) == (500, FLOW)
    assert play.counters["transport_failures"] == 2


def test_failure_after_an_answer_means_nothing() -> None:
    play = Play(BY_TCP)
    (invite,) = by_tcp(play, request(transport="TCP"))
    play.receive_stream(response(invite, 180), SOFTSWITCH, listener=TCP, flow=8)
    assert play.fail(invite) == []


@pytest.mark.parametrize(("body", "listener"), [(0, UDP), (1200, TCP)])
def test_x8_large_request_goes_by_tcp(body: int, listener: int) -> None:
    play = Play(BY_UDP)
    (invite,) = play.receive(request(body=b"x" * body))
    assert (invite.listener, invite.to) == (listener, SOFTSWITCH)
    # RFC 5658 section 5: no second Record-Route where only the size asked for TCP.
    assert [route.split(";")[1] for route in invite.all("Record-Route")] == ["lr"]


def test_x8_large_request_goes_by_udp_where_tcp_is_refused() -> None:
    play = Play(BY_UDP)
    (invite,) = play.receive(request(body=b"x" * 1200))
    assert invite.all("Via")[0].startswith("SIP/2.0/TCP 203.0.113.5:5060;")
    (again,) = play.fail(invite)
    assert (again.listener, again.to) == (UDP, SOFTSWITCH)
    assert again.all("Via")[0].startswith("SIP/2.0/UDP 203.0.113.5:5060;")
    assert again.branch != invite.branch
    (ringing,) = play.receive(response(again, 180), SOFTSWITCH)
    assert ringing.status == 180


@pytest.mark.parametrize(("beyond", "listener"), [(0, UDP), (1, TCP)])
def test_x8_the_limit_is_1300_bytes_with_our_headers(beyond: int, listener: int) -> None:
    (small,) = Play(BY_UDP).receive(request(body=b"x" * 500))
    (invite,) = Play(BY_UDP).receive(request(body=b"x" * (500 + 1300 - len(small.data) + beyond)))
    assert (len(invite.data), invite.listener) == (1300 + beyond, listener)  # TCP is as long as UDP in Via


def test_x8_large_request_by_a_route_goes_by_udp_where_tcp_is_refused() -> None:
    play = Play(BY_UDP.replace('name = "carrier"\n', 'name = "carrier"\ntrusted = true\n'))
    (invite,) = play.receive(request(headers=["Route: <sip:198.51.100.77;lr>"], body=b"x" * 1200))
    (again,) = play.fail(invite)
    assert [(d.listener, d.to) for d in (invite, again)] == [(TCP, ("198.51.100.77", 5060)), (UDP, invite.to)]


def test_x8_a_reload_between_tcp_and_udp_changes_nothing() -> None:
    play = Play(BY_UDP)
    (invite,) = play.receive(request(body=b"x" * 1200))
    play.configure(BY_UDP)
    (again,) = play.fail(invite)
    assert (again.listener, again.to, again.uri) == (UDP, SOFTSWITCH, invite.uri)


def test_certificate_names_the_trunk() -> None:
    play = Play(BY_UDP)
    stranger = ("192.168.77.1", 40_001)
    assert play.receive_stream(request(transport="TLS"), stranger, listener=TLS, flow=FLOW) == []
    (invite,) = play.receive_stream(
        request(transport="TLS", branch="z9hG4bK-2"), stranger, listener=TLS, flow=FLOW, tls_trunk=0
    )
    assert invite.to == SOFTSWITCH


@pytest.mark.parametrize("body", [b"", b"v=0\r\n"])
def test_a_missing_length_is_added_since_a_stream_needs_it(body: bytes) -> None:
    play = Play(BY_TCP)
    (invite,) = play.receive(without_length(request()) + body)
    assert (invite.listener, invite.all("Content-Length")) == (TCP, [str(len(body))])
    assert invite.data.endswith(b"\r\n\r\n" + body)
    (ringing,) = play.receive_stream(without_length(response(invite, 180)) + body, SOFTSWITCH, listener=TCP, flow=FLOW)
    assert ringing.all("Content-Length") == [str(len(body))]


def without_length(message: bytes) -> bytes:
    head = message.partition(b"\r\n\r\n")[0]
    return b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")) + b"\r\n\r\n"


@pytest.mark.parametrize("status", [400, 513])
def test_a_message_whose_framing_was_lost_is_answered_and_not_acted_upon(status: int) -> None:
    play = Play(BY_UDP)
    play.core.receive_stream(
        without_length(request(transport="TCP")), (CARRIER[0], 40_000), TCP, FLOW, play.now_us, play.out, -1, status
    )
    (answer,) = play.sent()
    assert (answer.status, answer.listener, answer.flow) == (status, TCP, FLOW)
    assert play.core.open_transactions == 0 and play.counters["invites"] == 0


def test_t3_calls_that_rang_when_their_connection_was_reset_end_with_timer_c() -> None:
    """A lost connection cancels nothing (RFC 3261 section 16.9); what it leaves behind is gone after timer C."""
    play, calls = Play(BY_UDP), 10
    for number in range(calls):
        named = {"branch": f"z9hG4bK-{number}", "call_id": str(number), "from_tag": str(number)}
        data = request(transport="TCP", caller=f"+86138001380{number:02}", **named)
        (invite,) = by_tcp(play, data)
        (ringing,) = play.receive(response(invite, 180), SOFTSWITCH)
        assert play.fail(ringing) == []
    play.core.refresh_gauges()
    assert play.counters["server_transactions"] == calls
    sent = play.wait(185 + 35)  # timer C, and 64*T1 for the CANCEL
    assert sum(datagram.method == "CANCEL" for datagram in sent if datagram.to == SOFTSWITCH) >= calls
    for answer in (datagram for datagram in sent if datagram.flow == FLOW):
        play.fail(answer)
    play.wait(35)  # timer H
    play.core.refresh_gauges()
    assert play.counters["server_transactions"] == play.counters["client_transactions"] == 0
