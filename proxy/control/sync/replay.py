"""Replays: a window of 1,024 numbers for each life of an origin, after that of RFC 4303 section 3.4.3.

A replay does no harm, since every merge is idempotent; it is dropped because it is work. Frames of which only the
latest counts (leases, status) must be newer than all before.
"""

from __future__ import annotations

from proxy.control.sync.frames import LIFE_SHIFT, Frame
from proxy.control.sync.records import RecordType, Refused

WIDTH = 1024
EPOCHS_KEPT = 64  # of one origin: it may still send slots of so many lives
_LATEST_ONLY = frozenset({RecordType.LEASE, RecordType.STATUS})


class Windows:
    """gaps: frames that never came, for statistics alone."""

    def __init__(self) -> None:
        self._lives: dict[int, int] = {}
        self._windows: dict[int, dict[int, tuple[int, int]]] = {}
        self._latest: dict[tuple[int, RecordType], tuple[int, int]] = {}
        self.gaps = 0

    def admit(self, frame: Frame) -> None:
        """Takes note of a frame whose signature was good; Refused if it was there before or is of an earlier life."""
        if frame.life < self._lives.get(frame.origin, 0):
            raise Refused("epoch")
        if frame.type in _LATEST_ONLY:
            self._admit_latest(frame)
        else:
            self._admit_once(frame)
        self._lives[frame.origin] = frame.life

    def forget(self, origin: int) -> None:
        self._windows.pop(origin, None)
        self._lives.pop(origin, None)
        self._latest = {key: seen for key, seen in self._latest.items() if key[0] != origin}

    def life_of(self, origin: int) -> int:
        """The latest epoch seen of an origin, 0 = none."""
        return self._lives.get(origin, 0)

    def _admit_latest(self, frame: Frame) -> None:
        stamp = frame.epoch, frame.seq
        if stamp <= self._latest.get((frame.origin, frame.type), (0, 0)):
            raise Refused("replay")
        self._latest[frame.origin, frame.type] = stamp

    def _admit_once(self, frame: Frame) -> None:
        windows = self._windows.setdefault(frame.origin, {})
        first = frame.seq >> LIFE_SHIFT << LIFE_SHIFT
        newest, seen = windows.get(frame.epoch, (first, 0))
        ahead = frame.seq - newest
        if ahead > 0:
            if ahead < 1 << LIFE_SHIFT:
                self.gaps += ahead - 1
            seen = (seen << ahead | 1) & (1 << WIDTH) - 1 if ahead < WIDTH else 1
            newest = frame.seq
        else:
            bit = 1 << -ahead
            if -ahead >= WIDTH or seen & bit:
                raise Refused("replay")
            seen |= bit
        windows[frame.epoch] = newest, seen
        if len(windows) > EPOCHS_KEPT:
            del windows[min(windows)]
