"""Faults of a worker, for tests alone: Python loads this before the worker when it lies on PYTHONPATH.

The file that CALLSIEVE_TEST_FAULT names appears and says which: `stall` = the event loop sleeps; `gil` = compiled code
holds the interpreter's lock. The file is taken away first, so that the next worker is sound.
"""

import ctypes
import os
import signal
import sys
import threading
import time

LOOK_S = 0.01
FOR_S = 60


def stall(*_):
    time.sleep(FOR_S)


def hold_the_lock():
    ctypes.PyDLL(None).sleep(FOR_S)


def wait_for_fault(file):
    while True:
        try:
            with open(file) as said:
                fault = said.read()
            os.unlink(file)
            break
        except OSError:
            time.sleep(LOOK_S)
    if fault == "stall":
        os.kill(os.getpid(), signal.SIGUSR2)
    else:
        hold_the_lock()


if "proxy.server" in sys.orig_argv and "--spare" not in sys.orig_argv:
    signal.signal(signal.SIGUSR2, stall)
    threading.Thread(target=wait_for_fault, args=(os.environ["CALLSIEVE_TEST_FAULT"],), daemon=True).start()
