"""A gateway killed in the middle of load: no call is lost that had not been answered by then."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.live.node import PROTECTED_CALLEE, Node
from tests.live.programs import LOOPBACK, Ports, wait_until
from tests.live.sipp import Sipp, SippFactory

CALLS = 300
RATE = 60
SOURCE = "127.0.0.41"
PAIR = """
[timers]
failover_ms = 500

[[listener]]
name = "tcp"
address = "{{host}}:{{sip}}"
transport = "tcp"

[[trunk]]
name = "load"
sources = ["127.0.0.41"]
dial_plan = "cn"
policy = "default"
route = "pair"

[[gateway]]
name = "pair"
targets = [
    {{{{ address = "127.0.0.1:{first}", transport = "{transport}", priority = 1 }}}},
    {{{{ address = "127.0.0.1:{second}", transport = "{transport}", priority = 2 }}}},
]
probe = {{{{ enabled = true, interval_s = 0.5, timeout_s = 0.4 }}}}
"""


def answered(program: Sipp) -> set[str | None]:
    """The calls whose INVITE was answered 200."""
    return {m.get("Call-ID") for m in program.received(200) if (m.get("CSeq") or "").endswith("INVITE")}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_gateway_is_killed_under_load(
    start_node: Callable[..., Node], sipp: SippFactory, ports: Ports, transport: str
) -> None:
    way = "t1" if transport == "tcp" else "u1"
    doomed = sipp.callee("uas_answers", port=ports.tcp(), transport=way)
    spare = sipp.callee("uas_answers", port=ports.tcp(), transport=way)
    more = PAIR.format(first=doomed.port, second=spare.port, transport=transport)
    node = start_node(ports.udp(), more=more)
    caller = sipp.caller(node.port, "uac_answered", callee=PROTECTED_CALLEE, source=SOURCE, calls=CALLS, rate=RATE)
    wait_until(lambda: len(answered(caller)) > CALLS // 4, "a quarter of the calls to be answered")
    doomed.send_signal(signal.SIGKILL)
    assert caller.wait(60) == 0, caller.tail()

    before, after = doomed.received("INVITE"), spare.received("INVITE")
    assert len(answered(caller)) == CALLS, "every call was answered"
    assert len({m.get("Call-ID") for m in before + after}) == CALLS
    assert CALLS // 4 <= len(before) < CALLS, "it was killed in the middle"
    assert len(after) >= CALLS - len(before), "the spare one took all the others"
    assert node.metric("callsieve_worker_failovers_total") >= 1
    assert node.metric("callsieve_ended_calls_total", status="5xx") == 0
    target = f"{LOOPBACK}:{doomed.port}"
    wait_until(lambda: node.metric("callsieve_target_up", target=target) == 0, "it to be seen down")
    assert {decision["action"] for decision in node.decisions(CALLS)} == {"accept"}
