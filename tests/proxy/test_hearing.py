"""What is not heard under several times the load that can be borne is counted, and said once."""

from __future__ import annotations

import logging
import socket

import structlog
from structlog.testing import capture_logs

from proxy.counters import Counters
from proxy.hearing import QUIET_US, Hearing
from proxy.logs import Log
from proxy.overload_server import OverloadServer
from tests.proxy.messages import request

NOW_US = 1_790_000_000_000_000
STEP_US = 100_000
CALLS = 100
LOG: Log = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))


def test_what_the_kernel_drops_is_counted_and_said_once() -> None:
    load, counters, now_us = OverloadServer(), Counters.in_memory(), NOW_US
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        capture_logs() as lines,
    ):
        receiver.bind(("127.0.0.1", 0))
        hearing = Hearing(load, [receiver], counters, LOG)
        for _ in range(20):  # far more than the worker can bear
            now_us += STEP_US
            load.load(1.0, 1.0, now_us)
            hearing.step(now_us)
        for _ in range(CALLS):
            sender.sendto(request(), receiver.getsockname())
        hearing.step(now_us)
        dropped = counters["dropped_unheard"]
        assert CALLS / 2 < dropped <= CALLS
        for _ in range(2):  # nothing is measured any more: all are heard
            now_us += 2 * QUIET_US
            hearing.step(now_us)
        assert load.heard == 1.0
    assert [line["log_level"] for line in lines] == ["warning", "info"]
    assert lines[1]["dropped"] == dropped
