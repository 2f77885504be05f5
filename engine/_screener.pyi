"""Screener: the engine as Python calls it."""

from typing import final

from typing_extensions import Buffer

from engine._fastpath import FastPath
from engine.decision import Attempt, Explanation, Outcome, Verdict

@final
class Screener(FastPath):
    """Decides on call attempts by one policy image, on the tables of a node.

    node_key: 16 secret bytes for redress ids and table keys, the same in all processes of a node. now_us: Unix time in
    microseconds. One thread at a time.
    """

    def screen(self, attempt: Attempt, now_us: int) -> Verdict:
        """Decides and counts one attempt. ValueError if the policy has no such trunk."""
    def explain(self, attempt: Attempt, now_us: int) -> Explanation:
        """The same decision with nothing counted, and all that was looked at."""
    def screen_batch(self, attempts: Buffer, now_us: int) -> bytes:
        """Decides and counts an array of C attempts (`pack`); returns an array of C verdicts (`unpack`)."""
    def observe(self, outcome: Outcome, now_us: int) -> None:
        """Learns from what became of a call: refusals and complaints add to the caller's reputation."""
    def pack(self, attempt: Attempt) -> bytes: ...
    def unpack(self, verdicts: Buffer) -> list[Verdict]: ...
