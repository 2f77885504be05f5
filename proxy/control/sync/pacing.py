"""How fast a node may send: a token bucket in bytes, at most 16 messages that the broker has not acknowledged."""

from __future__ import annotations

MAX_UNACKNOWLEDGED = 16
_SLOWEST_BYTES_PER_S = 1024.0
_RECOVERY = 1.05  # for each second without a complaint of the broker
_LONGEST_S = 3600.0  # a clock may jump


class Pacing:
    """rate: bytes a second now, at most `full`."""

    def __init__(self, full: float, now_ms: int) -> None:
        self._full = full
        self.rate = full
        self._tokens = full
        self._last_ms = now_ms
        self._unacknowledged = 0

    def may_send(self, now_ms: int) -> bool:
        passed_s = min(max(now_ms - self._last_ms, 0) / 1000, _LONGEST_S)
        self._last_ms = max(now_ms, self._last_ms)
        self.rate = min(self._full, self.rate * _RECOVERY**passed_s)
        self._tokens = min(self.rate, self._tokens + self.rate * passed_s)
        return self._tokens > 0 and self._unacknowledged < MAX_UNACKNOWLEDGED

    def sent(self, size: int, qos: int) -> None:
        self._tokens -= size
        self._unacknowledged += qos > 0

    def acknowledged(self) -> None:
        self._unacknowledged = max(self._unacknowledged - 1, 0)

    def over_quota(self) -> None:
        """The broker said 0x97 (MQTT 5 section 3.4.2.1)."""
        self.rate = max(self.rate / 2, _SLOWEST_BYTES_PER_S)

    def connection_lost(self) -> None:
        self._unacknowledged = 0
