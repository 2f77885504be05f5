"""Calls that Kamailio sends elsewhere, or answers nothing, because callsieve as its plug-in says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests import policies
from tests.live.beside import Beside, start_beside
from tests.live.kamailio import KamailioFactory
from tests.live.node import Node
from tests.live.programs import LOOPBACK, Ports, wait_until
from tests.live.sipp import CALLEE, SippFactory

ROBOT, ABROAD, SURVEY, SCANNER = "+8616712345678", "+14155550100", "+8613912345678", "+8616512340000"
MORE = (
    """
[[gateway]]
name = "ivr"
targets = [
    {{{{ address = "{{host}}:{spare}", priority = 2 }}}},
    {{{{ address = "{{host}}:{first}", priority = 1 }}}},
]
"""
    + policies.divert("captcha", route="ivr", uri="sip:captcha@ivr.example.net")
    + policies.divert("announcement", route="ivr")
    + policies.divert("survey", uri="sip:survey@{{host}}:{first}")
    + policies.table("prefix_rule", name="robots", prefixes=["+86167"], outcome="divert", divert="captcha")
    + policies.number_list("overseas", "divert", "+1*", divert="announcement")
    + policies.number_list("surveys", "divert", SURVEY, divert="survey")
    + policies.number_list("scanners", "drop", SCANNER)
)


@dataclass(frozen=True, slots=True)
class Diverting:
    """first, spare: ports of the IVR's two targets, tried in this order."""

    beside: Beside
    first: int
    spare: int


@pytest.fixture
def diverting(start_node: Callable[..., Node], kamailio: KamailioFactory, ports: Ports) -> Diverting:
    first, spare = ports.udp(), ports.udp()
    more = MORE.format(first=first, spare=spare)
    return Diverting(start_beside(start_node, kamailio, ports, more=more), first, spare)


def test_a_diverted_call_gets_the_uri_of_its_destination(diverting: Diverting, sipp: SippFactory) -> None:
    server, node = diverting.beside.server, diverting.beside.node
    ivr = sipp.callee(port=diverting.first)
    elsewhere = f"Route: <sip:{LOOPBACK}:{diverting.beside.callee_port};lr>"
    caller = sipp.caller(server.port, caller=ROBOT, headers=(elsewhere, "X-Callsieve-Verdict: accept"))
    assert caller.wait() == 0, caller.tail() + server.tail()
    (invite,) = ivr.received("INVITE")
    assert invite.start_line == "INVITE sip:captcha@ivr.example.net SIP/2.0"
    assert invite.get("To") == f"<sip:{CALLEE}@{LOOPBACK}:{server.port}>"
    assert invite.get("Route") is None
    (decision,) = node.decisions(1)
    assert (decision["action"], decision["rule"], decision["status"]) == ("divert", "robots", None)
    labelled = f'divert;score=0;basis=policy;rule=robots;id={decision["redress_id"]}'
    assert invite.all("X-Callsieve-Verdict") == [labelled]
    ended = node.call_ended()
    assert (ended["call"], ended["status"], ended["released_by"]) == (decision["call"], 200, "caller")


def test_without_a_uri_the_number_that_was_called_stays(diverting: Diverting, sipp: SippFactory) -> None:
    server = diverting.beside.server
    ivr = sipp.callee(port=diverting.first)
    caller = sipp.caller(server.port, caller=ABROAD)
    assert caller.wait() == 0, caller.tail() + server.tail()
    (invite,) = ivr.received("INVITE")
    assert invite.start_line == f"INVITE sip:{CALLEE}@{LOOPBACK}:{diverting.first} SIP/2.0"


def test_without_a_route_the_uri_leads_the_way(diverting: Diverting, sipp: SippFactory) -> None:
    server = diverting.beside.server
    ivr = sipp.callee(port=diverting.first)
    caller = sipp.caller(server.port, caller=SURVEY)
    assert caller.wait() == 0, caller.tail() + server.tail()
    (invite,) = ivr.received("INVITE")
    assert invite.start_line == f"INVITE sip:survey@{LOOPBACK}:{diverting.first} SIP/2.0"


@pytest.mark.parametrize(
    ("caller_number", "uri"), [(ROBOT, "sip:captcha@ivr.example.net"), (ABROAD, f"sip:{CALLEE}@{LOOPBACK}:{{spare}}")]
)
def test_a_divert_fails_over_to_its_next_target(
    diverting: Diverting, sipp: SippFactory, caller_number: str, uri: str
) -> None:
    server = diverting.beside.server
    sipp.callee("uas_refuses", port=diverting.first, refusal="503 Service Unavailable")
    ivr = sipp.callee(port=diverting.spare)
    caller = sipp.caller(server.port, caller=caller_number)
    assert caller.wait() == 0, caller.tail() + server.tail()
    (invite,) = ivr.received("INVITE")
    assert invite.start_line == f"INVITE {uri.format(spare=diverting.spare)} SIP/2.0"
    assert diverting.beside.node.call_ended()["status"] == 200


def test_what_the_ivr_refuses_is_told_to_the_caller_and_no_vote_of_the_callee(
    diverting: Diverting, sipp: SippFactory
) -> None:
    server, node = diverting.beside.server, diverting.beside.node
    sipp.callee("uas_refuses", port=diverting.first, refusal="603 Decline")
    caller = sipp.caller(server.port, "rejected", caller=ROBOT, status=603)
    assert caller.wait() == 0, caller.tail() + server.tail()
    assert node.call_ended()["status"] == 603
    known = node.command("--json", "lookup", ROBOT)
    assert '"reputation": []' in known.stdout, known.stdout + known.stderr


def test_a_dropped_call_hears_nothing_and_neither_do_its_repeats(diverting: Diverting, sipp: SippFactory) -> None:
    server, node = diverting.beside.server, diverting.beside.node
    callee = sipp.callee(port=diverting.beside.callee_port)
    caller = sipp.caller(server.port, "abandoned", caller=SCANNER, talk_ms=5000)
    wait_until(lambda: len([m for m in caller.messages if not m.received]) >= 3, "repeats of the INVITE")
    (decision,) = node.decisions(1)
    assert (decision["action"], decision["rule"], decision["status"]) == ("drop", "scanners", None)
    assert [message.start_line for message in caller.messages if message.received] == []
    assert callee.received("INVITE") == []
