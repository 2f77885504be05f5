"""Who is calling: From or P-Asserted-Identity, by whom it was sent and what Privacy asks."""

from __future__ import annotations

from itertools import product

import pytest

from engine._numbers import number_text
from proxy.config import Trunk
from proxy.events import ACTION_NAMES, BASIS_NAMES
from tests.proxy.messages import request
from tests.proxy.playbook import CONFIGURATION, Datagram, Play

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


# H3: which identity counts, and which crosses the border.

PPI = f"P-Preferred-Identity: <sip:{OTHER}@x>"
RPID = f"Remote-Party-ID: <sip:{OTHER}@x>;party=calling"
SIGNED = "Identity: eyJ..c2ln;info=<https://cert.example/c>;alg=ES256"
PRIVACIES = ((), ("Privacy: none",), ("Privacy: id",), ("Privacy: user;id",), ("Privacy: header",))
IDENTITIES = [(sender, *rows) for sender in (CALLER, "anonymous") for rows in product((0, 1), repeat=3)]


def gateway(trusted: bool, text: str) -> str:
    return text if trusted else text.replace("targets = ", "trusted = false\ntargets = ")


@pytest.mark.parametrize("privacy", PRIVACIES, ids=lambda rows: rows[0] if rows else "no Privacy")
@pytest.mark.parametrize("to_trusted", [True, False], ids=["to trusted", "to untrusted"])
@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "untrusted"])
@pytest.mark.parametrize(("sender", "pai", "ppi", "rpid"), IDENTITIES)
def test_h3_the_documented_identity_is_chosen_and_crosses(
    sender: str, pai: int, ppi: int, rpid: int, trusted: bool, to_trusted: bool, privacy: tuple[str, ...]
) -> None:
    play = Play(gateway(to_trusted, TRUSTED if trusted else CONFIGURATION))
    rows = [row for row, present in ((PAI, pai), (PPI, ppi), (RPID, rpid)) if present]
    data = invite(*rows, SIGNED, *privacy, sender=NOBODY if sender == "anonymous" else None)
    chosen, (forwarded,) = seen(play, data)
    asks_id = any("id" in row.split(": ")[1].split(";") for row in privacy)

    assert chosen == (ASSERTED if trusted and pai else sender)
    assert bool(forwarded.all("P-Asserted-Identity")) == bool(trusted and pai and (to_trusted or not asks_id))
    assert forwarded.all("P-Preferred-Identity") == []
    assert bool(forwarded.all("Remote-Party-ID")) == bool(trusted and rpid and to_trusted)
    assert forwarded.all("Privacy") == [row.split(": ")[1] for row in privacy], "Privacy itself is never touched"
    assert bool(forwarded.all("Identity")) == trusted, "Identity is never removed for privacy (RFC 8224 section 11)"


def test_h3_trust_is_nobodys_by_default() -> None:
    assert not Trunk(name="x", sources=("192.0.2.1",), dial_plan="cn", policy="p", route="g").trusted


@pytest.mark.parametrize("to_trusted", [True, False])
@pytest.mark.parametrize(
    ("rows", "left"),
    [
        (["<tel:+8613800138001>, <sip:+8613800138002@x>"], ["<tel:+8613800138001>, <sip:+8613800138002@x>"]),
        (
            ["<tel:+8613800138001>,\r\n  <tel:+8613800138002>, <sip:+8613800138003@x>"],
            ["<tel:+8613800138001>, <sip:+8613800138003@x>"],
        ),
        (
            ["<sip:+8613800138001@x>", '"B, C" <sips:+8613800138002@x>', "<tel:+8613800138003>"],
            ["<sip:+8613800138001@x>", "<tel:+8613800138003>"],
        ),
        (["<sip:+8613800138001@x>, nonsense nonsense"], ["<sip:+8613800138001@x>"]),
        ([";;;"], []),
        (["<isbn:1>"], []),
    ],
)
def test_h3_at_most_one_sip_and_one_tel_value_is_asserted(rows: list[str], left: list[str], to_trusted: bool) -> None:
    _, (forwarded,) = seen(Play(gateway(to_trusted, TRUSTED)), invite(*(f"P-Asserted-Identity: {row}" for row in rows)))
    assert forwarded.all("P-Asserted-Identity") == left


@pytest.mark.parametrize("to_trusted", [True, False])
def test_h3_history_that_wants_privacy_stays_inside(to_trusted: bool) -> None:
    history = "History-Info: <sip:+862088880003@x>;index=1"
    _, (forwarded,) = seen(Play(gateway(to_trusted, TRUSTED)), invite(history, "Privacy: history"))
    assert bool(forwarded.all("History-Info")) == to_trusted


@pytest.mark.parametrize(
    ("sender", "privacy", "withheld"),
    [
        (None, (), False),
        (None, ("Privacy: none",), False),
        (None, ("Privacy: header;session",), False),
        (None, ("Privacy: critical;id",), True),
        (None, ("Privacy: user",), True),
        (f'From: "Anonymous" <sip:{CALLER}@x>;tag=from1', (), True),
        (f"From: anonymous <sip:{CALLER}@x>;tag=from1", (), True),
        (NOBODY, (), True),
    ],
)
def test_identity_is_withheld_by_name_uri_or_privacy(
    sender: str | None, privacy: tuple[str, ...], withheld: bool
) -> None:
    play = Play(TRUSTED)
    play.receive(invite(PAI, *privacy, sender=sender))
    (event,) = play.events()
    assert (event.action == ACTION_NAMES.index("tag")) == withheld


def test_a_number_that_is_none_is_a_verdict_with_its_own_basis() -> None:
    play = Play()
    (reply,) = play.receive(request(caller="not-a-number"))
    assert (reply.status, play.counters["internal_errors"], play.counters["bad_messages"]) == (403, 0, 0)
    (event,) = play.events()
    assert BASIS_NAMES[event.basis] == "invalid"
