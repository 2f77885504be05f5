"""H5: methods that a call gateway has no use for are closed to new requests; those that nobody knows are relayed."""

from __future__ import annotations

import pytest

from tests.proxy.messages import request
from tests.proxy.playbook import CARRIER, CONFIGURATION, SOFTSWITCH, Play

TRUSTED = CONFIGURATION.replace('dial_plan = "cn"', 'dial_plan = "cn"\ntrusted = true')
CLOSED = ("MESSAGE", "SUBSCRIBE", "PUBLISH", "REFER", "INFO", "NOTIFY", "REGISTER")
COMMANDS = ["X-Callsieve-Command: reload", "X-Callsieve-List: allow +862066660000", "Content-Type: text/plain"]


@pytest.mark.parametrize("method", CLOSED)
def test_h5_closed_methods_of_untrusted_peers_are_refused(method: str) -> None:
    play = Play()
    (reply,) = play.receive(request(method))
    assert (reply.status, reply.to) == (403, CARRIER)
    assert play.wait(40) == [], "and nothing of it is kept"
    assert play.counters["method_refused"] == 1


@pytest.mark.parametrize("method", ["FLY", "invite", "X-CALLSIEVE", "UPDATE", "PRACK"])
@pytest.mark.parametrize("text", [CONFIGURATION, TRUSTED], ids=["untrusted", "trusted"])
def test_h5_methods_that_nobody_closes_are_relayed_as_they_are(method: str, text: str) -> None:
    (sent,) = Play(text).receive(request(method))
    assert (sent.method, sent.to) == (method, SOFTSWITCH)


@pytest.mark.parametrize("method", [*CLOSED, "INVITE", "OPTIONS", "FLY"])
def test_h5_no_command_can_be_given_from_the_wire(method: str) -> None:
    play = Play()
    generation = play.core.generation
    for uri in ("sip:callsieve@203.0.113.5:5060", "sip:reload@203.0.113.5:5060", "sip:203.0.113.5:5060"):
        for number, caller in enumerate(("+862066660000", "+8613800138000")):
            play.now_us += 10_000_000
            play.receive(
                request(
                    method, uri=uri, caller=caller, headers=COMMANDS, body=b"reload\r\n", call_id=f"{uri}{number}",
                    branch=f"z9hG4bK-{abs(hash((uri, number)))}",
                )
            )  # fmt: skip
    assert play.core.generation == generation
    play.now_us += 10_000_000
    (reply,) = play.receive(request(caller="+862066660000", branch="z9hG4bK-last", call_id="last"))
    assert reply.status == 403, "the list is as it was"
