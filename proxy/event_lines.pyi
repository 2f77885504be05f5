"""Events as JSON lines, written without a Python object a call."""

from collections.abc import Sequence

from proxy.events import EventBatch

class EventNames:
    """Names behind the indices of events, for the last few generations."""

    def __init__(self, node: str, *, mask_numbers: bool = False) -> None:
        """mask_numbers: the last four digits of every number are written as x."""

    def add(
        self,
        generation: int,
        *,
        trunks: Sequence[str],
        gateways: Sequence[str],
        rules: Sequence[str],
        reasons: Sequence[str],
        labels: Sequence[str],
    ) -> None: ...
    def knows(self, generation: int) -> bool: ...

def write_decisions(batch: EventBatch, names: EventNames, out: bytearray) -> int:
    """Appends one JSON line for every screened call; returns their number."""

def write_calls(batch: EventBatch, names: EventNames, out: bytearray) -> int:
    """Appends one JSON line for every ended call; returns their number."""
