"""The programs of the live tests talk to each other without the proxy: what fails here is not the proxy's fault."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from tests.live.baresip import TALK_S, BaresipFactory
from tests.live.programs import Program, wait_until
from tests.live.sipp import SippFactory

ROOT = Path(__file__).parents[2]


def test_sipp_calls_sipp(sipp: SippFactory) -> None:
    callee = sipp.callee()
    caller = sipp.caller(callee.port, calls=3)
    assert caller.wait() == 0, caller.tail()
    assert len(callee.received("INVITE")) == 3
    assert str(callee.received("INVITE")[0].get("From")).startswith("<sip:+8613800138000@")
    assert len(caller.received(200)) == 6


def test_sipp_notices_a_wrong_answer(sipp: SippFactory) -> None:
    callee = sipp.callee()
    caller = sipp.caller(callee.port, "rejected", status=603)
    assert caller.wait() != 0


def test_sipp_cancels(sipp: SippFactory) -> None:
    callee = sipp.callee("uas_cancelled")
    caller = sipp.caller(callee.port, "cancelled", talk_ms=200)
    assert caller.wait() == 0, caller.tail()


def test_sipp_retransmits(sipp: SippFactory) -> None:
    callee = sipp.callee("uas_slow", ring_ms=300)
    caller = sipp.caller(callee.port, "uac_retransmits")
    assert caller.wait() == 0, caller.tail()
    assert len(callee.received("INVITE")) > 2


def test_baresip_calls_baresip(baresip: BaresipFactory) -> None:
    alice = baresip.phone("+8613800138000")
    bob = baresip.phone("+862088886666")
    alice.dial(bob.number, bob.port)
    bob.wait_event("CALL_INCOMING")
    bob.answer()
    for phone in (alice, bob):
        phone.wait_event("CALL_RTPESTAB")
    time.sleep(TALK_S)
    bob.hang_up()
    alice.wait_event("CALL_CLOSED")
    assert wait_until(alice.loudness, "alice's recording") > 10_000
    assert wait_until(bob.loudness, "bob's recording") > 10_000


def test_what_a_program_leaves_behind_is_ended_with_it(tmp_path: Path) -> None:
    """Its main process has died before."""
    sleeping = "[sys.executable, '-c', 'import time; time.sleep(600)']"
    with Program(
        [sys.executable, "-c", f"import subprocess, sys; print(subprocess.Popen({sleeping}).pid)"], tmp_path, "parent"
    ) as parent:
        assert parent.wait() == 0
        left = int(parent.output())
    wait_until(lambda: not is_running(left), "the child to end")


def test_a_program_ends_with_the_test_that_is_killed(tmp_path: Path) -> None:
    argv = f"[{sys.executable!r}, '-c', 'import time; time.sleep(600)']"
    lines = (
        "import pathlib, time",
        "from tests.live.programs import Program",
        f"print(Program({argv}, pathlib.Path({str(tmp_path)!r}), 'orphan').pid, flush=True)",
        "time.sleep(600)",
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with Program([sys.executable, "-c", "\n".join(lines)], tmp_path, "run", environment) as run:
        pid = int(wait_until(lambda: run.output().strip(), "the program to start", 30.0))
        assert is_running(pid)
        run.send_signal(signal.SIGKILL)
        run.wait()
        wait_until(lambda: not is_running(pid), "the program to end")


def is_running(pid: int) -> bool:
    """Whether it does anything; one that has ended and waits to be asked for is no more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
