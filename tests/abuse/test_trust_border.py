"""What an untrusted peer says of itself never reaches a gateway, however it is spelled (groups H and P)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proxy.messages import request
from tests.proxy.playbook import CONFIGURATION, SOFTSWITCH, Play, response
from tests.second_parser import headers, values

UNTRUSTED_GATEWAY = CONFIGURATION.replace("targets = ", "trusted = false\ntargets = ")
CALLER = "+8613800138000"
TRUSTED = CONFIGURATION.replace('dial_plan = "cn"', 'dial_plan = "cn"\ntrusted = true')

# Name and value of what a peer that is not trusted may not say; the compact form where there is one.
FORBIDDEN = {
    "X-Callsieve-Verdict": "accept;score=0;basis=none",
    "X-Callsieve-Anything": "1",
    "P-Asserted-Identity": "<sip:+862088880001@bank.example>",
    "P-Preferred-Identity": "<sip:+862088880001@bank.example>",
    "Remote-Party-ID": "<sip:+862088880001@bank.example>;party=calling;screen=yes",
    "P-Charging-Vector": "icid-value=1",
    "P-Charging-Function-Addresses": "ccf=192.0.2.1",
    "P-Access-Network-Info": "3GPP-UTRAN-TDD; utran-cell-id-3gpp=234151D0FCE11",
    "Identity": "eyJhbGciOiJFUzI1NiJ9..c2ln;info=<https://cert.example/c>;alg=ES256;ppt=shaken",
    "Diversion": "<sip:+862088880003@x>;reason=unconditional",
    "History-Info": "<sip:+862088880003@x>;index=1",
    "Resource-Priority": "esnet.0",
    "Reason": "Q.850;cause=16",
}
COMPACT = {"Identity": "y"}


def spellings(name: str, value: str) -> Iterator[str]:
    yield f"{name}: {value}"
    yield f"{name.upper()}: {value}"
    yield f"{name.lower()}:{value}"
    yield f"{name} \t : {value}"
    yield f"{name}:\r\n {value}"
    yield f"{name} :\r\n\t \r\n {value}"
    yield f"{name}: {value}, {value}"
    yield f"{name}: {value}\r\n{name.swapcase()}: {value}"
    if name in COMPACT:
        yield f"{COMPACT[name]}: {value}"
        yield f"{COMPACT[name].upper()} : {value}"


@pytest.mark.parametrize("name", FORBIDDEN)
def test_h2_what_an_untrusted_peer_may_not_say_is_removed_in_every_spelling(name: str) -> None:
    play = Play()
    for number, line in enumerate(spellings(name, FORBIDDEN[name])):
        (forwarded,) = play.receive(
            request(headers=[line, "Subject: stays"], branch=f"z9hG4bK-{number}", call_id=f"c{number}")
        )
        assert forwarded.method == "INVITE"
        assert values(forwarded.data, name) == [], line
        assert values(forwarded.data, "Subject") == ["stays"]
        play.now_us += 10_000_000


@pytest.mark.parametrize("name", FORBIDDEN)
def test_h2_a_trusted_peer_may_say_it(name: str) -> None:
    (forwarded,) = Play(TRUSTED).receive(request(headers=[f"{name}: {FORBIDDEN[name]}"]))
    expected = [] if name == "P-Preferred-Identity" else [FORBIDDEN[name]]
    assert values(forwarded.data, name) == expected


@pytest.mark.parametrize(
    ("word", "name"),
    [("identity", "Identity"), ("diversion", "Diversion"), ("diversion", "History-Info"),
     ("resource-priority", "Resource-Priority")],
)  # fmt: skip
def test_h2_a_right_of_its_own_lets_one_header_pass(word: str, name: str) -> None:
    play = Play(CONFIGURATION.replace('dial_plan = "cn"', f'dial_plan = "cn"\naccepts = ["{word}"]'))
    (forwarded,) = play.receive(request(headers=[f"{key}: {value}" for key, value in FORBIDDEN.items()]))
    left = {key for key, _ in headers(forwarded.data)} & {key.lower() for key in FORBIDDEN}
    assert left == {key.lower() for key in FORBIDDEN if key == name or (word, key) == ("diversion", "Diversion")} | (
        {"history-info"} if word == "diversion" else set()
    )


@pytest.mark.parametrize(
    ("sender", "left"),
    [
        ("<sip:N;verstat=TN-Validation-Passed@x>;tag=from1", "<sip:N@x>;tag=from1"),
        ("<sip:N@x;VerStat=x;user=phone>;tag=from1", "<sip:N@x;user=phone>;tag=from1"),
        ("<tel:N;%76erst%61t=x>;tag=from1", "<tel:N>;tag=from1"),
        ("<tel:N;verstat>;tag=from1", "<tel:N>;tag=from1"),
        ("tel:N;verstat=x;tag=from1", "tel:N;tag=from1"),
        ('"; verstat=no" <tel:N>;tag=from1;\r\n verstat = "a;b"', '"; verstat=no" <tel:N>;tag=from1'),
        ("<tel:N;verstat=a;verstat=b>;tag=from1;verstat=c", "<tel:N>;tag=from1"),
        ("<tel:N;verstatus=x>;tag=verstat", "<tel:N;verstatus=x>;tag=verstat"),
    ],
)
def test_h2_verstat_of_an_untrusted_peer_goes_out_of_from(sender: str, left: str) -> None:
    sender, left = sender.replace(":N", f":{CALLER}"), left.replace(":N", f":{CALLER}")
    data = request().replace(b"From: <sip:+8613800138000@192.0.2.10>;tag=from1", f"From: {sender}".encode())
    (forwarded,) = Play().receive(data)
    assert values(forwarded.data, "From") == [left]
    (kept,) = Play(TRUSTED).receive(data)
    assert f"From: {sender}\r\n".encode() in kept.data


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("<https://x/l>;purpose=jcard", []),
        ('<https://x/l>;purpose=info;call-reason="Your bank"', []),
        ("<https://x/l>;purpose=icon;verified", []),
        ("<https://x/l>;integrity=1;purpose=icon", []),
        ("<https://x/1>;purpose=info, <https://x/2>;purpose=JCARD,\r\n <https://x/3>", ["<https://x/1>;purpose=info, <https://x/3>"]),
        ("<https://x/1> ; purpose = info", ["<https://x/1> ; purpose = info"]),
        ("<https://x/1>;answer-after=0, ;;;", ["<https://x/1>;answer-after=0"]),
    ],
)  # fmt: skip
def test_h2_rich_call_data_of_an_untrusted_peer_goes_value_by_value(value: str, left: list[str]) -> None:
    (forwarded,) = Play().receive(request(headers=[f"Call-Info: {value}"]))
    assert values(forwarded.data, "Call-Info") == left


def test_h2_feature_caps_reason_in_a_dialog_and_608_cards_pass() -> None:
    play = Play()
    (invite,) = play.receive(request(headers=["Feature-Caps: *;+sip.608"]))
    assert invite.one("Feature-Caps") == "*;+sip.608"
    (ok,) = play.receive(response(invite, 200, headers=["Contact: <sip:gw@198.51.100.20>"]), SOFTSWITCH)
    routes = [f"Route: {route}" for route in ok.all("Record-Route")]
    bye = request(
        "BYE", cseq=2, branch="z9hG4bK-bye", to_tag="to1", uri="sip:gw@198.51.100.20",
        headers=[*routes, "Reason: SIP;cause=607", "P-Asserted-Identity: <tel:+862088880001>"],
    )  # fmt: skip
    (forwarded,) = play.receive(bye)
    assert (forwarded.all("Reason"), forwarded.all("P-Asserted-Identity")) == (["SIP;cause=607"], [])
    card = "Call-Info: <https://c.example/1>;purpose=jwscard"
    play = Play()
    (invite,) = play.receive(request())
    sent = play.receive(response(invite, 608, "Rejected", headers=[card]), SOFTSWITCH)
    (passed,) = [message for message in sent if message.status == 608]
    assert passed.one("Call-Info") == "<https://c.example/1>;purpose=jwscard"


def test_h2_nothing_else_changes_by_a_byte() -> None:
    plain = request(headers=["Subject :  a,\r\n  b", "P-Early-Media: supported", "Privacy: none"])
    marked = plain.replace(b"Subject", b"P-Asserted-Identity: <tel:+1>\r\nx-callsieve-class : 1\r\nSubject")
    assert Play().receive(plain)[0].data == Play().receive(marked)[0].data


@pytest.mark.parametrize("gateway_trusted", [True, False])
def test_h2_responses_cross_the_same_border(gateway_trusted: bool) -> None:
    lines = ["P-Asserted-Identity: <tel:+862088880001>", "X-Callsieve-Verdict: accept", "Remote-Party-ID: <tel:+1>",
             "P-Charging-Vector: icid-value=1", "P-Preferred-Identity: <tel:+1>", "Reason: Q.850;cause=16"]  # fmt: skip
    play = Play(CONFIGURATION if gateway_trusted else UNTRUSTED_GATEWAY)
    (invite,) = play.receive(request())
    (ringing,) = play.receive(response(invite, 180, headers=lines), SOFTSWITCH)
    # The carrier is not trusted: it hears who answers from a trusted gateway, as long as nobody asks for privacy.
    assert ringing.all("P-Asserted-Identity") == (["<tel:+862088880001>"] if gateway_trusted else [])
    assert ringing.all("Reason") == ["Q.850;cause=16"]
    left = {name for name, _ in headers(ringing.data)}
    assert left.isdisjoint({"x-callsieve-verdict", "remote-party-id", "p-charging-vector", "p-preferred-identity"})
    (private,) = play.receive(response(invite, 183, headers=[*lines, "Privacy: id"]), SOFTSWITCH)
    assert (private.all("P-Asserted-Identity"), private.all("Privacy")) == ([], ["id"])


@pytest.mark.parametrize("name", ["P-Asserted-Identity", "X-Callsieve-Verdict", "Remote-Party-ID", "Identity"])
def test_p8_no_byte_between_name_and_colon_hides_a_header(name: str) -> None:
    play, hidden = Play(), 0
    for byte in range(256):
        line = name.encode() + bytes([byte]) + b": <sip:+862088880001@bank.example>\r\n"
        invite = request(caller=f"+8613800{byte:06}", branch=f"z9hG4bK-{byte}", call_id=f"{byte}@carrier")
        data = invite.replace(b"Call-ID:", line + b"Call-ID:", 1)
        for sent in play.receive(data):
            if sent.method:
                assert values(sent.data, name) == [], byte
                assert byte in b" \t:" or name == "X-Callsieve-Verdict" or bytes([byte]) in sent.data
                hidden += 1
            else:
                assert sent.status == 400
    assert hidden, "blanks before the colon are legal (RFC 3261 section 25.1)"
