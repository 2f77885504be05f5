"""Calls that another SIP server forwards, judged as a worker judges its own."""

from typing import NamedTuple

from engine import Screener
from engine.decision import Action
from proxy.plugin_divert import DivertTarget
from proxy.trunks import Routing

class Judged(NamedTuple):
    """A verdict as the wire shows it.

    status, reason, reply_headers: of the answer, with action REJECT. labels: header lines for the request, with TAG
    or DIVERT; identity: the lines that take the place of its P-Asserted-Identity, None = it stays. divert: where the
    request goes instead, with DIVERT. record: what is told when the call is over. Header lines end with CRLF.
    """

    action: Action
    trunk: str
    rule: str | None
    status: int
    reason: str
    reply_headers: str
    labels: str
    identity: str | None
    divert: DivertTarget | None
    record: bytes

class NotSound(Exception):
    """A verdict that says nothing we know: our own fault."""

class PluginScreening:
    """worker: number of this process in events; ring_size: events kept until `take`. secret: 16 bytes.

    `configure` comes before anything else. Times are Unix microseconds.
    """

    lost: int
    def __init__(self, worker: int, secret: bytes, ring_size: int = 8192) -> None: ...
    @property
    def generation(self) -> int: ...
    def configure(self, routing: Routing, screener: Screener, diverts: tuple[DivertTarget, ...]) -> None:
        """routing: its one gateway says how calls are labelled. diverts: in the order of the policy."""
    def judge(self, data: bytes, source: tuple[str, int], now_us: int) -> Judged | None:
        """Screens and tells a new INVITE, whole or only its head; source: address and port that it came from.

        None for what is no new INVITE, cannot be read, or comes from no trunk. NotSound, ValueError for an address
        that is none.
        """
    def ringing(self, record: bytes, now_us: int) -> None:
        """The first 18x has come, told once."""
    def answered(self, record: bytes, now_us: int) -> None:
        """The callee has answered."""
    def unwanted(self, record: bytes, now_us: int) -> None:
        """The callee said while the call was on that it was unwanted (RFC 8197 section 4)."""
    def ended(
        self, record: bytes, status: int, released_by: int, rang_us: int, answered_us: int, now_us: int
    ) -> None:
        """The call is over, told once. released_by: 0 unknown, 1 caller, 2 callee.

        rang_us, answered_us: when the first 18x and the 2xx came, 0 = never.
        """
    def take(self) -> bytes:
        """The oldest events as concatenated records, at most 64; b"" when there are none."""
