"""Calls over TCP on either side, placed and answered by SIPp, also with workers that share the listeners."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.live.node import PROTECTED_CALLEE, Node
from tests.live.programs import Ports
from tests.live.sipp import SippFactory

TCP = '\n[[listener]]\nname = "tcp"\naddress = "{host}:{sip}"\ntransport = "tcp"\n'
CALLS = 20


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("transport", ["t1", "tn"])
def test_calls_from_tcp_to_udp(
    start_node: Callable[..., Node], sipp: SippFactory, ports: Ports, workers: int, transport: str
) -> None:
    node = start_node(ports.udp(), workers=workers, more=TCP)
    callee = sipp.callee(port=node.gateway_port)
    caller = sipp.caller(node.port, callee=PROTECTED_CALLEE, calls=CALLS, transport=transport)
    assert caller.wait() == 0, caller.tail()
    assert len(callee.received("BYE")) == CALLS
    first = callee.received("INVITE")[0]
    assert len(first.all("Record-Route")) == 2, "one for each side (RFC 5658)"
    assert node.metric("callsieve_worker_send_failed_total") == 0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("transport", ["u1", "tn"])
def test_calls_to_a_gateway_by_tcp(
    start_node: Callable[..., Node], sipp: SippFactory, ports: Ports, workers: int, transport: str
) -> None:
    node = start_node(ports.tcp(), workers=workers, more=TCP, gateway_transport="tcp")
    callee = sipp.callee(port=node.gateway_port, transport="t1")
    caller = sipp.caller(node.port, callee=PROTECTED_CALLEE, calls=CALLS, transport=transport)
    assert caller.wait() == 0, caller.tail()
    assert len(callee.received("INVITE")) == CALLS == len(callee.received("BYE"))
    assert node.metric("callsieve_worker_connections_opened_total") == workers_in_use(node)


def workers_in_use(node: Node) -> float:
    """A connection of each worker that had something to send; the gateway's answers come back by it."""
    return sum(node.metric("callsieve_worker_invites_total", worker=str(worker)) > 0 for worker in range(2))
