"""Every method: within dialogs in both directions, outside of them, to this proxy itself, and what nobody knows."""

from __future__ import annotations

import pytest

from tests.proxy.messages import request
from tests.proxy.playbook import CARRIER, CONFIGURATION, SOFTSWITCH, SPARE, Datagram, Play, response

OPEN = CONFIGURATION.replace(
    'route = "softswitch"', 'route = "softswitch"\nmethods_allowed = ["SUBSCRIBE", "MESSAGE", "REGISTER"]'
)
DENIED = ("REGISTER", "MESSAGE", "SUBSCRIBE", "PUBLISH", "REFER", "INFO", "NOTIFY")
IN_DIALOG = ("INVITE", "PRACK", "UPDATE", "INFO", "REFER", "NOTIFY", "SUBSCRIBE", "MESSAGE", "OPTIONS", "BYE", "NEW")
CARRIER_CONTACT = "sip:gw@192.0.2.10"
CALLEE_CONTACT = "sip:desk@198.51.100.77:5070"
CALLEE = ("198.51.100.77", 5070)
# What softswitches put into their OPTIONS. An answer to an address that has proven nothing is never the larger one.
USUAL = [
    "User-Agent: a softswitch of the usual kind, version 17.9.1",
    "Contact: <sip:ping@192.0.2.10:5060;transport=udp>",
    "Allow: ACK, BYE, CANCEL, INFO, INVITE, MESSAGE, NOTIFY, OPTIONS, PRACK, REFER, SUBSCRIBE, UPDATE",
    "Supported: path, outbound, 100rel, timer, replaces",
]
ELSEWHERE = ("203.0.113.99", 5060)  # belongs to no trunk and no gateway


def routes(message: Datagram, *, reverse: bool) -> list[str]:
    values = message.all("Record-Route")
    return [f"Route: {value}" for value in (reversed(values) if reverse else values)]


def from_caller(method: str, ok: Datagram, *, to_tag: str = "to1", number: int = 2) -> bytes:
    return request(
        method,
        uri=CALLEE_CONTACT,
        to_tag=to_tag,
        cseq=number,
        branch=f"z9hG4bK-{method}",
        headers=[*routes(ok, reverse=True), f"Contact: <{CARRIER_CONTACT}>"],
    )


def from_callee(method: str, sent: Datagram) -> bytes:
    return request(
        method,
        caller="+862088886666",
        uri=CARRIER_CONTACT,
        from_tag="to1",
        to_tag="from1",
        cseq=100,
        branch=f"z9hG4bK-callee-{method}",
        headers=routes(sent, reverse=False),
        sent_by="198.51.100.77:5070",
    )


# Within dialogs


@pytest.mark.parametrize("answered", [False, True], ids=["early", "confirmed"])
@pytest.mark.parametrize("method", IN_DIALOG)
def test_every_method_goes_through_in_a_dialog_in_both_directions(method: str, answered: bool) -> None:
    play = Play()
    (invite,) = play.receive(request())
    (up,) = play.receive(response(invite, 200 if answered else 183), SOFTSWITCH)
    (down,) = play.receive(from_caller(method, up))
    assert (down.method, down.to, down.uri, down.all("Route")) == (method, CALLEE, CALLEE_CONTACT, [])
    (ok,) = play.receive(response(down, 200), CALLEE)
    assert (ok.status, ok.to, ok.one("CSeq")) == (200, CARRIER, f"2 {method}")
    (back,) = play.receive(from_callee(method, invite), ELSEWHERE)
    assert (back.method, back.to, back.uri) == (method, CARRIER, CARRIER_CONTACT)
    (ok,) = play.receive(response(back, 200), CARRIER)
    assert (ok.status, ok.to) == (200, ELSEWHERE)
    assert play.counters["screened"] == 1


@pytest.mark.parametrize("method", [*DENIED, "INVITE"])
def test_an_invented_to_tag_opens_no_denied_method(method: str) -> None:
    play = Play()
    for headers in ([], ["Route: <sip:203.0.113.5:5060;lr;cs=00ffffffffffffffff>"]):
        sent = play.receive(request(method, uri="sip:victim@198.51.100.99", to_tag="x", headers=headers))
        assert [(d.status, d.to) for d in sent] == [(481, CARRIER)]


def test_reliable_provisional_is_acknowledged_end_to_end() -> None:
    play = Play()
    (invite,) = play.receive(request(headers=["Supported: 100rel"]))
    (ringing,) = play.receive(response(invite, 183, headers=["Require: 100rel", "RSeq: 7"]), SOFTSWITCH)
    assert (ringing.one("Require"), ringing.one("RSeq")) == ("100rel", "7")
    prack = from_caller("PRACK", ringing).replace(b"Max-Forwards", b"RAck: 7 1 INVITE\r\nMax-Forwards", 1)
    (passed,) = play.receive(prack)
    assert passed.one("RAck") == "7 1 INVITE"
    (ok,) = play.receive(response(passed, 200), CALLEE)
    assert (ok.status, ok.to) == (200, CARRIER)


def test_199_is_a_provisional_like_any_other() -> None:
    play = Play()
    (invite,) = play.receive(request(headers=["Supported: 199"]))
    play.receive(response(invite, 180, tag="a"), SOFTSWITCH)
    (ended,) = play.receive(response(invite, 199, tag="a", headers=["Reason: SIP;cause=486"]), SOFTSWITCH)
    assert (ended.status, ended.to, ended.tag("To"), ended.one("Reason")) == (199, CARRIER, "a", "SIP;cause=486")


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        (["Supported: timer, 199"], True),
        (["k: 199", "Require: timer"], True),
        (["Supported: 1999, x199"], False),
        (["Supported: 199", "Require: timer,100REL"], False),
        ([], False),
    ],
)
def test_early_dialog_that_another_target_takes_over_from_is_ended_by_199(headers: list[str], told: bool) -> None:
    play = Play(CONFIGURATION.replace('name = "softswitch"\n', 'name = "softswitch"\nretry_on = [486]\n'))
    (invite,) = play.receive(request(headers=headers))
    play.receive(response(invite, 180, tag="a"), SOFTSWITCH)
    sent = play.receive(response(invite, 486, tag="a"), SOFTSWITCH)
    ended = [d for d in sent if d.to == CARRIER]
    assert [d.status for d in ended] == ([199] if told else [])
    if told:
        assert (ended[0].tag("To"), ended[0].one("Reason")) == ("a", "SIP;cause=486")
        assert ended[0].one("Via").startswith("SIP/2.0/UDP 192.0.2.10:5060")
    assert [d.method for d in sent if d.to == SPARE] == ["INVITE"]


def test_199_is_not_sent_for_a_dialog_that_the_caller_does_not_know() -> None:
    play = Play(CONFIGURATION.replace('name = "softswitch"\n', 'name = "softswitch"\nretry_on = [486]\n'))
    (invite,) = play.receive(request(headers=["Supported: 199"]))
    play.receive(response(invite, 180, tag="a"), SOFTSWITCH)
    play.receive(response(invite, 199, tag="a"), SOFTSWITCH)
    assert [d.status for d in play.receive(response(invite, 486, tag="a"), SOFTSWITCH) if d.to == CARRIER] == []


# SUBSCRIBE dialogs (RFC 6665)


def test_notify_may_come_before_the_answer_to_subscribe() -> None:
    play = Play(OPEN)
    contact = f"Contact: <{CARRIER_CONTACT}>"
    (subscribe,) = play.receive(request("SUBSCRIBE", headers=["Event: dialog", contact]))
    assert len(subscribe.all("Record-Route")) == 1
    (notify,) = play.receive(from_callee("NOTIFY", subscribe), ELSEWHERE)
    assert (notify.method, notify.to, notify.uri) == ("NOTIFY", CARRIER, CARRIER_CONTACT)
    (ok,) = play.receive(response(notify, 200), CARRIER)
    assert (ok.status, ok.to) == (200, ELSEWHERE)
    (accepted,) = play.receive(response(subscribe, 202), SOFTSWITCH)
    assert (accepted.status, accepted.to) == (202, CARRIER)
    (again,) = play.receive(from_caller("SUBSCRIBE", accepted))
    assert (again.method, again.to) == ("SUBSCRIBE", CALLEE)


def test_notify_of_another_dialog_is_dropped() -> None:
    play = Play(OPEN)
    (subscribe,) = play.receive(request("SUBSCRIBE", headers=["Event: dialog"]))
    stolen = from_callee("NOTIFY", subscribe).replace(b"call-1@carrier", b"call-2@carrier")
    assert play.receive(stolen, ELSEWHERE) == []


# Outside of dialogs


@pytest.mark.parametrize("method", DENIED)
def test_h5_default_list_of_denied_methods(method: str) -> None:
    play = Play()
    (refused,) = play.receive(request(method))
    assert (refused.status, refused.all("Allow")) == (403, [])
    assert play.counters["method_refused"] == 1


@pytest.mark.parametrize("method", ["OPTIONS", "UPDATE", "PING", "invite", "X" * 200])
def test_other_methods_are_forwarded_even_unknown_ones(method: str) -> None:
    play = Play()
    (passed,) = play.receive(request(method))
    assert (passed.method, passed.to) == (method, SOFTSWITCH)
    (ok,) = play.receive(response(passed, 200), SOFTSWITCH)
    assert (ok.status, ok.to) == (200, CARRIER)
    assert play.counters["screened"] == 0


def test_method_lists_of_a_trunk() -> None:
    lists = 'route = "softswitch"\nmethods_allowed = ["MESSAGE"]\nmethods_denied = ["OPTIONS", "PING"]'
    play = Play(CONFIGURATION.replace('route = "softswitch"', lists))
    outcomes = {method: play.receive(request(method))[0] for method in ("MESSAGE", "OPTIONS", "PING", "PONG", "INFO")}
    assert {method: sent.status or sent.to for method, sent in outcomes.items()} == {
        "MESSAGE": SOFTSWITCH,
        "OPTIONS": 403,
        "PING": 403,
        "PONG": SOFTSWITCH,
        "INFO": 403,
    }


def test_register_is_forwarded_with_contact_and_path_untouched() -> None:
    play = Play(OPEN)
    headers = ["Contact: <sip:desk@192.0.2.77:5070;ob>;expires=600", "Path: <sip:edge.example.net;lr>"]
    (register,) = play.receive(request("REGISTER", uri="sip:registrar.example.net", headers=headers))
    assert (register.to, register.uri) == (SOFTSWITCH, "sip:registrar.example.net")
    assert [f"Contact: {register.one('Contact')}", f"Path: {register.one('Path')}"] == headers
    assert register.all("Record-Route") == []
    contact = "Contact: <sip:desk@192.0.2.77:5070;ob>;expires=600"
    (ok,) = play.receive(response(register, 200, headers=[contact, "Contact: <sip:b@c>"]), SOFTSWITCH)
    assert ok.all("Contact") == ["<sip:desk@192.0.2.77:5070;ob>;expires=600", "<sip:b@c>"]


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "BYE", "NEW"])
def test_gateway_starts_nothing(method: str) -> None:
    (refused,) = Play().receive(request(method), SOFTSWITCH)
    assert (refused.status, refused.to) == (403, SOFTSWITCH)


# OPTIONS to this proxy, and what is refused before anything else (RFC 3261 section 16.3)


@pytest.mark.parametrize("source", [CARRIER, SOFTSWITCH], ids=["trunk", "gateway"])
@pytest.mark.parametrize("max_forwards", [70, 0])
def test_options_to_this_proxy_are_answered(source: tuple[str, int], max_forwards: int) -> None:
    play = Play()
    options = request("OPTIONS", uri="sip:203.0.113.5", max_forwards=max_forwards, headers=USUAL)
    (ok,) = play.receive(options, source)
    assert (ok.status, ok.to) == (200, source)
    assert "INVITE" in ok.one("Allow").split(", ")
    assert ok.one("Accept") == "application/sdp"
    assert ok.tag("To")


def test_options_that_went_too_far_are_answered_here() -> None:
    (ok,) = Play().receive(request("OPTIONS", max_forwards=0, headers=USUAL))
    assert (ok.status, "Allow" in ok.data.decode()) == (200, True)


@pytest.mark.parametrize("method", ["INVITE", "BYE", "MESSAGE", "NEW"])
def test_483(method: str) -> None:
    (refused,) = Play().receive(request(method, max_forwards=0))
    assert refused.status == 483


def test_420_lists_what_is_not_supported() -> None:
    headers = ["Proxy-Require: privacy, teleport", "Require: nothing-of-ours", "Proxy-Require: more"]
    (refused,) = Play().receive(request(headers=headers))
    assert (refused.status, refused.all("Unsupported")) == (420, ["privacy, teleport", "more"])
    (passed,) = Play().receive(request(headers=["Require: nothing-of-ours"]))
    assert passed.method == "INVITE"


def test_420_never_meets_ack_or_cancel() -> None:
    play = Play()
    (invite,) = play.receive(request())
    (ok,) = play.receive(request("CANCEL", headers=["Proxy-Require: teleport"]))
    assert ok.status == 200
    play.receive(response(invite, 487), SOFTSWITCH)
    assert play.receive(request("ACK", to_tag="to1", headers=["Proxy-Require: teleport"])) == []


@pytest.mark.parametrize("uri", ["http://example.net", "mailto:a@b", "urn:isbn:1", "unknown:x"])
def test_416_for_a_scheme_that_is_not_understood(uri: str) -> None:
    (refused,) = Play().receive(request(uri=uri))
    assert refused.status == 416


@pytest.mark.parametrize("uri", ["urn:service:sos", "urn:service:sos.police", "URN:SERVICE:SOS", "tel:+862088886666"])
def test_urn_service_and_tel_are_forwarded_as_they_are(uri: str) -> None:
    (invite,) = Play().receive(request(uri=uri))
    assert (invite.method, invite.uri, invite.to) == ("INVITE", uri, SOFTSWITCH)


def test_505_and_501() -> None:
    (refused,) = Play().receive(request().replace(b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia"))
    assert refused.status == 505
    (refused,) = Play().receive(request("NEW").replace(b"CSeq: 1 NEW", b"CSeq: 1 OTHER"))
    assert refused.status == 501


# Repeats in each state (RFC 3261 section 17.2)


def test_repeated_invite_in_each_state() -> None:
    play = Play()
    (invite,) = play.receive(request())
    assert play.receive(request()) == []
    (ringing,) = play.receive(response(invite, 180), SOFTSWITCH)
    assert [d.data for d in play.receive(request())] == [ringing.data]
    (busy, _ack) = play.receive(response(invite, 486), SOFTSWITCH)
    assert [d.data for d in play.receive(request())] == [busy.data]
    assert play.receive(request("ACK", to_tag="to1")) == []
    assert play.receive(request()) == []  # Confirmed
    play.wait(6)
    assert play.core.open_transactions == 0
    assert play.counters["retransmissions"] == 4


def test_repeated_non_invite_in_each_state() -> None:
    play = Play()
    (sent,) = play.receive(request("NEW"))
    assert play.receive(request("NEW")) == []  # Trying
    trying = next(d for d in play.wait(3.6) if d.status)
    assert [d.data for d in play.receive(request("NEW"))] == [trying.data]
    (ok,) = play.receive(response(sent, 200), SOFTSWITCH)
    for _ in range(3):
        assert [d.data for d in play.receive(request("NEW"))] == [ok.data]
        play.wait(10)
    play.wait(3)
    assert [d.method for d in play.receive(request("NEW"))] == ["NEW"]  # timer J has passed: a new transaction


def test_branches_that_ring_after_the_answer_are_cancelled() -> None:
    play = Play()
    (invite,) = play.receive(request())
    spare = next(d for d in play.wait(4.1) if d.method == "INVITE" and d.to != SOFTSWITCH)
    sent = play.receive(response(spare, 486), spare.to)
    assert [d.status for d in sent if d.to == CARRIER] == [486]  # the silent target is not waited for
    (cancel,) = play.receive(response(invite, 180), SOFTSWITCH)
    assert (cancel.method, cancel.to) == ("CANCEL", SOFTSWITCH)
