"""Who is calling: From or P-Asserted-Identity, by whom it was sent and what Privacy asks."""

from __future__ import annotations

import pytest

from engine._numbers import number_text
from proxy.events import BASIS_NAMES
from tests.proxy.playbook import CONFIGURATION, Datagram, Play, request

TRUSTED = CONFIGURATION.replace('dial_plan = "cn"', 'dial_plan = "cn"\ntrusted = true')
CALLER, ASSERTED, OTHER = "+8613800138000", "+862088880001", "+862088880002"
PAI = f"P-Asserted-Identity: <sip:{ASSERTED}@carrier.example.net>"
NOBODY = 'From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=from1'


def seen(play: Play, data: bytes) -> tuple[str, list[Datagram]]:
    """The caller that the engine was asked about, and what was sent."""
    sent = play.receive(data)
    (event,) = play.events()
    return number_text(event.caller), sent


def invite(*headers: str, sender: str | None = None) -> bytes:
    data = request(headers=headers)
    line = f"From: <sip:{CALLER}@192.0.2.10>;tag=from1"
    assert line.encode() in data
    return data.replace(line.encode(), (sender or line).encode())


@pytest.mark.parametrize("privacy", [(), ("Privacy: none",), ("Privacy: id",), ("Privacy: header", "Privacy: none")])
@pytest.mark.parametrize(
    ("trusted", "sender", "headers", "caller"),
    [
        (False, None, (), CALLER),
        (False, None, (PAI,), CALLER),
        (False, NOBODY, (PAI,), "anonymous"),
        (True, None, (), CALLER),
        (True, None, (PAI,), ASSERTED),
        (True, NOBODY, (), "anonymous"),
        (True, NOBODY, (PAI,), ASSERTED),
    ],
)
def test_caller(
    trusted: bool, sender: str | None, headers: tuple[str, ...], caller: str, privacy: tuple[str, ...]
) -> None:
    play = Play(TRUSTED if trusted else CONFIGURATION)
    assert seen(play, invite(*headers, *privacy, sender=sender))[0] == caller


@pytest.mark.parametrize(
    ("assertion", "caller"),
    [
        (f"P-Asserted-Identity: <tel:{ASSERTED}>", ASSERTED),
        (f"P-Asserted-Identity: tel:{ASSERTED}", ASSERTED),
        (f'p-asserted-identity : "A, B" <sip:{ASSERTED}@x>', ASSERTED),
        (f"P-Asserted-Identity: <sip:anonymous@x>, <tel:{ASSERTED}>", ASSERTED),
        (f"P-Asserted-Identity: <sip:x>\r\nP-Asserted-Identity: <tel:{ASSERTED}>", ASSERTED),
        (f"P-Asserted-Identity: <tel:{ASSERTED}>, <tel:{OTHER}>", ASSERTED),
        ("P-Asserted-Identity: <isbn:2983792873>", CALLER),
        ("P-Asserted-Identity: ;;nonsense", CALLER),
        ("P-Asserted-Identity:", CALLER),
        (f"P-Preferred-Identity: <sip:{ASSERTED}@x>", CALLER),
        (f"Remote-Party-ID: <sip:{ASSERTED}@x>", CALLER),
    ],
)
def test_assertion_of_a_trusted_trunk(assertion: str, caller: str) -> None:
    assert seen(Play(TRUSTED), invite(assertion))[0] == caller


@pytest.mark.parametrize(
    ("uri", "caller"),
    [
        (f"sip:{CALLER};npdi;rn=+862000000000@x", CALLER),
        (f"sip:{CALLER}:secret@x", CALLER),
        (f"tel:{CALLER};phone-context=+86", CALLER),
        ("sip:%2b8613800138000@x", CALLER),
        ("sip:anonymous@example.net", "anonymous"),
        ("sip:Anonymous@Anonymous.Invalid", "anonymous"),
        ("isbn:2983792873", ""),
        ("sip:x.example.net", ""),
        ("nonsense", "invalid"),
        ("sip:+862066660000;@@x", "invalid"),
        ("sip:I%20have%20spaces@x", "invalid"),
        ("sip:+86138%00@x", "invalid"),
        ("sip:" + "9" * 400 + "@x", "invalid"),
    ],
)
def test_caller_of_a_uri(uri: str, caller: str) -> None:
    assert seen(Play(), invite(sender=f"From: <{uri}>;tag=from1"))[0] == caller


def test_a_number_that_is_none_is_a_verdict_with_its_own_basis() -> None:
    play = Play()
    (reply,) = play.receive(request(caller="not-a-number"))
    assert (reply.status, play.counters["internal_errors"], play.counters["bad_messages"]) == (403, 0, 0)
    (event,) = play.events()
    assert BASIS_NAMES[event.basis] == "invalid"


@pytest.mark.parametrize(
    "header", [PAI, f"Remote-Party-ID: <sip:{ASSERTED}@x>", f"P-Preferred-Identity: <sip:{ASSERTED}@x>"]
)
@pytest.mark.parametrize("trusted", [True, False])
def test_identity_headers_pass_only_from_a_trusted_trunk(header: str, trusted: bool) -> None:
    (forwarded,) = Play(TRUSTED if trusted else CONFIGURATION).receive(invite(header))
    assert forwarded.all(header.split(":")[0]) == ([header.split(": ", 1)[1]] if trusted else [])
