"""Redirect mode: every INVITE is answered with a verdict, nothing is ever forwarded."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from sipmessage import Address

from tests.proxy.messages import request
from tests.proxy.playbook import CARRIER, CONFIGURATION, Datagram, Play
from tests.second_parser import values

CLEAN, TAGGED, DENIED = "+8613800138000", "+8616512345678", "+862066660000"
STRANGER = ("192.88.99.9", 5060)
CONTACTS = '"sbc.example.net", "192.0.2.10:5070"'


def redirecting(compat: str = "clearip", **keys: str) -> str:
    """The configuration with its carrier in redirect mode; keys of [trunk.redirect] as TOML."""
    table = {"contacts": f"[{CONTACTS}]"} | keys
    lines = "\n".join(f"{key} = {value}" for key, value in table.items())
    trunk = f'compat = "{compat}"\n\n[trunk.redirect]\n{lines}\n'
    return CONFIGURATION.replace('route = "softswitch"\n', trunk)


def answered(text: str, caller: str, **fields: str) -> Datagram:
    (reply,) = Play(text).receive(request(caller=caller, **fields))  # type: ignore[arg-type]
    assert reply.to == CARRIER
    return reply


@pytest.mark.parametrize(
    ("compat", "mode", "clean", "tagged", "denied"),
    [
        ("clearip", "report-only", 404, 404, 404),
        ("clearip", "indicate", 404, 302, 302),
        ("clearip", "divert", 404, 302, 302),
        ("clearip", "block", 404, 302, 603),
        ("ribbon", "report-only", 503, 503, 503),
        ("ribbon", "indicate", 503, 300, 300),
        ("ribbon", "divert", 503, 300, 300),
        ("ribbon", "block", 503, 300, 603),
    ],
)
def test_each_interface_has_its_answers(compat: str, mode: str, clean: int, tagged: int, denied: int) -> None:
    text = redirecting(compat, mode=f'"{mode}"', divert_to='["sip:captcha@ivr.example.net"]')
    assert [answered(text, caller).status for caller in (CLEAN, TAGGED, DENIED)] == [clean, tagged, denied]


def test_route_advance_may_be_503_for_clearip_too() -> None:
    assert answered(redirecting(clean="503"), CLEAN).status == 503


def test_an_indicated_call_goes_on_under_another_name_with_its_verdict() -> None:
    reply = answered(redirecting(mode='"indicate"'), TAGGED, uri="sip:+862088886666;npdi@203.0.113.5;user=phone;lr")
    assert reply.first_line == "SIP/2.0 302 Moved Temporarily"
    first, second = reply.all("Contact")
    assert first.startswith('"<SPAM>" <sip:+862088886666;npdi@sbc.example.net;user=phone?X-Callsieve-Verdict=tag%3B')
    assert first.endswith(">;q=1.0") and second.endswith(">;q=0.95")
    assert "@192.0.2.10:5070;" in second
    verdict = unquote(first.split("Verdict=")[1].split(">")[0])
    assert re.fullmatch(r"tag;score=\d+;basis=[a-z]+;id=[A-Z2-7]{13}", verdict)
    # The second parser knows no headers in a URI, and has no objection to the rest.
    contacts = values(reply.data.replace(b"?X-Callsieve-Verdict=", b";x="), "Contact")
    assert [Address.parse(contact).name for contact in contacts] == ["<SPAM>", "<SPAM>"]


def test_a_diverted_call_goes_where_the_operator_says() -> None:
    uris = [f"sip:ivr-{n}@ivr.example.net" for n in range(12)]
    reply = answered(redirecting(mode='"divert"', divert_to=str(uris)), DENIED)
    contacts = reply.all("Contact")
    assert [re.findall(r"<(.*?)\?", contact)[0] for contact in contacts] == uris
    assert [contact.split("q=")[1] for contact in contacts] == ["1.0", *(f"0.{100 - 5 * n}" for n in range(1, 12))]


def test_twelve_long_contacts_are_cut_to_whole_rows() -> None:
    hosts = [f"{'h' * 60}.{'h' * 60}.{'h' * 60}.{n}.example.net" for n in range(12)]
    reply = answered(redirecting(mode='"indicate"', contacts=str(hosts)), TAGGED)
    assert 8 <= len(reply.all("Contact")) <= 12
    assert all(contact.endswith(tuple("0123456789")) and contact.count("<") == 2 for contact in reply.all("Contact"))


def test_a_score_from_act_at_on_is_as_good_as_a_rejection() -> None:
    scoring = (
        redirecting(act_at="{}")
        + """
[[prefix_rule]]
name = "risky"
prefixes = ["+86170"]
points = 700
"""
    )
    scoring = scoring.replace('anonymous = "tag"', 'anonymous = "tag"\nthresholds = { tag = 500, reject = 900 }')
    assert answered(scoring.replace("{}", "71"), "+8617012345678").status == 302
    assert answered(scoring.replace("{}", "70"), "+8617012345678").status == 603


def test_an_analytics_block_is_603_network_blocked_with_its_reason() -> None:
    play = Play(redirecting())
    for number in range(6):
        (reply,) = play.receive(request(branch=f"z9hG4bK-{number}", call_id=f"c{number}"))
    assert reply.first_line == "SIP/2.0 603 Network Blocked"
    assert reply.one("Reason").startswith('SIP;cause=603;text="v=analytics1;')
    assert reply.all("Retry-After") == []


@pytest.mark.parametrize("text", [redirecting("ribbon"), redirecting(clean="503"), redirecting()])
def test_a_repeat_gets_the_same_answer_and_is_judged_once(text: str) -> None:
    play = Play(text)
    (first,) = play.receive(request())
    (second,) = play.receive(request())
    assert first.data == second.data
    assert (play.counters["screened"], play.counters["retransmissions"]) == (1, 1)
    play.receive(request("ACK", to_tag=first.tag("To")))
    assert play.wait(40) == []
    (event,) = play.events()
    assert (event.status, event.gateway) == (first.status, 0xFFFF)


def test_a_call_whose_number_is_none_cannot_be_indicated_and_goes_on() -> None:
    assert answered(redirecting(), TAGGED, uri="sip:203.0.113.5").status == 404
    assert answered(redirecting(), TAGGED, uri=f"sip:{'9' * 129}@203.0.113.5").status == 404


def test_an_unknown_source_is_told_403_once_and_nothing_is_kept() -> None:
    play = Play(redirecting())
    (reply,) = play.receive(request(), STRANGER)
    assert (reply.status, reply.to) == (403, STRANGER)
    assert play.wait(40) == []
    assert play.receive(request("OPTIONS"), STRANGER) == []
    assert Play(CONFIGURATION).receive(request(), STRANGER) == []


@pytest.mark.parametrize(
    ("method", "to_tag", "status"),
    [("OPTIONS", "", 200), ("BYE", "x", 481), ("INVITE", "x", 481), ("UPDATE", "x", 481), ("MESSAGE", "", 403),
     ("FLY", "", 403), ("REFER", "", 403)],
)  # fmt: skip
def test_whatever_else_is_said_is_answered_here(method: str, to_tag: str, status: int) -> None:
    route = ["Route: <sip:198.51.100.20;lr>"]
    for headers in ([], route):
        play = Play(redirecting())
        (reply,) = play.receive(request(method, to_tag=to_tag, uri="sip:x@198.51.100.20", headers=headers))
        assert (reply.status, reply.to) == (status, CARRIER)


def test_an_ack_or_a_cancel_of_nothing_goes_nowhere() -> None:
    play = Play(redirecting())
    assert play.receive(request("ACK", to_tag="x", uri="sip:x@198.51.100.20")) == []
    assert play.receive(request("CANCEL", uri="sip:x@198.51.100.20")) == []


def test_a_cancel_that_crosses_the_answer_is_confirmed() -> None:
    play = Play(redirecting())
    play.receive(request())
    (reply,) = play.receive(request("CANCEL"))
    assert reply.status == 200


def test_other_trunks_are_forwarded_as_ever() -> None:
    other = (
        redirecting()
        + """
[[trunk]]
name = "plain"
sources = ["203.0.113.77/32"]
dial_plan = "cn"
policy = "default"
route = "softswitch"
"""
    )
    (sent,) = Play(other).receive(request(), ("203.0.113.77", 5060))
    assert sent.method == "INVITE"
