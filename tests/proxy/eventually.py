"""Waiting for what other threads and processes bring about: as long as it takes, within a generous bound."""

import asyncio
import time
from collections.abc import Callable

BOUND_S = 30.0
_POLL_S = 0.01


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < deadline, f"did not come about in {BOUND_S:g} s"
        time.sleep(_POLL_S)


async def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < deadline, f"did not come about in {BOUND_S:g} s"
        await asyncio.sleep(_POLL_S)
