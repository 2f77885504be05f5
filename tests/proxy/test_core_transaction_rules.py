"""The rules of RFC 3261 sections 9, 16 and 17 that a proxy is most easily found to break: abuse tests X1 to X7."""

from __future__ import annotations

import pytest

from tests.proxy.messages import request
from tests.proxy.playbook import CARRIER, CONFIGURATION, SOFTSWITCH, SPARE, Datagram, Play, response

THIRD = ("198.51.100.22", 5060)
ON_FAILURE = "retry_on = [404, 480, 486, 500, 503]"
SERIAL = CONFIGURATION.replace(
    ' priority = 2 }]', f' priority = 2 }}, {{ address = "{THIRD[0]}", priority = 3 }}]\n{ON_FAILURE}'
)
TCP_LISTENER = '\n[[listener]]\nname = "tcp"\naddress = "203.0.113.5:5060"\ntransport = "tcp"\n'
BY_TCP = (CONFIGURATION + TCP_LISTENER).replace("priority = 1 }", 'priority = 1, transport = "tcp" }')
CHALLENGE = 'WWW-Authenticate: Digest realm="one", nonce="a"'
PROXY_CHALLENGES = ['Proxy-Authenticate: Digest realm="two", nonce="b"', 'proxy-authenticate : Digest realm="3"']


def forwarded(play: Play, method: str = "INVITE") -> Datagram:
    (sent,) = play.receive(request(method))
    return sent


def next_target(sent: list[Datagram]) -> Datagram:
    """The one request among them."""
    (following,) = [d for d in sent if d.method not in ("", "ACK", "CANCEL")]
    return following


def up(sent: list[Datagram]) -> list[int]:
    return [d.status for d in sent if d.to == CARRIER]


def two_branches(play: Play) -> tuple[Datagram, Datagram]:
    """The first target is silent at first and rings when the second has been asked: both branches are open."""
    first = forwarded(play)
    second = next_target([d for d in play.wait(4.1) if d.to == SPARE])
    assert [d.method for d in play.receive(response(first, 180), SOFTSWITCH)] == ["CANCEL"]
    return first, second


# X1: 2xx, late and repeated


def test_x1_every_2xx_is_forwarded_once_while_timer_m_runs() -> None:
    play = Play()
    invite = forwarded(play)
    play.receive(response(invite, 180), SOFTSWITCH)
    for second in range(32):
        for tag in ("to1", "to2"):  # two phones behind a fork further down
            sent = play.receive(response(invite, 200, tag=tag), SOFTSWITCH)
            assert [(d.status, d.to, d.tag("To")) for d in sent] == [(200, CARRIER, tag)]
        assert play.receive(request()) == []  # timer L absorbs the INVITE
        assert play.wait(1 if second < 31 else 0.9) == []  # nothing is repeated, acknowledged or cancelled by the proxy
    play.wait(0.2)
    assert play.receive(response(invite, 200), SOFTSWITCH) == []
    assert (play.counters["answered"], play.counters["screened"]) == (1, 1)


def test_x1_ack_of_each_2xx_goes_through() -> None:
    play = Play()
    invite = forwarded(play)
    for tag in ("to1", "to2"):
        play.receive(response(invite, 200, tag=tag), SOFTSWITCH)
        ack = request("ACK", uri="sip:gw@198.51.100.20", to_tag=tag, branch=f"z9hG4bK-ack-{tag}")
        (passed,) = play.receive(ack)
        assert (passed.method, passed.to, passed.tag("To")) == ("ACK", SOFTSWITCH, tag)


# X2: stray responses


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "WHATEVER"])
def test_x2_stray_responses_are_dropped_and_counted(method: str) -> None:
    play = Play()
    sent = forwarded(play, method)
    for status in (100, 180, 200, 404, 503, 603):
        good = response(sent, status)
        for stray in (
            good.replace(sent.branch.encode(), b"z9hG4bK00000000010badc0de"),
            good.replace(b"203.0.113.5:5060;rport", b"203.0.113.77:5060;rport", 1),
            good.replace(f"CSeq: 1 {method}".encode(), b"CSeq: 1 BYE"),
            good.replace(f"CSeq: 1 {method}".encode(), b"CSeq: 1 WHAT"),
        ):
            assert stray != good
            assert play.receive(stray, SOFTSWITCH) == []
    assert play.counters["stray_responses"] == play.counters["responses"] == 24


# X3: the best response


def test_x3_603_before_404() -> None:
    play = Play(SERIAL)
    second = next_target(play.receive(response(forwarded(play), 404), SOFTSWITCH))
    sent = play.receive(response(second, 603), SPARE)
    assert up(sent) == [603]
    assert [d.method for d in sent if d.to == THIRD] == []  # nothing new is started after a 6xx


def test_x3_200_before_486_and_the_others_are_cancelled() -> None:
    play = Play()
    first, second = two_branches(play)
    assert up(play.receive(response(second, 486), SPARE)) == []  # the first branch is still open
    sent = play.receive(response(first, 200), SOFTSWITCH)
    assert up(sent) == [200]
    assert play.counters["answered"] == 1


def test_x3_200_of_one_branch_cancels_the_branch_that_rings() -> None:
    play = Play()
    first, second = two_branches(play)
    play.receive(response(second, 180), SPARE)
    ok, cancel = play.receive(response(first, 200), SOFTSWITCH)
    assert (ok.status, ok.to) == (200, CARRIER)
    assert (cancel.method, cancel.to, cancel.branch) == ("CANCEL", SPARE, second.branch)
    assert cancel.one("Reason") == 'SIP;cause=200;text="Call completed elsewhere"'
    assert up(play.receive(response(second, 487), SPARE)) == []


def test_x3_200_cancels_a_silent_branch_at_its_first_provisional() -> None:
    play = Play()
    first, second = two_branches(play)
    assert [d.status for d in play.receive(response(first, 200), SOFTSWITCH)] == [200]
    sent = play.receive(response(second, 180), SPARE)
    assert [d.method for d in sent] == ["CANCEL"]
    assert "completed elsewhere" in sent[0].one("Reason")


def test_x3_401_and_407_become_one_answer_with_both_challenges() -> None:
    play = Play()
    first, second = two_branches(play)
    assert up(play.receive(response(second, 407, headers=PROXY_CHALLENGES), SPARE)) == []
    sent = play.receive(response(first, 401, headers=[CHALLENGE]), SOFTSWITCH)
    (answer,) = [d for d in sent if d.to == CARRIER]
    assert answer.status == 407
    head = answer.data.split(b"\r\n\r\n")[0].decode().split("\r\n")
    assert [line for line in head if "uthenticate" in line] == [*PROXY_CHALLENGES, CHALLENGE]
    assert head.count("Content-Length: 0") == 1
    assert answer.all("Via") == ["SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK-1;received=192.0.2.10;rport=5060"]


def test_x3_503_alone_becomes_500() -> None:
    play = Play(SERIAL)
    sent = play.receive(response(forwarded(play), 503), SOFTSWITCH)
    sent = play.receive(response(next_target(sent), 503), SPARE)
    assert up(play.receive(response(next_target(sent), 503), THIRD)) == [500]


def test_x3_nothing_at_all_is_408_for_an_invite() -> None:
    play = Play(SERIAL)
    forwarded(play)
    assert next(status for status in up(play.wait(100)) if status >= 200) == 408


def test_x3_nothing_at_all_is_silence_for_a_non_invite() -> None:
    play = Play(SERIAL)
    forwarded(play, "WHATEVER")
    assert up(play.wait(100)) == [100]


def test_x3_408_for_a_non_invite_goes_no_further() -> None:
    play = Play()
    sent = forwarded(play, "WHATEVER")
    assert play.receive(response(sent, 408), SOFTSWITCH) == []
    assert play.receive(request("WHATEVER")) == []  # still absorbed, and not a new transaction
    assert play.wait(100) == []


@pytest.mark.parametrize(
    ("statuses", "best"),
    [
        ((404, 486, 480), 404),  # the earlier of equals
        ((500, 480, 503), 480),  # the lower class
        ((503, 404, 503), 404),
        ((480, 404, 401), 401),  # what the caller can answer
        ((503, 500, 503), 500),
        ((404, 480, 433), 433),  # what tells of identity
        ((404, 480, 604), 604),
        ((404, 480, 302), 302),
    ],
)
def test_x3_order_of_preference(statuses: tuple[int, int, int], best: int) -> None:
    play = Play(SERIAL)
    sent = [forwarded(play)]
    for status, target in zip(statuses, (SOFTSWITCH, SPARE, THIRD), strict=True):
        sent = play.receive(response(next_target(sent), status), target)
    assert up(sent) == [best]
    assert [event.status for event in play.events()] == [0, best]
    assert play.wait(0.4) == []
    assert up(play.wait(0.2)) == [best]  # timer G repeats it
    assert play.receive(request("ACK", to_tag="to1")) == []


def test_x3_answer_that_is_not_to_be_retried_ends_the_search() -> None:
    play = Play(SERIAL)
    assert up(play.receive(response(forwarded(play), 488), SOFTSWITCH)) == [488]


def test_x3_retries_only_after_503_unless_told_otherwise() -> None:
    play = Play()
    assert up(play.receive(response(forwarded(play), 500), SOFTSWITCH)) == [500]


def test_x3_target_given_up_that_refuses_is_not_waited_for_nor_followed() -> None:
    play = Play()
    first, second = two_branches(play)
    assert up(play.receive(response(second, 480), SPARE)) == []
    sent = play.receive(response(first, 487), SOFTSWITCH)  # to our CANCEL, so no more than silence
    assert up(sent) == [480]


# X4: 6xx and 200


def test_x4_200_wins_over_a_603_that_came_first() -> None:
    play = Play()
    first, second = two_branches(play)
    sent = play.receive(response(second, 603), SPARE)
    assert {(d.method, d.to) for d in sent} == {("ACK", SPARE)}
    assert up(play.receive(response(first, 200), SOFTSWITCH)) == [200]
    assert up(play.wait(100)) == []


def test_x4_603_goes_up_once_the_others_have_ended() -> None:
    play = Play()
    first, second = two_branches(play)
    play.receive(response(second, 180), SPARE)
    sent = play.receive(response(first, 603), SOFTSWITCH)
    assert {(d.method, d.to) for d in sent} == {("ACK", SOFTSWITCH), ("CANCEL", SPARE)}
    assert next(d for d in sent if d.method == "CANCEL").one("Reason") == "SIP;cause=603"
    assert up(play.receive(response(second, 487), SPARE)) == [603]
    assert play.receive(response(second, 200), SPARE) == []
    assert up(play.receive(response(first, 200), SOFTSWITCH)) == []


def test_x4_603_goes_up_though_the_other_branch_never_ends() -> None:
    play = Play()
    _, second = two_branches(play)
    play.receive(response(second, 603), SPARE)
    assert up(play.wait(31)) == []
    assert up(play.wait(4))[0] == 603


# X5: CANCEL


@pytest.mark.parametrize("reasons", [[], ["Reason: SIP;cause=600", 'Reason: Q.850;cause=16;text="Bye"']])
def test_x5_cancel_before_any_provisional_waits(reasons: list[str]) -> None:
    play = Play()
    invite = forwarded(play)
    assert up(play.receive(request("CANCEL", headers=reasons))) == [200]
    assert play.wait(0.1) == []
    cancel = play.receive(response(invite, 100), SOFTSWITCH)[0]
    assert (cancel.method, cancel.to, cancel.branch) == ("CANCEL", SOFTSWITCH, invite.branch)
    assert [f"Reason: {reason}" for reason in cancel.all("Reason")] == reasons
    assert cancel.all("Require") == cancel.all("Proxy-Require") == []
    assert up(play.receive(response(invite, 487), SOFTSWITCH)) == [487]


def test_x5_cancel_after_180_reaches_every_branch_with_its_reason() -> None:
    play = Play()
    first = forwarded(play)
    second = next_target([d for d in play.wait(4.1) if d.to == SPARE])
    play.receive(response(second, 180), SPARE)
    ok, cancel = play.receive(request("CANCEL", headers=["Reason: SIP;cause=600"]))
    assert (ok.status, cancel.method, cancel.to) == (200, "CANCEL", SPARE)
    (late,) = play.receive(response(first, 180), SOFTSWITCH)
    assert (late.method, late.to) == ("CANCEL", SOFTSWITCH)
    assert cancel.one("Reason") == late.one("Reason") == "SIP;cause=600"
    assert up(play.receive(response(second, 487), SPARE)) == []
    assert up(play.receive(response(first, 487), SOFTSWITCH)) == [487]


def test_x5_cancelled_call_goes_to_no_further_target() -> None:
    play = Play()
    invite = forwarded(play)
    play.receive(request("CANCEL"))
    sent = play.wait(5)
    assert [d for d in sent if d.to == SPARE] == []
    assert up(sent)[:2] == [100, 487]
    (cancel,) = play.receive(response(invite, 180), SOFTSWITCH)
    assert cancel.method == "CANCEL"
    busy = Play()
    invite = forwarded(busy)
    busy.receive(request("CANCEL"))
    sent = busy.receive(response(invite, 503), SOFTSWITCH)
    assert {(d.method, d.status, d.to) for d in sent} == {("", 487, CARRIER), ("ACK", 0, SOFTSWITCH)}


@pytest.mark.parametrize("status", [200, 404])
def test_x5_cancel_after_a_final_response_has_no_effect(status: int) -> None:
    play = Play()
    play.receive(response(forwarded(play), status), SOFTSWITCH)
    sent = play.receive(request("CANCEL"))
    assert [(d.status, d.one("CSeq")) for d in sent] == [(200, "1 CANCEL")]
    assert [d for d in play.wait(0.4) if d.method] == []


def test_x5_cancel_crossing_the_200_changes_nothing() -> None:
    play = Play()
    invite = forwarded(play)
    play.receive(response(invite, 180), SOFTSWITCH)
    play.receive(request("CANCEL"))
    assert up(play.receive(response(invite, 200), SOFTSWITCH)) == [200]


def test_x5_cancel_with_no_match_is_forwarded_statelessly() -> None:
    play = Play()
    sent = [play.receive(request("CANCEL", branch="z9hG4bK-unknown"))[0] for _ in range(2)]
    assert {(d.method, d.to, d.branch) for d in sent} == {("CANCEL", SOFTSWITCH, sent[0].branch)}
    assert play.core.next_deadline() == 0


def test_x5_cancel_of_a_rejected_call_is_answered_and_goes_nowhere() -> None:
    play = Play()
    play.prove()
    (rejected,) = play.receive(request(caller="+862066660000"))
    sent = play.receive(request("CANCEL", caller="+862066660000"))
    assert (rejected.status, up(sent)) == (403, [200])


# X6: timer C


def test_x6_timer_c_cancels_a_branch_that_rang_and_then_it_is_408() -> None:
    play = Play()
    play.receive(response(forwarded(play), 180), SOFTSWITCH)
    assert play.wait(184) == []
    sent = play.wait(2)
    assert (sent[0].method, up(sent)) == ("CANCEL", [])
    assert up(play.wait(33))[0] == 408


def test_x6_487_to_the_cancel_of_timer_c_is_a_408_to_the_caller() -> None:
    play = Play()
    invite = forwarded(play)
    play.receive(response(invite, 180), SOFTSWITCH)
    play.wait(186)
    sent = play.receive(response(invite, 487), SOFTSWITCH)
    assert up(sent) == [408]
    assert [d.method for d in sent if d.to == SPARE] == []


def test_x6_without_a_provisional_it_is_a_408_and_no_cancel() -> None:
    play = Play()
    forwarded(play)
    sent = play.wait(300)
    assert [d for d in sent if d.method == "CANCEL"] == []
    assert next(status for status in up(sent) if status >= 200) == 408


def test_x6_183_every_two_minutes_keeps_it_running() -> None:
    play = Play()
    invite = forwarded(play)
    for _ in range(10):
        assert up(play.receive(response(invite, 183), SOFTSWITCH)) == [183]
        assert play.wait(120) == []


def test_x6_100_does_not_reset_it() -> None:
    play = Play()
    invite = forwarded(play)
    play.receive(response(invite, 183), SOFTSWITCH)
    for _ in range(3):
        play.wait(60)
        assert play.receive(response(invite, 100), SOFTSWITCH) == []
    assert {d.method for d in play.wait(6)} == {"CANCEL"}


# X7: slow non-INVITE


@pytest.mark.parametrize("text", [CONFIGURATION, BY_TCP], ids=["udp", "tcp"])
@pytest.mark.parametrize("provisional", [100, 183, 199])
def test_x7_slow_non_invite_gets_100_at_3500_ms_and_no_other_provisional(text: str, provisional: int) -> None:
    play = Play(text)
    options = forwarded(play, "WHATEVER")
    play.wait(1)
    assert play.receive(response(options, provisional), SOFTSWITCH) == []
    assert up(play.wait(2.4)) == []
    assert up(play.wait(0.2)) == [100]
    assert play.receive(response(options, provisional), SOFTSWITCH) == []
    (trying,) = play.receive(request("WHATEVER"))
    assert trying.status == 100
    assert up(play.receive(response(options, 200), SOFTSWITCH)) == [200]


def test_x7_the_same_when_the_request_came_over_tcp() -> None:
    play = Play(BY_TCP)
    whatever = request("WHATEVER", transport="TCP")
    play.receive_stream(whatever, (CARRIER[0], 40_000), listener=1, flow=7)
    assert [(d.status, d.flow) for d in play.wait(3.6)] == [(100, 7)]


# Which branch an answer came by


def test_identity_in_an_answer_is_judged_by_the_branch_it_came_by() -> None:
    ours = '[[gateway]]\nname = "ours"\ntargets = [{ address = "198.51.100.30" }]\n'
    text = CONFIGURATION.replace('route = "softswitch"', 'trusted = true\nroute = ["softswitch", "ours"]') + ours
    text = text.replace('name = "softswitch"\n', 'name = "softswitch"\ntrusted = false\n')
    text = text.replace(', { address = "198.51.100.21", priority = 2 }', "")
    asserted = ["P-Asserted-Identity: <sip:+862088886666@elsewhere.example>"]
    play = Play(text)
    invite = forwarded(play)
    second = next_target([d for d in play.wait(4.1) if d.to == ("198.51.100.30", 5060)])
    (claimed,) = play.receive(response(invite, 200, headers=asserted), SOFTSWITCH)
    assert (claimed.status, claimed.all("P-Asserted-Identity")) == (200, [])
    (known,) = play.receive(response(second, 200, headers=asserted), second.to)
    assert len(known.all("P-Asserted-Identity")) == 1
