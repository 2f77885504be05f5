"""What callbacks of an event loop let through: a line a second of each kind, no stack for what a library finds out."""

import errno
import json
import subprocess
import sys

FAULTS = """
import asyncio, errno
from proxy.fault_log import FaultLog
from proxy.logs import open_log

def fail(fault):
    raise fault

async def run(faults):
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(FaultLog(open_log("control")))
    for fault in faults:
        loop.call_soon(fail, fault)
    await asyncio.sleep(0)
    await asyncio.sleep(1.1)
    loop.call_soon(fail, ValueError("late"))
    await asyncio.sleep(0)

asyncio.run(run(FAULTS))
"""


def lines_of(faults: str) -> list[dict[str, object]]:
    """The log of a loop in which these faults come at once, and a second later another one."""
    ran = subprocess.run(
        [sys.executable, "-c", FAULTS.replace("FAULTS", faults)], capture_output=True, text=True, timeout=60, check=True
    )
    return [json.loads(line) for line in ran.stderr.splitlines()]


def test_faults_are_told_once_a_second_and_counted() -> None:
    first, other, late = lines_of("[ValueError('one'), ValueError('two'), TypeError('else'), ValueError('three')]")
    assert first["level"] == "error"
    assert "one" in str(first)
    assert first["unsaid_before"] == 0
    assert "else" in str(other)
    assert "late" in str(late)
    assert late["unsaid_before"] == 2


def test_a_socket_that_a_library_has_closed_is_a_line_without_a_stack() -> None:
    first, _ = lines_of(f"[OSError({errno.EBADF}, 'Bad file descriptor')]")
    assert first["level"] == "warning"
    assert "fail" in str(first), "which callback it was"
    assert "Traceback" not in str(first)
