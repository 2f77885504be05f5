"""Debian's Kamailio with callsieve as a plug-in (conf/kamailio), control beside it, calls by SIPp."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.live.beside import BESIDE, CALLS_A_MINUTE, Beside, start_beside
from tests.live.kamailio import KamailioFactory
from tests.live.node import LISTED, SUSPECTED, TRANSIT, Node
from tests.live.programs import Ports, wait_until
from tests.live.sipp import CALLER, SippFactory

SPOOFED = "+862095588000"  # on a do-not-originate list
LOANS = "+8617012345678"  # of a prefix that is given points enough for a rejection
QUIET = "+862088880607"  # wants no calls


def asserted(number: str) -> tuple[str, ...]:
    return (f'P-Asserted-Identity: "Wang" <sip:{number}@carrier.example>',)


def test_a_call_goes_on_and_its_end_is_told(beside: Beside, sipp: SippFactory) -> None:
    sipp.callee(port=beside.callee_port, ring_ms=300)
    caller = sipp.caller(beside.server.port, talk_ms=500)
    assert caller.wait() == 0, caller.tail() + beside.server.tail()
    (decision,) = beside.node.decisions(1)
    assert (decision["action"], decision["trunk"], decision["caller"]) == ("accept", "carrier", CALLER)
    ended = beside.node.call_ended()
    assert (ended["call"], ended["status"], ended["released_by"]) == (decision["call"], 200, "caller")
    assert 0 < float(ended["setup_s"]) <= float(ended["ring_s"]) - 0.25
    assert float(ended["talk_s"]) >= 0.4
    assert beside.node.metric("callsieve_calls_total", action="accept") == 1
    assert beside.node.metric("callsieve_ended_calls_total", status="2xx") == 1
    status = json.loads(beside.node.get("/v1/status")[1])
    assert status["healthy"]
    assert status["workers"] == []
    assert {row["program"] for row in status["plugins"]} == {"kamailio"}
    assert beside.node.metric("callsieve_plugin_processes") == len(status["plugins"])


def test_the_callee_hangs_up_on_an_unwanted_call(beside: Beside, sipp: SippFactory) -> None:
    sipp.callee("uas_hangs_up", port=beside.callee_port, ring_ms=300)
    caller = sipp.caller(beside.server.port, "called_back")
    assert caller.wait() == 0, caller.tail() + beside.server.tail()
    assert beside.node.call_ended()["released_by"] == "callee"
    assert json.loads(beside.node.command("--json", "lookup", CALLER).stdout)["reputation"][0]["points"] == 60


def test_the_caller_gives_up_while_it_rings(beside: Beside, sipp: SippFactory) -> None:
    sipp.callee("uas_cancelled", port=beside.callee_port)
    caller = sipp.caller(beside.server.port, "cancelled")
    assert caller.wait() == 0, caller.tail() + beside.server.tail()
    ended = beside.node.call_ended()
    assert (ended["status"], ended["released_by"], float(ended["talk_s"])) == (487, "caller", 0)


def test_a_suspected_call_is_tagged_and_what_the_caller_forged_is_gone(beside: Beside, sipp: SippFactory) -> None:
    callee = sipp.callee(port=beside.callee_port)
    forged = (*asserted(SUSPECTED), "X-Callsieve-Verdict: accept;score=0")
    caller = sipp.caller(beside.server.port, caller=SUSPECTED, headers=forged)
    assert caller.wait() == 0, caller.tail() + beside.server.tail()
    (invite,) = callee.received("INVITE")
    (decision,) = beside.node.decisions(1)
    labelled = f'tag;score=0;basis=policy;rule=suspected;id={decision["redress_id"]};label="Suspected spam: loans"'
    assert invite.all("X-Callsieve-Verdict") == [labelled]
    assert invite.all("P-Asserted-Identity") == [f'"[SPAM?] Wang" <sip:{SUSPECTED}@carrier.example>']
    call_info = invite.get("Call-Info")
    assert call_info is not None
    assert call_info.endswith(';call-reason="Suspected spam: loans"')
    sent = re.search(r"^From: (.*?)\r?$", caller.log.with_name("uac-1.messages").read_text(), re.MULTILINE)
    assert sent is not None
    assert invite.get("From") == sent[1], "From is the caller's"


ANONYMOUS = {"from_uri": "sip:anonymous@anonymous.invalid"}


@pytest.mark.parametrize(
    ("basis", "rule", "status", "reason", "wanted"),
    [
        ("policy", "deny", 403, "Forbidden", {"caller": LISTED}),
        ("dno", "inbound-only", 403, "Forbidden", {"caller": SPOOFED}),
        ("invalid", "invalid-number", 403, "Forbidden", {"caller": "12"}),
        ("subscriber", "subscriber-quiet-hours", 607, "Unwanted", {"callee": QUIET}),
        ("policy", "anonymous", 433, "Anonymity Disallowed", ANONYMOUS),
        ("analytics", "score", 603, "Network Blocked", {"caller": LOANS}),
    ],
)
def test_a_call_is_rejected_by_its_basis(
    beside: Beside, sipp: SippFactory, basis: str, rule: str, status: int, reason: str, wanted: dict[str, Any]
) -> None:
    quiet = beside.node.command("subscriber", "set", QUIET, "--quiet", "00:00-00:00")
    assert quiet.returncode == 0, quiet.stdout + quiet.stderr
    caller = sipp.caller(beside.server.port, "rejected", status=status, **wanted)
    assert caller.wait() == 0, caller.tail() + beside.server.tail()
    (decision,) = beside.node.decisions(1)
    assert (decision["action"], decision["basis"], decision["rule"]) == ("reject", basis, rule)
    assert decision["status"] == status
    (answer,) = caller.received(status)
    assert answer.start_line == f"SIP/2.0 {status} {reason}"
    text = f'v=analytics1;url=https://redress.example.net/r;id={decision["redress_id"]}'
    expected = [f'SIP;cause=603;text="{text}";location=RLN'] if basis == "analytics" else []
    assert answer.all("Reason") == expected
    assert answer.all("Server") == ["callsieve"]


def test_a_trunk_that_wants_608_is_told_where_to_ask(
    start_node: Callable[..., Node], kamailio: KamailioFactory, ports: Ports, sipp: SippFactory
) -> None:
    strict = BESIDE.replace('url = "https', 'card_url = "https://redress.example.net/card"\nurl = "https')
    strict = strict.replace('sources = ["{transit}"]', 'sources = ["{transit}"]\nanalytics = "608"')
    beside = start_beside(start_node, kamailio, ports, base=strict)
    caller = sipp.caller(beside.server.port, "rejected", caller=LOANS, source=TRANSIT, status=608)
    assert caller.wait() == 0, caller.tail() + beside.server.tail()
    (answer,) = caller.received(608)
    assert answer.start_line == "SIP/2.0 608 Rejected"
    assert answer.all("Call-Info") == ["<https://redress.example.net/card>;purpose=jwscard"]
    assert answer.all("Reason") == []


def test_an_untrusted_trunk_is_told_by_its_address_and_asserts_nothing(beside: Beside, sipp: SippFactory) -> None:
    sipp.callee(port=beside.callee_port)
    caller = sipp.caller(beside.server.port, source=TRANSIT, headers=asserted(LISTED))
    assert caller.wait() == 0, caller.tail() + beside.server.tail()
    (decision,) = beside.node.decisions(1)
    assert (decision["trunk"], decision["caller"]) == ("transit", CALLER)


def test_a_limit_is_counted_exactly_by_all_processes(beside: Beside, sipp: SippFactory) -> None:
    sipp.callee(port=beside.callee_port)
    sources = ("127.0.0.1", TRANSIT)
    callers = [
        sipp.caller(beside.server.port, "uac_limited", source=source, calls=30, rate=200, status=603)
        for source in sources
    ]
    for caller in callers:
        assert caller.wait() == 0, caller.tail() + beside.server.tail()
    decisions = beside.node.decisions(60)
    assert Counter(decision["action"] for decision in decisions) == {"accept": CALLS_A_MINUTE, "reject": 45}
    assert {decision["rule"] for decision in decisions if decision["action"] == "reject"} == {"burst-caller"}
    processes = {int(decision["call"], 16) >> 48 for decision in decisions}
    assert len(processes) > 1, "one process of Kamailio took them all"


def test_control_sees_the_reputation_that_kamailio_learns(beside: Beside, sipp: SippFactory) -> None:
    sipp.callee("uas_refuses", port=beside.callee_port)
    caller = sipp.caller(beside.server.port, "rejected", status=603)
    assert caller.wait() == 0, caller.tail() + beside.server.tail()
    ended = beside.node.call_ended()
    assert (ended["status"], ended["released_by"]) == (603, "callee")
    known = beside.node.command("--json", "lookup", CALLER)
    assert known.returncode == 0, known.stdout + known.stderr
    points = {row["of"]: row["points"] for row in json.loads(known.stdout)["reputation"]}
    assert points == {CALLER: 60, f"{CALLER[:-2]}*": 6}


def test_a_reload_is_taken_up_by_every_process(beside: Beside, sipp: SippFactory) -> None:
    sipp.callee(port=beside.callee_port)
    before = sipp.caller(beside.server.port, calls=5)
    assert before.wait() == 0, before.tail()
    beside.node.deny_list.write_text(f"{LISTED}\n{CALLER}\n")
    reloaded = beside.node.command("reload")
    assert reloaded.returncode == 0, reloaded.stdout + reloaded.stderr
    assert "has not answered" not in reloaded.stdout
    asked = 0

    def taken_up() -> bool:
        """A process looks when a call comes, once a second at most; this call is rejected before and after."""
        nonlocal asked
        asked += 1
        one = sipp.caller(beside.server.port, "rejected", caller=LISTED, status=403)
        assert one.wait() == 0, one.tail() + beside.server.tail()
        plugins = json.loads(beside.node.get("/v1/status")[1])["plugins"]
        return all(row["generation"] == 2 for row in plugins)

    wait_until(taken_up, "every process that has had a call to take up the reload", 60)
    after = sipp.caller(beside.server.port, "rejected", status=403, calls=5)
    assert after.wait() == 0, after.tail() + beside.server.tail()
    decisions = beside.node.decisions(10 + asked)
    assert [decision["generation"] for decision in decisions if decision["caller"] == CALLER] == [1] * 5 + [2] * 5


def test_an_order_given_to_control_counts_with_the_next_call(beside: Beside, sipp: SippFactory) -> None:
    blocked = beside.node.command("block", CALLER)
    assert blocked.returncode == 0, blocked.stdout + blocked.stderr
    caller = sipp.caller(beside.server.port, "rejected", status=403, calls=4)
    assert caller.wait() == 0, caller.tail() + beside.server.tail()
    assert {decision["action"] for decision in beside.node.decisions(4)} == {"reject"}


def test_kamailio_goes_on_screening_while_control_is_away(beside: Beside, sipp: SippFactory) -> None:
    beside.node.send_signal(signal.SIGTERM)
    beside.node.wait()
    sipp.callee(port=beside.callee_port)
    good = sipp.caller(beside.server.port)
    bad = sipp.caller(beside.server.port, "rejected", caller=LISTED, status=403)
    for caller in (good, bad):
        assert caller.wait() == 0, caller.tail() + beside.server.tail()


def test_calls_go_on_where_no_node_has_run_yet(
    kamailio: KamailioFactory, sipp: SippFactory, ports: Ports, tmp_path: Path
) -> None:
    callee_port = ports.udp()
    server = kamailio.plugged(callee_port, tmp_path / "nowhere")
    sipp.callee(port=callee_port)
    caller = sipp.caller(server.port, caller=LISTED)
    assert caller.wait() == 0, caller.tail() + server.tail()
    wait_until(lambda: "calls go on unscreened" in server.output(), "Kamailio's log to say so")
