"""How long an abuse test is: short where everything is tested, whole under `make abuse`."""

from __future__ import annotations

import os
from typing import TypeVar

Amount = TypeVar("Amount", int, float)

FULL = os.environ.get("CALLSIEVE_ABUSE") == "full"


def size(short: Amount, full: Amount) -> Amount:
    """The number of messages, connections or seconds of a test: `full` is what its pass criterion names."""
    return full if FULL else short
