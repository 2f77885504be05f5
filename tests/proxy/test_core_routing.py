"""Route processing in all four directions, SIPS, loops and breadth (X9, X10, S4 of the abuse tests)."""

from __future__ import annotations

import pytest

from tests.proxy.messages import request
from tests.proxy.playbook import CONFIGURATION, SOFTSWITCH, SPARE, Datagram, Play, response

OUTSIDE, INSIDE, TLS = 0, 1, 2
INSIDE_LISTENER = """
[[listener]]
name = "inside"
address = "10.0.0.5:5060"
"""
TLS_LISTENER = """
[[listener]]
name = "outside-tls"
address = "203.0.113.5:5061"
transport = "tls"
"""
TWO_SIDES = CONFIGURATION.replace('name = "softswitch"\n', 'name = "softswitch"\nlistener = "inside"\n')
TWO_SIDES += INSIDE_LISTENER
BY_TLS = TWO_SIDES.replace('listener = "inside"\n', "").replace("priority = 1 }", 'priority = 1, transport = "tls" }')
BY_TLS += TLS_LISTENER
STRICT = ("198.51.100.77", 5060)
CONTACT = "sip:callee@198.51.100.99:5070"


def set_up(play: Play) -> tuple[Datagram, list[str]]:
    """A call that is answered: the INVITE as it left, and its Record-Routes from the top."""
    (invite,) = play.receive(request())
    play.receive(response(invite, 200, headers=[f"Contact: <{CONTACT}>"]), SOFTSWITCH, invite.listener)
    return invite, invite.all("Record-Route")


def uri_of(route: str) -> str:
    return route.strip("<>")


# X9: strict routers on either side, double Record-Route between two interfaces.


def test_x9_double_record_route_names_both_sides() -> None:
    play = Play(TWO_SIDES)
    invite, (leaving, arriving) = set_up(play)
    assert (invite.listener, invite.to) == (INSIDE, SOFTSWITCH)
    assert leaving.startswith("<sip:10.0.0.5:5060;lr;cs=")
    assert arriving.startswith("<sip:203.0.113.5:5060;lr;cs=")


def test_x9_both_own_routes_go_in_one_pass_from_the_caller() -> None:
    play = Play(TWO_SIDES)
    _, (leaving, arriving) = set_up(play)
    routes = [f"Route: {arriving}", f"Route: {leaving}"]
    (bye,) = play.receive(request("BYE", uri=CONTACT, to_tag="to1", cseq=2, branch="z9hG4bK-2", headers=routes))
    assert (bye.listener, bye.to, bye.uri, bye.all("Route")) == (INSIDE, ("198.51.100.99", 5070), CONTACT, [])


def test_x9_both_own_routes_go_in_one_pass_from_the_callee() -> None:
    play = Play(TWO_SIDES)
    _, (leaving, arriving) = set_up(play)
    contact = "sip:caller@192.0.2.10:5062"
    routes = [f"Route: {leaving}, {arriving}"]
    bye = request("BYE", uri=contact, from_tag="to1", to_tag="from1", branch="z9hG4bK-2", headers=routes)
    (sent,) = play.receive(bye, SOFTSWITCH, INSIDE)
    assert (sent.listener, sent.to, sent.uri, sent.all("Route")) == (OUTSIDE, ("192.0.2.10", 5062), contact, [])


@pytest.mark.parametrize("together", [True, False])
def test_x9_strict_router_upstream(together: bool) -> None:
    """The Request-URI is our Record-Route; the last Route is where the request is to end (16.4)."""
    play = Play(TWO_SIDES)
    _, (leaving, arriving) = set_up(play)
    routes = [f"Route: {leaving}, <{CONTACT}>"] if together else [f"Route: {leaving}", f"Route: <{CONTACT}>"]
    bye = request("BYE", uri=uri_of(arriving), to_tag="to1", cseq=2, branch="z9hG4bK-2", headers=routes)
    (sent,) = play.receive(bye)
    assert (sent.listener, sent.to, sent.uri, sent.all("Route")) == (INSIDE, ("198.51.100.99", 5070), CONTACT, [])


def test_x9_strict_router_upstream_keeps_the_routes_between() -> None:
    play = Play(TWO_SIDES)
    _, (leaving, arriving) = set_up(play)
    routes = [f"Route: {leaving} , <sip:198.51.100.50;lr> ,  <{CONTACT}>"]
    bye = request("BYE", uri=uri_of(arriving), to_tag="to1", cseq=2, branch="z9hG4bK-2", headers=routes)
    (sent,) = play.receive(bye)
    assert (sent.to, sent.uri) == (("198.51.100.50", 5060), CONTACT)
    assert [route.strip() for route in sent.all("Route")] == ["<sip:198.51.100.50;lr>"]


@pytest.mark.parametrize("behind", [[], ["<sip:198.51.100.88;lr>"]])
def test_x9_strict_router_downstream(behind: list[str]) -> None:
    """The first Route without lr goes into the Request-URI, which goes to the end of the Routes (16.6 step 6)."""
    play = Play(TWO_SIDES)
    _, (leaving, arriving) = set_up(play)
    routes = [f"Route: {arriving}", f"Route: {', '.join([leaving, '<sip:198.51.100.77;x=y>', *behind])}"]
    (bye,) = play.receive(request("BYE", uri=CONTACT, to_tag="to1", cseq=2, branch="z9hG4bK-2", headers=routes))
    assert (bye.to, bye.uri) == (STRICT, "sip:198.51.100.77;x=y")
    assert bye.all("Route") == [*behind, f"<{CONTACT}>"]


def test_x9_strict_router_on_both_sides() -> None:
    play = Play(TWO_SIDES)
    _, (leaving, arriving) = set_up(play)
    routes = [f"Route: {leaving}, <sip:198.51.100.77>, <{CONTACT}>"]
    bye = request("BYE", uri=uri_of(arriving), to_tag="to1", cseq=2, branch="z9hG4bK-2", headers=routes)
    (sent,) = play.receive(bye)
    assert (sent.to, sent.uri, sent.all("Route")) == (STRICT, "sip:198.51.100.77", [f"<{CONTACT}>"])


def test_maddr_of_ours_goes_with_port_and_transport() -> None:
    play = Play()
    uri = "sip:+862088886666@example.net:5060;maddr=203.0.113.5;transport=udp;user=phone"
    (invite,) = play.receive(request(uri=uri))
    assert (invite.to, invite.uri) == (SOFTSWITCH, "sip:+862088886666@example.net;user=phone")


def test_maddr_of_another_is_the_next_hop() -> None:
    play = Play()
    set_up(play)
    uri = "sip:callee@198.51.100.99;maddr=198.51.100.44"
    (bye,) = play.receive(request("BYE", uri=uri, to_tag="to1", cseq=2, branch="z9hG4bK-2"))
    assert (bye.to, bye.uri) == (("198.51.100.44", 5060), uri)


def test_ipv6_routes_are_compared_by_value() -> None:
    text = TWO_SIDES.replace("203.0.113.5:5060", "[2001:db8::5]:5060").replace("192.0.2.0/24", "2001:db8:1::/48")
    play = Play(text)
    route = "Route: <sip:[2001:0DB8:0:0::0005]:5060;lr>"
    (invite,) = play.receive(request(uri="sip:1@[2001:DB8::5]", headers=[route]), ("2001:db8:1::1", 5060))
    assert (invite.to, invite.all("Route")) == (SOFTSWITCH, [])


def test_preloaded_route_of_a_trusted_peer_is_followed() -> None:
    play = Play(CONFIGURATION.replace('route = "softswitch"', 'route = "softswitch"\ntrusted = true'))
    (invite,) = play.receive(request(headers=["Route: <sip:198.51.100.50;lr>"]))
    assert (invite.to, invite.all("Route")) == (("198.51.100.50", 5060), ["<sip:198.51.100.50;lr>"])


# X10: RFC 5630 section 5.3.


def test_x10_sips_needs_tls() -> None:
    play = Play(TWO_SIDES)
    (answer,) = play.receive(request(uri="sips:+862088886666@203.0.113.5:5061"))
    assert (answer.status, answer.all("Warning")) == (480, ['380 203.0.113.5:5060 "SIPS Not Allowed"'])


def test_x10_sips_goes_by_tls_and_only_by_tls() -> None:
    play = Play(BY_TLS)
    (invite,) = play.receive_stream(
        request(uri="sips:+862088886666@203.0.113.5:5061", transport="TLS"), listener=2, flow=1, tls_trunk=0
    )
    assert (invite.listener, invite.uri.split(":")[0]) == (2, "sips")
    assert all(route.startswith("<sips:") for route in invite.all("Record-Route"))
    # The spare target is reached by UDP: not for this call.
    (answer,) = play.fail(invite)
    assert answer.status == 500


def test_x10_sip_goes_to_a_tls_target_as_it_is() -> None:
    play = Play(BY_TLS)
    (invite,) = play.receive(request())
    assert (invite.listener, invite.uri.split(":")[0]) == (2, "sip")
    assert ";transport=tls" not in invite.data.decode().lower()
    assert play.fail(invite)[0].to == SPARE


def test_x10_sips_in_a_dialog_never_leaves_by_udp() -> None:
    play = Play(TWO_SIDES)
    set_up(play)
    bye = request("BYE", uri="sips:callee@198.51.100.99", to_tag="to1", cseq=2, branch="z9hG4bK-2")
    (answer,) = play.receive(bye)
    assert (answer.status, answer.all("Warning")) == (480, ['380 203.0.113.5:5060 "SIPS Not Allowed"'])


# S4: RFC 5393.


def returned(sent: Datagram, **changes: str) -> bytes:
    """The request as it comes back from somebody downstream."""
    text = sent.data.decode()
    for old, new in changes.items():
        text = text.replace({"uri": sent.uri, "route": "\r\nRecord-Route"}[old], new, 1)
    head, rest = text.split("\r\n", 1)
    return f"{head}\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK-back\r\n{rest}".encode()


def test_s4_a_request_that_comes_back_as_it_was_is_a_loop() -> None:
    play = Play(CONFIGURATION.replace('name = "softswitch"\n', 'name = "softswitch"\nrewrite_host = false\n'))
    (invite,) = play.receive(request())
    (answer,) = play.receive(returned(invite))
    assert (answer.status, answer.first_line.split(" ", 2)[2]) == (482, "Loop Detected")
    assert play.receive(request("ACK", branch="z9hG4bK-back", to_tag=answer.tag("To"), sent_by="192.0.2.10")) == []


def test_s4_a_spiral_passes() -> None:
    play = Play()
    (invite,) = play.receive(request())
    (again,) = play.receive(returned(invite, uri="sip:+862088889999@203.0.113.5:5060"))
    assert again.method == "INVITE"
    assert again.to in (SOFTSWITCH, SPARE)


@pytest.mark.parametrize(("max_forwards", "status", "rounds"), [(40, 483, 40), (255, 513, 78)])
def test_s4_a_hidden_loop_ends_with_max_forwards_or_size(max_forwards: int, status: int, rounds: int) -> None:
    """Somebody who changes the Request-URI each time hides the loop, but not for ever."""
    play = Play(CONFIGURATION.replace('route = "softswitch"', 'route = "softswitch"\nscreen = false'))
    message = request(max_forwards=max_forwards)
    for hop in range(256):
        (sent,) = play.receive(message)
        if sent.status:
            break
        message = returned(sent, uri=f"sip:+862088886666@203.0.113.5:5060;hop={hop}").replace(
            b"z9hG4bK-back", b"z9hG4bK-back%d" % hop
        )
    assert (sent.status, hop) == (status, rounds)


@pytest.mark.parametrize(
    ("received", "sent"),
    [([], "60"), (["61"], "60"), (["1000000000"], "60"), (["7"], "7"), (["1"], "1"), (["7", "9"], "7"), (["x"], "60")],
)
def test_s4_every_request_carries_one_max_breadth(received: list[str], sent: str) -> None:
    play = Play()
    (invite,) = play.receive(request(headers=[f"Max-Breadth: {value}" for value in received]))
    assert invite.all("Max-Breadth") == [sent]


def test_s4_breadth_is_kept_on_the_way_to_the_next_target() -> None:
    play = Play()
    (invite,) = play.receive(request(headers=["Max-Breadth: 3"]))
    sent = {message.method: message for message in play.receive(response(invite, 503), SOFTSWITCH)}
    assert sent.keys() == {"ACK", "INVITE"}
    assert sent["INVITE"].all("Max-Breadth") == ["3"]


def test_s4_breadth_used_up() -> None:
    play = Play()
    (answer,) = play.receive(request(headers=["Max-Breadth: 0"]))
    assert (answer.status, answer.first_line.split(" ", 2)[2]) == (440, "Max-Breadth Exceeded")


def test_s4_an_ack_is_no_loop() -> None:
    play = Play()
    invite, (route,) = set_up(play)
    assert invite.to == SOFTSWITCH
    (ack,) = play.receive(request("ACK", uri=CONTACT, to_tag="to1", branch="z9hG4bK-a", headers=[f"Route: {route}"]))
    assert (ack.method, ack.to) == ("ACK", ("198.51.100.99", 5070))
