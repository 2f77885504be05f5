from proxy.config import Overload

class OverloadServer:
    """One worker's load, and what it asks of its clients (RFC 7339 section 5, RFC 7415 section 3.4)."""

    heard: float
    def wanted(self, now_us: int) -> float:
        """Of new calls that come as datagrams, the part that is worth hearing. `heard` is to be set to what is."""
    def configure(self, overload: Overload) -> None:
        """What it may take on, from now on."""
    def note(self, requests: int, clients: int, priority: bool = False) -> None:
        """Counts requests of this interval, and clients heard in it for the first time; for tests."""
    def occupy(self, used: float) -> None:
        """This part of the transactions is taken, 0 to 1; for tests."""
    def load(self, busy: float, queued: float, now_us: int) -> None:
        """A measurement: busy part of the processor and filled part of the receive buffer since the last one."""
    def refused(self, key: int, priority: bool = False, was_drawn: bool = False) -> bool:
        """Whether a request of a client without overload control is refused; for tests.

        was_drawn: of its kind only the part `heard` has come.
        """
    def told(self, algorithm: str) -> tuple[int, int, int]:
        """(oc, oc-validity in ms, oc-seq in units of its fifth decimal) of a response; for tests."""
