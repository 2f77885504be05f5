"""Calls of every kind through the proxy, placed and answered by SIPp."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.live.node import LISTED, PROTECTED_CALLEE, STRANGER, SUSPECTED, TRANSIT, Node
from tests.live.programs import Ports
from tests.live.sipp import CALLEE, CALLER, Sipp, SippFactory

VERDICT = "X-Callsieve-Verdict"


@pytest.fixture
def softswitch(node: Node, sipp: SippFactory) -> Sipp:
    """Answers what the proxy lets through."""
    return sipp.callee(port=node.gateway_port)


def test_a_clean_call_is_completed(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    caller = sipp.caller(node.port)
    assert caller.wait() == 0, caller.tail()

    (decision,) = node.decisions(1)
    assert (decision["caller"], decision["callee"], decision["action"]) == (CALLER, CALLEE, "accept")
    (invite,) = softswitch.received("INVITE")
    assert len(invite.all("Via")) == 2
    assert invite.get("Record-Route") is not None
    assert invite.get("Max-Forwards") == "69"
    assert invite.get(VERDICT) is None
    assert len(softswitch.received("BYE")) == 1, "the hang-up goes through the proxy too"


def test_a_suspected_caller_is_labelled(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    caller = sipp.caller(node.port, caller=SUSPECTED)
    assert caller.wait() == 0, caller.tail()

    (invite,) = softswitch.received("INVITE")
    (verdict,) = invite.all(VERDICT)
    assert verdict.startswith("tag;")
    assert "rule=suspected" in verdict
    assert 'label="Suspected spam: loans"' in verdict
    (decision,) = node.decisions(1)
    assert (decision["action"], decision["rule"]) == ("tag", "suspected")


def test_an_anonymous_caller_is_tagged(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    caller = sipp.caller(node.port, from_uri="sip:anonymous@anonymous.invalid", headers=("Privacy: id",))
    assert caller.wait() == 0, caller.tail()
    (invite,) = softswitch.received("INVITE")
    assert str(invite.get(VERDICT)).startswith("tag;")


def test_a_listed_caller_is_rejected(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    caller = sipp.caller(node.port, "rejected", caller=LISTED, status=403)
    assert caller.wait() == 0, caller.tail()

    (answer,) = caller.received(403)
    assert answer.get("Reason") is None or "v=analytics1" not in str(answer.get("Reason"))
    assert softswitch.received("INVITE") == []
    (decision,) = node.decisions(1)
    assert (decision["action"], decision["basis"], decision["rule"]) == ("reject", "policy", "deny")


def test_a_national_number_is_the_same_caller(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    caller = sipp.caller(node.port, "rejected", caller="02066660000", status=403)
    assert caller.wait() == 0, caller.tail()


def test_the_asserted_identity_of_a_trusted_trunk_counts(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    asserted = (f"P-Asserted-Identity: <sip:{LISTED}@carrier.example.net>",)
    rejected = sipp.caller(node.port, "rejected", headers=asserted, status=403)
    assert rejected.wait() == 0, rejected.tail()
    accepted = sipp.caller(node.port, headers=asserted, source=TRANSIT)
    assert accepted.wait() == 0, accepted.tail()


def test_a_burst_is_rejected_with_its_reason(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    clean = sipp.caller(node.port, calls=5, rate=50)
    assert clean.wait() == 0, clean.tail()
    caller = sipp.caller(node.port, "rejected", status=603)
    assert caller.wait() == 0, caller.tail()

    (answer,) = caller.received(603)
    assert answer.start_line == "SIP/2.0 603 Network Blocked"
    (reason,) = answer.all("Reason")
    decision = node.decisions(6)[-1]
    assert (decision["action"], decision["basis"], decision["rule"]) == ("reject", "analytics", "burst-caller")
    assert reason.startswith('SIP;cause=603;text="v=analytics1;url=https://redress.example.net/r')
    assert f";id={decision['redress_id']}" in reason


def test_a_protected_callee_is_always_reached(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    caller = sipp.caller(node.port, caller=LISTED, callee=PROTECTED_CALLEE, calls=8, rate=50)
    assert caller.wait() == 0, caller.tail()
    assert len(softswitch.received("INVITE")) == 8


def test_headers_of_ours_are_not_taken_from_a_peer(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    forged = ("X-Callsieve-Verdict: accept;score=0;forged=1", "x-callsieve-verdict : accept;forged=2")
    caller = sipp.caller(node.port, caller=SUSPECTED, headers=forged, source=TRANSIT)
    assert caller.wait() == 0, caller.tail()
    (invite,) = softswitch.received("INVITE")
    (verdict,) = invite.all(VERDICT)
    assert verdict.startswith("tag;")
    assert "forged" not in verdict


def test_a_stranger_gets_no_answer(node: Node, sipp: SippFactory) -> None:
    caller = sipp.caller(node.port, "abandoned", source=STRANGER, talk_ms=1000)
    caller.wait()
    assert [m for m in caller.messages if m.received] == []
    assert node.decisions(0) == []


def test_a_call_cancelled_while_ringing(node: Node, sipp: SippFactory) -> None:
    softswitch = sipp.callee("uas_cancelled", port=node.gateway_port)
    caller = sipp.caller(node.port, "cancelled", talk_ms=300)
    assert caller.wait() == 0, caller.tail()
    assert len(softswitch.received("CANCEL")) == 1
    assert len(node.decisions(1)) == 1


def test_retransmissions_are_absorbed(node: Node, sipp: SippFactory) -> None:
    softswitch = sipp.callee("uas_slow", port=node.gateway_port, ring_ms=400)
    caller = sipp.caller(node.port, "uac_retransmits")
    assert caller.wait() == 0, caller.tail()
    assert len([m for m in caller.messages if not m.received and m.method == "INVITE"]) > 1
    assert len(softswitch.received("INVITE")) == 1
    assert len(caller.received(100)) >= 1
    assert len(node.decisions(1)) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_lossy_path_loses_no_call(
    start_node: Callable[..., Node], sipp: SippFactory, ports: Ports, workers: int
) -> None:
    calls = 30
    node = start_node(ports.udp(), workers=workers)
    softswitch = sipp.callee(port=node.gateway_port)
    caller = sipp.caller(node.port, callee=PROTECTED_CALLEE, calls=calls, rate=20, lost_percent=10)
    assert caller.wait(60) == 0, caller.tail()
    assert len({m.get("Call-ID") for m in softswitch.received("INVITE")}) == calls
    assert len({d["call_id"] for d in node.decisions(calls)}) == calls


def test_a_rejection_survives_a_lossy_path(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    calls = 20
    caller = sipp.caller(node.port, "rejected", caller=LISTED, status=403, calls=calls, rate=20, lost_percent=20)
    assert caller.wait(60) == 0, caller.tail()
    assert len(node.decisions(calls)) == calls


def test_two_workers_share_limits_and_calls(start_node: Callable[..., Node], sipp: SippFactory, ports: Ports) -> None:
    node = start_node(ports.udp(), workers=2)
    sipp.callee(port=node.gateway_port)
    for _ in range(5):  # each from a port of its own, so that either worker has some
        caller = sipp.caller(node.port)
        assert caller.wait() == 0, caller.tail()
    sixth = sipp.caller(node.port, "rejected", status=603)
    assert sixth.wait() == 0, sixth.tail()


def test_metrics_count_the_calls(node: Node, softswitch: Sipp, sipp: SippFactory) -> None:
    for caller in (
        sipp.caller(node.port, calls=3),
        sipp.caller(node.port, caller=SUSPECTED),
        sipp.caller(node.port, "rejected", caller=LISTED, status=403, calls=2),
    ):
        assert caller.wait() == 0, caller.tail()
    node.decisions(6)
    for action, count in (("accept", 3), ("tag", 1), ("reject", 2)):
        assert node.metric("callsieve_calls_total", action=action) == count
