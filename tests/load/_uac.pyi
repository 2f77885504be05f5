from socket import socket

from tests.load._histogram import Histogram
from tests.load._uas import Uas

class Uac:
    """Places calls from one UDP socket.

    target: numeric address and port, on the loopback network. deck: packed calls, see `tests.load.mix`; they are placed
    in turn from `first` in steps of `stride`, and again from the start when all are used. talk_ms, cancel_ms: one
    a family; None = the caller never cancels. t1_ms: RFC 3261's T1. ring_limit_s: after that a call that only rings is
    lost. capacity: calls at once. record: finished calls are kept for `take_records`.
    """

    ringing_us: Histogram
    """INVITE to the first response other than 100."""
    final_us: Histogram
    """INVITE to its final response."""

    def __init__(
        self,
        sock: socket,
        *,
        target: tuple[str, int],
        deck: bytes,
        talk_ms: list[float],
        cancel_ms: list[float | None],
        first: int = 0,
        stride: int = 1,
        t1_ms: float = 500.0,
        ring_limit_s: float = 64.0,
        capacity: int = 32768,
        record: bool = False,
    ) -> None: ...
    def run(
        self,
        *,
        rate_per_s: float = 0.0,
        in_flight: int = 0,
        calls: int = 0,
        duration_s: float = 0.0,
        drain_s: float = 5.0,
        partner: Uas | None = None,
    ) -> None:
        """Places calls, without the GIL, until `calls` are placed, `duration_s` is over or `stop` is called.

        Either rate_per_s (open loop) or in_flight (closed loop). Then waits for what is unfinished, at most drain_s.
        partner: served by this thread as well, and neither of them ever sleeps, so a proxy under test pays for no
        wake-up of ours.
        """
    def stop(self) -> None: ...
    @property
    def counts(self) -> dict[str, int]:
        """May be read while it runs."""
    def statuses(self, family: int) -> dict[int, int]:
        """Finished calls of a family by final status; 0 = lost."""
    def labelled(self, family: int) -> int:
        """Answered calls of a family that reached the harness's own answering endpoint with a label."""
    @property
    def run_id(self) -> str:
        """First eight characters of every Call-ID of this endpoint."""
    def take_records(self) -> bytes:
        """The calls finished since the last time, packed; at most 65,536 are kept, then `records_missed` counts."""
