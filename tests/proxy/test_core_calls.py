"""Calls through the core: answered, rejected by basis, labelled, never screened twice."""

from __future__ import annotations

import pytest

from tests.proxy.messages import request
from tests.proxy.playbook import CARRIER, CONFIGURATION, SOFTSWITCH, Datagram, Play, response

BY_CALLER, BY_CALLEE = 1, 2


def answered(play: Play, **fields: str) -> tuple[Datagram, Datagram]:
    """A call set up: the INVITE as forwarded and the 200 as the caller gets it."""
    (invite,) = play.receive(request(**fields))  # type: ignore[arg-type]
    (ok,) = play.receive(response(invite, 200, "OK", headers=["Contact: <sip:gw@198.51.100.20>"]), SOFTSWITCH)
    return invite, ok


def test_forwarded_invite_differs_only_where_a_proxy_may() -> None:
    play = Play()
    received = request(headers=["X-Odd :  a\r\n  b", "Supported: timer"], body=b"v=0\r\n")
    (invite,) = play.receive(received)
    assert invite.to == SOFTSWITCH
    assert invite.uri == "sip:+862088886666@198.51.100.20"
    assert invite.one("Max-Forwards") == "69"
    assert invite.all("Via")[1] == "SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK-1;received=192.0.2.10;rport=5060"
    assert invite.one("Record-Route").startswith("<sip:203.0.113.5:5060;lr;cs=00")
    untouched = received.split(b"From:", 1)[1]
    assert invite.data.split(b"From:", 1)[1] == untouched


def test_request_uri_of_a_foreign_host_stays() -> None:
    (invite,) = Play().receive(request(uri="sip:+862088886666@elsewhere.example.net;user=phone"))
    assert invite.uri == "sip:+862088886666@elsewhere.example.net;user=phone"
    assert invite.to == SOFTSWITCH


def test_responses_lose_our_via_and_nothing_else() -> None:
    play = Play()
    (invite,) = play.receive(request())
    ringing = response(invite, 180, "Ringing", headers=["X-Foo: bar"])
    (passed,) = play.receive(ringing, SOFTSWITCH)
    assert passed.to == CARRIER
    assert passed.data == ringing.replace(f"Via: {invite.all('Via')[0]}\r\n".encode(), b"")


def test_100_is_never_passed_on() -> None:
    play = Play()
    (invite,) = play.receive(request())
    assert play.receive(response(invite, 100, "Trying"), SOFTSWITCH) == []


def test_100_trying_comes_after_200_ms_when_nothing_else_has() -> None:
    play = Play()
    play.receive(request())
    assert play.wait(0.19) == []
    (trying,) = play.wait(0.02)
    assert (trying.status, trying.to, trying.tag("To")) == (100, CARRIER, "")
    assert len(trying.all("Via")) == 1


def test_no_100_trying_after_a_180() -> None:
    play = Play()
    (invite,) = play.receive(request())
    play.receive(response(invite, 180), SOFTSWITCH)
    assert play.wait(0.4) == []


def test_dialog_goes_by_record_route_and_the_bye_ends_the_call() -> None:
    play = Play()
    _, ok = answered(play)
    route = [f"Route: {ok.one('Record-Route')}"]
    (ack,) = play.receive(request("ACK", uri="sip:gw@198.51.100.20", branch="z9hG4bK-ack", to_tag="to1", headers=route))
    assert (ack.method, ack.uri, ack.to, ack.all("Route")) == ("ACK", "sip:gw@198.51.100.20", SOFTSWITCH, [])
    play.wait(12.5)
    (bye,) = play.receive(
        request("BYE", uri="sip:gw@198.51.100.20", branch="z9hG4bK-bye", to_tag="to1", cseq=2, headers=route)
    )
    assert (bye.method, bye.to) == ("BYE", SOFTSWITCH)
    (done,) = play.receive(response(bye, 200), SOFTSWITCH)
    assert (done.status, done.to) == (200, CARRIER)
    screened, ended = play.events()
    assert (screened.status, ended.status, ended.released_by, ended.talk_ms) == (0, 200, BY_CALLER, 12_500)
    assert play.core.open_calls == 0


def test_bye_of_the_callee_ends_the_call_as_released_by_the_callee() -> None:
    play = Play()
    _, ok = answered(play)
    bye = (
        b"BYE sip:carrier@192.0.2.10:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.20;branch=z9hG4bK-x\r\n"
        b"From: <sip:+862088886666@203.0.113.5>;tag=to1\r\nTo: <sip:+8613800138000@192.0.2.10>;tag=from1\r\n"
        b"Call-ID: call-1@carrier\r\nCSeq: 9 BYE\r\nRoute: " + ok.one("Record-Route").encode() + b"\r\n\r\n"
    )
    (passed,) = play.receive(bye, SOFTSWITCH)
    assert passed.to == CARRIER
    assert list(play.events())[-1].released_by == BY_CALLEE


def test_in_dialog_request_of_a_stranger_needs_our_cookie() -> None:
    play = Play()
    _, ok = answered(play)
    stranger = ("203.0.113.99", 40000)
    fields = {"uri": "sip:gw@198.51.100.20", "to_tag": "to1"}
    route = ok.one("Record-Route")
    forged = route.replace("cs=00", "cs=00f")[: len(route)]
    assert play.receive(request("BYE", branch="z9hG4bK-s1", **fields), stranger) == []
    assert play.receive(request("BYE", branch="z9hG4bK-s2", headers=[f"Route: {forged}"], **fields), stranger) == []
    assert play.counters["unknown_source"] == 2
    assert play.receive(request("BYE", branch="z9hG4bK-s3", headers=[f"Route: {route}"], **fields), stranger)


def test_contact_that_is_a_name_goes_where_the_call_went() -> None:
    play = Play()
    answered(play)
    (ack,) = play.receive(request("ACK", uri="sip:gw@softswitch.invalid", branch="z9hG4bK-a", to_tag="to1"))
    assert ack.to == SOFTSWITCH


@pytest.mark.parametrize(
    ("caller", "status", "phrase"), [("+862066660000", 403, "Forbidden"), ("+86138001", 403, "Forbidden")]
)
def test_rejected_by_basis(caller: str, status: int, phrase: str) -> None:
    play = Play()
    (reply,) = play.receive(request(caller=caller))
    assert reply.first_line == f"SIP/2.0 {status} {phrase}"
    assert reply.to == CARRIER
    assert len(reply.tag("To")) == 16
    (event,) = play.events()
    assert event.status == status


def test_burst_is_network_blocked_with_a_redress_id() -> None:
    play = Play()
    play.prove()
    replies = [play.receive(request(branch=f"z9hG4bK-{i}", call_id=f"c{i}"))[0] for i in range(6)]
    assert [reply.method for reply in replies[:5]] == ["INVITE"] * 5
    assert replies[5].first_line == "SIP/2.0 603 Network Blocked"
    reason = replies[5].one("Reason")
    assert reason.startswith('SIP;cause=603;text="v=analytics1;url=https://redress.example.net/r;id=')
    assert reason.endswith('";location=RLN')


def test_reject_is_repeated_until_its_ack_and_the_invite_is_screened_once() -> None:
    play = Play()
    play.prove()
    invite = request(caller="+862066660000")
    (reply,) = play.receive(invite)
    (again,) = play.receive(invite)
    assert again.data == reply.data
    assert [sent.data for sent in play.wait(0.6)] == [reply.data]  # timer G
    play.receive(request("ACK", caller="+862066660000", to_tag=reply.tag("To")))
    assert play.wait(40) == []
    assert play.counters["screened"] == 1
    assert play.core.open_transactions == 0


def test_reject_never_acknowledged_ends_by_timer_h() -> None:
    play = Play()
    play.prove()
    play.receive(request(caller="+862066660000"))
    sent = play.wait(33)
    assert len(sent) == 10  # 0.5 1.5 3.5 7.5 11.5 ... 31.5 s
    assert play.counters["no_ack"] == 1
    assert play.wait(60) == []


def test_repeated_invite_of_a_forwarded_call_is_absorbed() -> None:
    play = Play()
    (invite,) = play.receive(request())
    assert play.receive(request()) == []
    (ringing,) = play.receive(response(invite, 180), SOFTSWITCH)
    (again,) = play.receive(request())
    assert again.data == ringing.data
    assert play.counters["screened"] == 1


def test_labelled_call_carries_the_verdict_and_nothing_of_the_wire() -> None:
    play = Play()
    spoof = 'X-Callsieve-Verdict : "trust me"'
    (invite,) = play.receive(request(caller="+8616512345678", headers=[spoof, "x-callsieve-class: a"]))
    verdict = invite.one("X-Callsieve-Verdict")
    assert verdict.startswith("tag;score=")
    assert "rule=suspected;id=" in verdict
    assert verdict.endswith(';label="Suspected \\"spam\\": loans"')
    assert b"trust me" not in invite.data and b"x-callsieve-class" not in invite.data


def test_identity_of_an_untrusted_peer_is_removed_and_does_not_count() -> None:
    play = Play()
    claims = [
        "P-Asserted-Identity: <sip:+862066660000@x>",
        "Remote-Party-ID: <sip:1@x>",
        "P-Preferred-Identity: <sip:2@x>",
    ]
    (invite,) = play.receive(request(headers=claims))
    assert not any(invite.all(name.split(":")[0]) for name in claims)


def test_identity_of_a_trusted_peer_counts_and_stays() -> None:
    play = Play()
    trusted = Play(_trusting())
    (reply,) = trusted.receive(request(headers=["P-Asserted-Identity: <tel:+86-20-6666-0000>"]))
    assert reply.status == 403
    (invite,) = trusted.receive(
        request(branch="z9hG4bK-2", call_id="c2", headers=["P-Asserted-Identity: <sip:+8613800138009@x>"])
    )
    assert invite.one("P-Asserted-Identity") == "<sip:+8613800138009@x>"
    assert play.counters["received"] == 0


def test_gateway_that_is_not_trusted_sees_no_labels() -> None:
    play = Play(_trusting().replace("targets = ", "trusted = false\ntargets = "))
    (invite,) = play.receive(request(headers=["P-Asserted-Identity: <sip:+8616512345678@x>"]))
    assert invite.all("X-Callsieve-Verdict") == []


def test_anonymous_caller_is_labelled_as_the_policy_says() -> None:
    play = Play()
    data = request().replace(b"<sip:+8613800138000@192.0.2.10>", b'"Anonymous" <sip:anonymous@anonymous.invalid>')
    (invite,) = play.receive(data)
    assert invite.one("X-Callsieve-Verdict").startswith("tag;")


def test_never_block_callee_is_reached_by_anybody() -> None:
    (invite,) = Play().receive(request(caller="+862066660000", callee="+862088880110"))
    assert invite.method == "INVITE"


def test_emergency_service_urn_is_never_screened_away() -> None:
    (invite,) = Play().receive(request(caller="+862066660000", uri="urn:service:sos.police"))
    assert (invite.method, invite.uri) == ("INVITE", "urn:service:sos.police")


def test_invite_of_an_unknown_source_is_dropped_and_counted() -> None:
    play = Play()
    assert play.receive(request(), ("198.18.0.1", 5060)) == []
    assert play.counters["unknown_source"] == 1
    assert play.counters["screened"] == 0


def test_cookie_of_one_dialog_proves_no_other() -> None:
    play = Play()
    _, ok = answered(play)
    route = [f"Route: {ok.one('Record-Route')}"]
    fields = {"uri": "sip:other@198.51.100.20", "branch": "z9hG4bK-9", "headers": route}
    (refused,) = play.receive(request(from_tag="another", to_tag="invented", **fields))  # type: ignore[arg-type]
    assert refused.status == 481
    assert play.counters["screened"] == 1


def test_route_of_an_untrusted_peer_does_not_choose_the_next_hop() -> None:
    route = ["Route: <sip:192.0.2.99:5060;lr>"]
    (refused,) = Play().receive(request(headers=route))
    assert refused.status == 403
    (invite,) = Play(_trusting()).receive(request(headers=route))
    assert invite.to == ("192.0.2.99", 5060)


def test_draining_refuses_new_calls_and_finishes_old_ones() -> None:
    play = Play()
    (invite,) = play.receive(request())
    play.core.drain()
    (refused,) = play.receive(request(branch="z9hG4bK-2", call_id="c2"))
    assert (refused.status, refused.one("Retry-After")) == (503, "30")
    (ok,) = play.receive(response(invite, 200), SOFTSWITCH)
    assert ok.status == 200
    assert play.core.open_transactions == 0


def test_reload_swaps_the_policy_between_two_calls() -> None:
    play = Play()
    play.receive(request())
    play.configure(_trusting().replace('["+862066660000"]', '["+8613800138000"]'))
    (reply,) = play.receive(request(branch="z9hG4bK-2", call_id="c2"))
    assert reply.status == 403
    assert [event.generation for event in play.events()] == [1, 2]


def _trusting() -> str:
    return CONFIGURATION.replace('sources = ["192.0.2.0/24"]', 'sources = ["192.0.2.0/24"]\ntrusted = true')
