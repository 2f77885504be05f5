"""Diverted calls: the originator is scored, the last diverter is remembered (RFC 5806, RFC 7044, RFC 7544)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from engine._numbers import number_text
from proxy.events import DIVERSION_NAMES, EventRecord
from tests.proxy.messages import request
from tests.proxy.playbook import CONFIGURATION, Play

TRUSTED = CONFIGURATION.replace('dial_plan = "cn"', 'dial_plan = "cn"\ntrusted = true')
HI = "History-Info"
CALLER, FIRST, LAST, TARGET = "+8613800138000", "+862088880001", "+862088880002", "+862088880003"


def screened(headers: Sequence[str], caller: str = CALLER, text: str = TRUSTED) -> EventRecord:
    play = Play(text)
    play.receive(request(caller=caller, headers=headers))
    (event,) = play.events()
    return event


@pytest.mark.parametrize(
    ("headers", "diverter", "reason"),
    [
        ([f"Diversion: <sip:{LAST}@x>;reason=unconditional"], LAST, "unconditional"),
        ([f"Diversion: <tel:{LAST}>;counter=1;reason=USER-BUSY", f"Diversion: <tel:{FIRST}>"], LAST, "user-busy"),
        ([f'Diversion: "A, B" <tel:{LAST}> ; reason = no-answer, <tel:{FIRST}>;reason=away'], LAST, "no-answer"),
        ([f"Diversion: <tel:{LAST}>"], LAST, "unknown"),
        ([f"Diversion: <tel:{LAST}>;reason=follow-me"], LAST, "other"),
        (["Diversion: <sip:operator@x>;reason=deflection"], "invalid", "deflection"),
        (["Diversion: ;;;"], "", ""),
        # RFC 7544 section 7.2: each cause stands with the target that the diversion led to.
        (
            [
                f"{HI}: <sip:{FIRST}@x?Privacy=none>;index=1, <sip:{LAST}@x;cause=302?Privacy=none>;index=1.1;mp=1"
                f",\r\n <sip:{TARGET}@x;cause=486>;index=1.1.1;mp=1.1"
            ],
            LAST,
            "user-busy",
        ),
        ([f"{HI}: <sip:{FIRST}@x>;index=1", f"{HI}: <tel:{TARGET};cause=408>;index=1.1"], FIRST, "no-answer"),
        ([f"{HI}: <sip:{FIRST}@x>;index=1, <sip:{TARGET}@x>;index=1.1;mp=1"], FIRST, "unknown"),
        (
            [
                f"{HI}: <sip:{FIRST}@x>;index=1, <sip:{LAST}@x>;index=1.1;np=1",
                f"{HI}: <sip:{TARGET}@x;cause=503>;index=1.2;mp=1",
            ],
            FIRST,
            "unavailable",
        ),
        ([f"{HI}: <sip:{FIRST}@x>;index=1, <sip:{FIRST}@y>;index=1.1;rc=1"], "", ""),
        (
            [f"Diversion: <tel:{FIRST}>", f"{HI}: <tel:{LAST}>;index=1, <tel:{TARGET};cause=480>;index=1.1"],
            LAST,
            "deflection",
        ),
        ([f"Diversion: <tel:{FIRST}>;reason=away", f"{HI}: <tel:{LAST}>;index=1"], FIRST, "other"),
        ([f"{HI}: <tel:{LAST}>;index=1, <tel:{TARGET};cause=999>;index=1.1;mp=7"], LAST, "other"),
    ],
)  # fmt: skip
def test_the_last_diverter_is_named_and_the_originator_is_the_caller(
    headers: list[str], diverter: str, reason: str
) -> None:
    event = screened(headers)
    assert number_text(event.caller) == CALLER
    assert (number_text(event.diverter), DIVERSION_NAMES[event.diversion]) == (diverter, reason)


DIVERTED = f"Diversion: <sip:{LAST}@x>;reason=unconditional"


@pytest.mark.parametrize(
    ("caller", "asserted", "expected"),
    [
        (CALLER, None, CALLER),
        (CALLER, FIRST, FIRST),
        (CALLER, LAST, CALLER),
        (CALLER, "02088880002", CALLER),
        (LAST, None, "anonymous"),
        (LAST, LAST, "anonymous"),
        (LAST, FIRST, FIRST),
    ],
)
def test_the_diverting_party_is_never_the_caller(caller: str, asserted: str | None, expected: str) -> None:
    rows = [f"P-Asserted-Identity: <sip:{asserted}@x>"] if asserted else []
    assert number_text(screened([DIVERTED, *rows], caller).caller) == expected


def test_an_untrusted_peer_needs_the_right_to_divert() -> None:
    assert screened([DIVERTED], text=CONFIGURATION).diversion == 0
    assert number_text(screened([DIVERTED], LAST, CONFIGURATION).caller) == LAST
    allowed = CONFIGURATION.replace('dial_plan = "cn"', 'dial_plan = "cn"\naccepts = ["diversion"]')
    assert number_text(screened([DIVERTED], text=allowed).diverter) == LAST
