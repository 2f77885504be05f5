"""Trunk groups in Contact (RFC 4904): a hint from trusted peers, within our context."""

from __future__ import annotations

import pytest

from tests.proxy.messages import request
from tests.proxy.playbook import CONFIGURATION, Play

NORTH, EXCHANGE = 1, 0
TEXT = CONFIGURATION.replace('dial_plan = "cn"', 'dial_plan = "cn"\ntrusted = true').replace(
    "[[gateway]]",
    """[[trunk]]
name = "north"
group = "north-17"
context = "Example.net"
dial_plan = "generic"
policy = "default"
route = "spare"

[[gateway]]
name = "spare"
targets = [{ address = "198.51.100.99" }]

[[gateway]]""",
    1,
)


def contact(user: str) -> list[str]:
    return [f"Contact: <sip:{user}@192.0.2.10>"]


@pytest.mark.parametrize(
    ("user", "trunk"),
    [
        ("+8620;tgrp=north-17;trunk-context=example.net", NORTH),
        ("+8620;Trunk-Context=EXAMPLE.NET;TGRP=north-17", NORTH),
        ("+8620;tgrp=NORTH-17;trunk-context=example.net", EXCHANGE),
        ("+8620;tgrp=north-17", EXCHANGE),
        ("+8620;trunk-context=example.net", EXCHANGE),
        ("+8620;tgrp=north-17;trunk-context=other.example.net", EXCHANGE),
        ("+8620;tgrp=;trunk-context=", EXCHANGE),
        ("+8620", EXCHANGE),
    ],
)
def test_the_group_of_a_trusted_peer_names_the_trunk(user: str, trunk: int) -> None:
    play = Play(TEXT)
    (invite,) = play.receive(request(headers=contact(user)))
    (event,) = play.events()
    assert event.trunk == trunk
    assert invite.to[0] == ("198.51.100.99" if trunk == NORTH else "198.51.100.20")
    assert invite.one("Contact") == contact(user)[0].split(": ")[1], "a proxy leaves it alone (section 6.3)"


@pytest.mark.parametrize(
    "line",
    [
        "Contact: *",
        "Contact: ;;",
        "Contact: <tel:+8620;tgrp=north-17;trunk-context=example.net>",
        "m: <sip:192.0.2.10;tgrp=north-17;trunk-context=example.net>",
    ],
)
def test_a_contact_without_a_group_means_nothing(line: str) -> None:
    play = Play(TEXT)
    play.receive(request(headers=[line]))
    assert next(iter(play.events())).trunk == EXCHANGE


def test_a_peer_that_is_not_trusted_names_no_group() -> None:
    play = Play(TEXT.replace("trusted = true\n", ""))
    play.receive(request(headers=contact("+8620;tgrp=north-17;trunk-context=example.net")))
    assert next(iter(play.events())).trunk == EXCHANGE


def test_a_group_in_the_request_uri_is_the_egress_group_and_no_hint() -> None:
    play = Play(TEXT)
    uri = "sip:+862088886666;tgrp=north-17;trunk-context=example.net@203.0.113.5"
    (invite,) = play.receive(request(uri=uri))
    assert next(iter(play.events())).trunk == EXCHANGE
    assert ";tgrp=north-17;trunk-context=example.net@" in invite.uri
