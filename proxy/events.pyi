"""Event records as control reads them: batches of the C `Event`, and what is counted of them."""

from collections.abc import Iterator
from typing import NamedTuple

EVENT_BYTES: int
ACTION_NAMES: tuple[str, ...]
BASIS_NAMES: tuple[str, ...]
DIVERSION_NAMES: tuple[str, ...]

class EventRecord(NamedTuple):
    """One `Event` in Python; reasons are (index of the name, points, Verdict.asked). Indices belong to `generation`."""

    type: int
    time_us: int
    call: int
    call_id: bytes = b""
    generation: int = 1
    trunk: int = 0
    caller: int = 0
    callee: int = 0
    caller_text: bytes = b""
    callee_text: bytes = b""
    user_agent: bytes = b""
    source_ip: bytes = b"\x7f\x00\x00\x01"
    source_port: int = 5060
    gateway: int = 0xFFFF
    status: int = 0
    setup_ms: int = 0
    ring_ms: int = 0
    talk_ms: int = 0
    released_by: int = 0
    action: int = 0
    basis: int = 0
    verdict_status: int = 0
    rule: int = 0xFFFF
    score: int = 0
    label: int = 0xFF
    observed: int = 0
    observed_rule: int = 0xFFFF
    redress: int = 0
    diverter: int = 0
    diversion: int = 0
    unwanted: bool = False
    reasons: tuple[tuple[int, int, int], ...] = ()

    def pack(self) -> bytes:
        """The record as the C struct holds it; texts are cut to size."""

class VerdictTally:
    """Calls counted by (action, basis), ended calls by class of their final status."""

    def verdicts(self) -> dict[tuple[str, str], int]: ...
    def ended_calls(self) -> dict[str, int]:
        """By "1xx" … "6xx", "none" = no final status known."""

class EventBatch:
    """Whole `Event` records, back to back."""

    def __init__(self, data: bytes) -> None:
        """Raises ValueError if `data` is not a whole number of records."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[EventRecord]: ...
    def generations(self) -> set[int]: ...
    def forwarded(self) -> Iterator[tuple[bytes, int, int, int, bool]]:
        """(Call-ID, caller, callee, Unix µs, unwanted) of calls that went on, and again of those that were unwanted."""

    def tally(self, tally: VerdictTally) -> None: ...
