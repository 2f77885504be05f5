"""Verdicts that are neither accepted nor rejected: calls that are sent elsewhere, calls that hear nothing."""

from __future__ import annotations

import pytest

from tests import policies
from tests.proxy.messages import request
from tests.proxy.playbook import CARRIER, CONFIGURATION, Play, response

IVR = ("198.51.100.40", 5060)
SPARE_IVR = ("198.51.100.41", 5060)
ROBOT, SCANNER = "+8617012345678", "+8616512340000"
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nm=audio %d RTP/AVP 8 0 101\r\n"

POLICY = (
    CONFIGURATION.replace('name = "default"', 'name = "default"\ndivert = "captcha"')
    + """
[[gateway]]
name = "ivr"
targets = [{ address = "198.51.100.40", priority = 1 }, { address = "198.51.100.41", priority = 2 }]
"""
    + policies.divert("captcha", route="ivr", uri="sip:captcha@ivr.example.net")
    + policies.divert("announcement", route=["ivr"])
    + policies.table("prefix_rule", name="resale", prefixes=["+86170"], outcome="divert")
    + policies.number_list("overseas", "divert", "+1*", divert="announcement")
    + policies.number_list("scanner", "drop", SCANNER)
)


def test_a_diverted_call_gets_the_uri_of_its_destination() -> None:
    play = Play(POLICY)
    (invite,) = play.receive(request(caller=ROBOT))
    assert (invite.to, invite.uri) == (IVR, "sip:captcha@ivr.example.net")
    assert invite.one("To") == "<sip:+862088886666@203.0.113.5>"
    assert invite.one("X-Callsieve-Verdict").startswith("divert;score=0;basis=policy;rule=resale;id=")
    assert (play.counters["diverted"], play.counters["accepted"], play.counters["tagged"]) == (1, 0, 0)
    (told,) = play.events()
    assert (told.action, told.status, told.gateway) == (2, 0, 1)


def test_without_a_uri_the_number_that_was_called_stays() -> None:
    (invite,) = Play(POLICY).receive(request(caller="+14155550100"))
    assert (invite.to, invite.uri) == (IVR, "sip:+862088886666@198.51.100.40")


def test_a_divert_fails_over_within_its_own_route() -> None:
    play = Play(POLICY)
    (invite,) = play.receive(request(caller=ROBOT))
    sent = play.receive(response(invite, 503, "Out"), IVR)
    (second,) = [each for each in sent if each.method == "INVITE"]
    assert (second.to, second.uri) == (SPARE_IVR, "sip:captcha@ivr.example.net")


def test_a_diverted_call_is_a_whole_call() -> None:
    play = Play(POLICY)
    (invite,) = play.receive(request(caller=ROBOT))
    (ok,) = play.receive(response(invite, 200, "OK", headers=["Contact: <sip:captcha@198.51.100.40>"]), IVR)
    assert (ok.to, ok.status) == (CARRIER, 200)
    route = [f"Route: {ok.one('Record-Route')}"]
    bye = request(
        "BYE", caller=ROBOT, uri="sip:captcha@198.51.100.40", to_tag="to1", branch="z9hG4bK-2", cseq=2, headers=route
    )
    (passed,) = play.receive(bye)
    assert (passed.method, passed.to) == ("BYE", IVR)


def test_what_the_ivr_refuses_is_no_vote_of_the_callee() -> None:
    play = Play(POLICY)
    (invite,) = play.receive(request(caller=ROBOT))
    play.receive(response(invite, 607, "Unwanted"), IVR)
    play.receive(request("ACK", caller=ROBOT, to_tag="to1"))
    assert play.tables.reputation.read(1 << 60 | int("18617012345678"), play.now_us) is None


@pytest.mark.parametrize("header", ["Route: <sip:198.51.100.99;lr>"])
def test_a_diverted_call_does_not_name_its_own_way(header: str) -> None:
    play = Play(POLICY.replace('name = "carrier"', 'name = "carrier"\ntrusted = true'))
    sent = play.receive(request(caller=ROBOT, headers=[header]))
    assert [each.status for each in sent] == [480]


def test_a_dropped_call_hears_nothing_and_neither_do_its_repeats() -> None:
    play = Play(POLICY)
    invite = request(caller=SCANNER)
    for _ in range(5):
        assert play.receive(invite) == []
        assert play.wait(0.5) == []
    assert (play.counters["dropped"], play.counters["invites"], play.counters["retransmissions"]) == (1, 1, 4)
    (told,) = play.events()
    assert (told.action, told.status) == (4, 0)


def test_a_cancel_of_a_dropped_call_sends_nothing_on() -> None:
    play = Play(POLICY)
    play.receive(request(caller=SCANNER))
    assert all(each.to == CARRIER for each in play.receive(request("CANCEL", caller=SCANNER)))


# --- fingerprints ----------------------------------------------------------------------------------------------------

LIMITED = (
    CONFIGURATION
    + """
[[limit]]
name = "one-robot"
key = "fingerprint"
calls = 2
period_s = 60
"""
)


def attempt(number: int, *headers: str, port: int = 40_000, call_id: str = "%08d@pc") -> bytes:
    return request(
        caller=f"+86138001380{number:02}",
        callee=f"+8620888866{number:02}",
        branch=f"z9hG4bK-{number}",
        call_id=call_id % number,
        from_tag=f"f{number}",
        headers=headers,
        body=SDP % port,
    )


def first_statuses(play: Play, *messages: bytes) -> list[int]:
    """The status of each call's answer, 0 = it went on."""
    answers = [play.receive(each) for each in messages]
    return [next((each.status for each in sent if each.to == CARRIER), 0) for sent in answers]


def test_calls_of_one_shape_count_together_whatever_number_they_show() -> None:
    robots = [attempt(n, "User-Agent: dial 1", port=40_000 + 2 * n) for n in range(4)]
    assert first_statuses(Play(LIMITED), *robots) == [0, 0, 603, 603]


@pytest.mark.parametrize(
    "other",
    [
        attempt(9, "User-Agent: phone 7"),
        attempt(9, "Supported: timer", "User-Agent: dial 1"),
        attempt(9, "user-agent: dial 1"),
        attempt(9, "User-Agent: dial 1", call_id="%032d"),
        attempt(9, "User-Agent: dial 1").replace(b"RTP/AVP 8 0 101", b"RTP/AVP 0 8 101"),
    ],
)
def test_another_shape_is_another_caller(other: bytes) -> None:
    same = [attempt(n, "User-Agent: dial 1") for n in range(3)]
    assert first_statuses(Play(LIMITED), *same, other) == [0, 0, 603, 0]


def test_the_way_is_no_part_of_the_shape() -> None:
    """A second Via, as of a call that came over one more proxy."""
    longer = [
        attempt(n, "User-Agent: dial 1").replace(
            b"Max-Forwards", b"Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK-x\r\nMax-Forwards"
        )
        for n in range(2, 4)
    ]
    assert first_statuses(Play(LIMITED), *(attempt(n, "User-Agent: dial 1") for n in range(2)), *longer) == [
        0, 0, 603, 603,
    ]
